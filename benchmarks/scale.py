"""Prepares, packs, trains and evaluates on a log of VIDEOXXL's size, and on parts of it.

    python -m benchmarks.scale > benchmarks/scale.txt
    python -m benchmarks.scale --share 0.0625      a sixteenth of it, alone

The log is simulated to the shape that Quadrana et al. publish: 33 M events of 810 k users in
8.5 M sessions over 380 k items. Nothing of its contents is meant to be predictable. The first
command does all of it with a sixteenth, a quarter and the whole of the users and items, each in a
process of its own: time and peak memory of each stage (VmHWM of the process, the log included).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

USERS, ITEMS = 810_000, 380_000
SESSIONS_PER_USER, EVENTS_PER_SESSION = 10.5, 3.88
TOP_POP, LANES, STEPS = 50_000, 512, 1
SHARES = (1 / 16, 1 / 4, 1.0)
COMMAND = "python -m benchmarks.scale > benchmarks/scale.txt"
TRAINING = "train an epoch, compilation included"
NOTE = (
    "One round of each size; benchmarks/scale.txt has all stages. From a sixteenth to the whole "
    "reading grows 1.2 times an event, numbering ids 1.8 times: its tables leave the cache. Tried "
    "without gain: looking numbers up in a table of all of them in place of a join."
)
PREPARATION = (
    "read as an event log, sessions as given",
    "split: the last session of each user",
    "vocabulary and histories",
)


def simulated(share: float, seed: int = 0):
    """A frame of user, item, timestamp and session."""
    import polars as pl

    rng = np.random.default_rng(seed)
    users, items = int(USERS * share), max(1_000, int(ITEMS * share))
    sessions = 5 + rng.poisson(SESSIONS_PER_USER - 5, users)
    sizes = 2 + rng.poisson(EVENTS_PER_SESSION - 2, sessions.sum())
    session = np.repeat(np.arange(len(sizes)), sizes)
    user = np.repeat(np.repeat(np.arange(users), sessions), sizes)
    rank = (rng.pareto(1.0, len(session)) * items * 0.02).astype(np.int64) % items
    return pl.DataFrame(
        {"user": user, "item": rank, "timestamp": np.arange(len(session)) * 60, "session": session}
    )


measured: dict[str, tuple[float, float]] = {}
"""Stage -> seconds and peak GB."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Prints and keeps seconds and peak memory of what runs inside."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    begin = time.perf_counter()
    yield
    seconds = time.perf_counter() - begin
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    measured[name] = seconds, peak / 1e6
    print(f"{name:48}{seconds:10.1f} s{peak / 1e6:10.2f} GB", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--share", type=float, help="of the events, users and items")
    parser.add_argument("--evaluated", type=int, default=200_000, help="users at the most")
    options = parser.parse_args(arguments)
    if options.share is None:
        all_shares()
        return

    from hrec_tf.data import sessions, splits
    from hrec_tf.data.event_log import EventLog
    from hrec_tf.data.lanes import lay_out, order_of_units, pack_lanes, user_parallel_stream
    from hrec_tf.data.preparation import bootstrapped_histories, histories_from_log
    from hrec_tf.data.vocabulary import Vocabulary
    from hrec_tf.evaluation import rank_model
    from hrec_tf.losses import TOP1, InBatch
    from hrec_tf.models import HRNN
    from hrec_tf.optimizers import AdagradMomentum

    with stage("simulate"):
        frame = simulated(options.share)
    with stage("read as an event log, sessions as given"):
        log = sessions.given(
            EventLog.from_frame(
                frame, user="user", item="item", timestamp="timestamp", session="session"
            )
        )
        del frame
    num_events = log.num_events
    print(f"  {num_events:,} events, {log.num_users:,} users, {log.num_items:,} items")
    with stage("split: the last session of each user"):
        split = splits.last_session_out(log)
        del log
    with stage("vocabulary and histories"):
        vocabulary = Vocabulary.from_log(split.train)
        train = histories_from_log(split.train, vocabulary)
    with stage("histories to evaluate"):
        some = split.test.frame["user"].unique(maintain_order=True)[: options.evaluated]
        kept = {
            name: log.after("users", log.frame.filter(log.frame["user"].is_in(some.implode())))
            for name, log in (("train", split.train), ("test", split.test))
        }
        test = bootstrapped_histories(kept["train"], kept["test"], vocabulary)
        del kept, split
    print(f"  {train.num_events:,} events to train on, {test.num_users:,} users to evaluate")
    shape = {"layout": "user_parallel", "steps": STEPS}
    with stage("pack an epoch"):
        order = order_of_units(train, layout="user_parallel", order="random", seed=0, epoch=0)
        lanes = pack_lanes(train, num_lanes=LANES, order=order, **shape)
    with stage("lay its windows out"):
        num_windows = lanes.num_steps // STEPS
        for first in range(0, num_windows, 32):
            lay_out(train, lanes, first=first, last=min(first + 32, num_windows), **shape)
    print(f"  {lanes.fill:.3f} of the cells are filled")
    with stage("build HRNN Init, 100 + 100 units"):
        model = HRNN(num_items=train.num_items, seed=0)
        model.compile(AdagradMomentum(0.1), TOP1(), negatives=InBatch())
    stream = user_parallel_stream(train, num_lanes=LANES, steps=STEPS)
    with stage(TRAINING):
        history = model.fit(stream, epochs=1, verbose=0).history
    print(f"  {history['events_per_second'][0]:,.0f} pairs a second")
    top_pop = min(TOP_POP, train.num_items)
    with stage("rank among the most supported items"):
        ranks = rank_model(model, test, top_pop=top_pop)
    print(f"  {ranks.num_points:,} points ranked among {top_pop:,} items")
    print(json.dumps({"num_events": num_events, "stages": measured}))


def all_shares() -> None:
    """Runs each share in a process of its own, and keeps how time and memory grow."""
    from benchmarks.performance import compared, keep, machine

    print(f"{COMMAND}\n\n{machine()}")
    found = []
    for share in SHARES:
        print(f"\nA share of {share:g}\n", flush=True)
        command = [sys.executable, "-m", "benchmarks.scale", "--share", str(share)]
        *lines, last = subprocess.check_output(command, text=True).splitlines()
        print("\n".join(lines), flush=True)
        found.append(json.loads(last))
    smallest, *_, whole = found
    general = {"command": COMMAND, "direction": "at_most", "note": NOTE}
    general |= {"benchmark": "A log of 33 M events, and parts of it"}
    peak = max(gigabytes for _, gigabytes in whole["stages"].values())
    records = [
        compared(
            config=f"peak memory, {whole['num_events']:,} events",
            ours=[peak],
            peer=[24.0],
            peer_name="24 GB",
            unit="GB",
            target=1.0,
            **general,
        )
    ]
    for larger in found[1:]:
        for name, stages in (("preparation", PREPARATION), ("an epoch of HRNN Init", (TRAINING,))):
            times = [
                1e6 * sum(size["stages"][one][0] for one in stages) / size["num_events"]
                for size in (larger, smallest)
            ]
            records.append(
                compared(
                    config=f"{name}, {larger['num_events']:,} events",
                    ours=times[:1],
                    peer=times[1:],
                    peer_name=f"{smallest['num_events']:,} events",
                    unit="µs an event",
                    target=1.2,
                    **general,
                )
            )
    keep(records)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
