"""How many lists a second session neighbours make from a million sessions.

    python -m benchmarks.neighbours

Simulated: 1,000,000 sessions of 2 to 9 events among 50,000 items, whose popularity follows a power
law, four to a user; then the 20 best items after each event of 500 other sessions, asked 100 at a
time. The rate is set against the target itself; median of five rounds.
"""

import time

import numpy as np

BENCHMARK = "Lists of session neighbours"
COMMAND = "python -m benchmarks.neighbours"
SESSIONS, ITEMS, ASKED, AT_ONCE, K, ROUNDS = 1_000_000, 50_000, 500, 100, 20, 5
TARGET = 2_000
NOTE = "Scores stay sparse; the best are found among the items that some neighbour holds."
SESSIONS_OF_USER = 4
NAMES = ("sknn", "v-sknn", "stan", "sknn-user", "v-sknn-user", "stan-user")


def simulated(num_sessions: int, seed: int):
    """Sessions a minute apart, some in turn of one user, with half a minute between events."""
    from hrec_tf.data.histories import Histories, offsets_of

    generator = np.random.default_rng(seed)
    sizes = generator.integers(2, 10, num_sessions)
    offsets = offsets_of(sizes)
    rank = generator.pareto(0.8, sizes.sum()) * 20
    inside = np.arange(sizes.sum()) - np.repeat(offsets[:-1], sizes)
    return Histories(
        item_ids=(1 + rank.astype(np.int64) % ITEMS).astype(np.int32),
        timestamps=60 * np.repeat(np.arange(num_sessions), sizes) + 30 * inside,
        session_offsets=offsets,
        user_offsets=offsets[::SESSIONS_OF_USER],
        num_items=ITEMS,
    )


def lists_per_second(model, asked) -> float:
    """Best items after each event of the asked sessions, a part at a time."""
    begin = time.perf_counter()
    for first in range(0, asked.num_events, AT_ONCE):
        targets = np.arange(first, min(first + AT_ONCE, asked.num_events))
        model.best(asked, targets, K)
    return asked.num_events / (time.perf_counter() - begin)


def main() -> None:
    from benchmarks.performance import compared, keep
    from hrec_tf import registry

    training, asked = simulated(SESSIONS, seed=0), simulated(ASKED, seed=1)
    models = {name: registry.entry(name).build(num_items=ITEMS).fit(training) for name in NAMES}
    records = []
    for name, model in models.items():
        lists_per_second(model, asked)
        rates = [lists_per_second(model, asked) for _ in range(ROUNDS)]
        records.append(
            compared(
                BENCHMARK,
                f"{name}, {SESSIONS:,} sessions, {ITEMS:,} items",
                ours=rates,
                peer=[float(TARGET)] * ROUNDS,
                peer_name="the target",
                unit="lists/s",
                target=1.0,
                direction="at_least",
                command=COMMAND,
                note=NOTE,
            )
        )
        print(name, [round(rate) for rate in rates])
    keep(records)


if __name__ == "__main__":
    main()
