"""Measures how fast `fit` trains: next-item pairs per second, medians of five epochs.

    python -m benchmarks.training_speed > benchmarks/training_speed.txt

The log is simulated: sessions of 2 to 9 events over items of Zipf-like popularity. Only ratios
within one run count; the machine's speed drifts between runs.
"""

import os
import statistics

import numpy as np

PAIRS, EPOCHS = 50_000, 5
WITH_EXTRA = "GRU4Rec+, cross-entropy, 2048 extra, 32 lanes x 1"
COMMAND = "python -m benchmarks.training_speed > benchmarks/training_speed.txt"
OF_TEN_STEPS = (
    "At a step about 22 of 100 rows begin a session, and the list that they fit holds 30: the "
    "user's GRU and the first state of the session are 4.2 MFLOP beside 6 of the session's GRU, "
    "so that 1.7 is what the products alone give. A list of 22 rows would give 1.5, but every "
    "second step would overflow it. In benchmarks/profile.txt no part is above 5 %. Tried without "
    "gain: lists of 22 and of 26 rows (benchmarks/tried.txt); without lists the ratio is 2.4."
)
OF_GROWTH = (
    "Rows of 400 bytes are read and written at random: a table of 3,000 items lies in the cache, "
    "one of 380,000 (152 MB, and as much of the optimizer's sums) does not. Tried: huge pages "
    "(GLIBC_TUNABLES=glibc.malloc.hugetlb=1), with which a ratio of 1.98 fell to 1.84."
)


def simulated(num_items: int, sessions_per_user: int, seed: int = 0):
    from hrec_tf.data.histories import Histories, offsets_of

    generator = np.random.default_rng(seed)
    num_sessions = int(PAIRS / 4.5) // sessions_per_user * sessions_per_user
    sizes = generator.integers(2, 10, num_sessions)
    rank = generator.pareto(0.8, sizes.sum()) * 20
    item_ids = 1 + rank.astype(np.int64) % num_items
    session_offsets = offsets_of(sizes)
    return Histories(
        item_ids=item_ids.astype(np.int32),
        timestamps=np.arange(len(item_ids)),
        session_offsets=session_offsets,
        user_offsets=session_offsets[::sessions_per_user],
        num_items=num_items,
    )


def compiled(model, loss, negatives, *, jit_compile=True):
    from hrec_tf.optimizers import AdagradMomentum

    optimizer = AdagradMomentum(0.1, momentum=0.1)
    model.compile(optimizer, loss, negatives=negatives, jit_compile=jit_compile)
    return model


def speeds_in_turn(trained: list) -> list[list[float]]:
    """Pairs per second of five epochs of each (model, stream), after one that compiles.

    They take turns, epoch by epoch, so that a drift of the machine's speed meets all of them.
    """
    speeds: list[list[float]] = [[] for _ in trained]
    for _ in range(EPOCHS + 1):
        for (model, stream), found in zip(trained, speeds, strict=True):
            found += model.fit(stream, epochs=1, verbose=0).history["events_per_second"]
    return [found[1:] for found in speeds]


def cases(num_items: int = 3_000):
    """Returns name -> a function that makes (model, stream, loss, negatives)."""
    from hrec_tf.data.lanes import session_parallel_stream, user_parallel_stream
    from hrec_tf.losses import TOP1, CrossEntropy, InBatch
    from hrec_tf.models import HRNN, GRU4Rec

    log = simulated(num_items, sessions_per_user=8)
    supports = np.maximum(log.item_supports(), 1)
    general = {"num_items": num_items, "seed": 1}

    def in_batch(kind, steps, **arguments):
        stream = user_parallel_stream(log, num_lanes=100, steps=steps)
        return lambda: (kind(**general, **arguments), stream, TOP1(), InBatch())

    def with_extra():
        model = GRU4Rec(**general, inputs="constrained", hidden_dropout=0.2)
        negatives = InBatch(extra=2048, alpha=0.5, item_supports=supports)
        stream = session_parallel_stream(log, num_lanes=32)
        return model, stream, CrossEntropy(logq=1.0), negatives

    made = {}
    for steps in (1, 10):
        made[f"GRU4Rec{at(steps)}"] = in_batch(GRU4Rec, steps, hidden_dropout=0.2)
        made[f"HRNN Init{at(steps)}"] = in_batch(HRNN, steps, session_dropout=0.2)
    made[f"HRNN All{at(1)}"] = in_batch(HRNN, 1, user_gates="rzh", session_dropout=0.2)
    return made | {WITH_EXTRA: with_extra}


def at(steps: int) -> str:
    return f", TOP1 in batch, 100 lanes x {steps}"


def main() -> None:
    from benchmarks.performance import compared, keep, machine

    print(f"python -m benchmarks.training_speed\n\n{machine()}")
    print(f"Thousand next-item pairs per second, median of {EPOCHS} epochs, in turn.\n")
    print(f"{'':52}{'XLA':>8}{'plain':>8}")
    by_name = {}
    for name, make in cases().items():
        model, stream, loss, negatives = make()
        plain = compiled(type(model).from_config(model.get_config()), loss, negatives)
        plain.compile(plain.optimizer, loss, negatives=negatives, jit_compile=False)
        both = speeds_in_turn([(compiled(model, loss, negatives), stream), (plain, stream)])
        by_name[name] = model, stream
        row = [f"{statistics.median(speeds) / 1000:8.1f}" for speeds in both]
        print(f"{name:52}{''.join(row)}", flush=True)
    records = []
    for steps, target in ((1, 1.6), (10, 1.3)):
        pair = [by_name[f"{model}{at(steps)}"] for model in ("HRNN Init", "GRU4Rec")]
        hrnn, gru = ([PAIRS / speed for speed in speeds] for speeds in speeds_in_turn(pair))
        records.append(
            compared(
                "An epoch of HRNN Init against one of GRU4Rec",
                f"T={steps}, 100 lanes, the same windows",
                ours=hrnn,
                peer=gru,
                peer_name="GRU4Rec here",
                unit="s",
                target=target,
                direction="at_most",
                command=COMMAND,
                note=OF_TEN_STEPS if steps == 10 else "",
            )
        )
    sizes = (3_000, 50_000, 380_000, 1_000_000)
    for name, title in ((f"GRU4Rec{at(1)}", "in-batch"), (WITH_EXTRA, "2048 extra")):
        grown = []
        for num_items in sizes:
            model, stream, loss, negatives = cases(num_items)[name]()
            grown.append((compiled(model, loss, negatives), stream))
        small, *larger = ([1e3 / speed for speed in speeds] for speeds in speeds_in_turn(grown))
        for num_items, seconds in zip(sizes[1:], larger, strict=True):
            records.append(
                compared(
                    "Training as the catalogue grows",
                    f"GRU4Rec, {title}, {num_items:,} items",
                    ours=seconds,
                    peer=small,
                    peer_name="3,000 items",
                    unit="ms a pair",
                    target=1.2,
                    direction="at_most",
                    command=COMMAND,
                    note=OF_GROWTH if title == "2048 extra" else "",
                )
            )
    keep(records)
    for record in records:
        print(f"{record['config']:52}{record['ratio']:8.2f} times {record['peer_name']}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
