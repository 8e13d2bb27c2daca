"""Packs and lays out a simulated log: events per second, and peak memory per event.

    python -m benchmarks.input_speed

The peak is that of all arrays made while an epoch is packed and its windows are laid out, chunk by
chunk, beside the histories themselves (tracemalloc). The second epoch must not need more than the
first.
"""

import time
import tracemalloc

import numpy as np

SESSIONS, SESSIONS_PER_USER, LANES, ROUNDS = 1_000_000, 10, 512, 5
COMMAND = "python -m benchmarks.input_speed"


def simulated():
    from hrec_tf.data.histories import Histories, offsets_of

    rng = np.random.default_rng(0)
    session_offsets = offsets_of(rng.integers(2, 9, SESSIONS))
    num_events = int(session_offsets[-1])
    return Histories(
        item_ids=rng.integers(1, 100_001, num_events, dtype=np.int32),
        timestamps=np.arange(num_events),
        session_offsets=session_offsets,
        user_offsets=session_offsets[::SESSIONS_PER_USER],
        num_items=100_000,
    )


def play(stream, epoch: int) -> None:
    """Makes every chunk of an epoch, and drops it."""
    for _ in stream.from_epoch(epoch).in_chunks(32):
        pass


def main() -> None:
    from benchmarks.performance import compared, keep
    from hrec_tf.data.lanes import user_parallel_stream

    log = simulated()
    log.session_starts, log.user_starts  # noqa: B018  kept with the histories
    stream = user_parallel_stream(log, num_lanes=LANES)
    speeds, peaks = [], []
    for epoch in range(ROUNDS):
        begin = time.perf_counter()
        play(stream, epoch)
        speeds.append(log.num_events / (time.perf_counter() - begin))
    for epoch in range(2):
        tracemalloc.start()
        play(stream, epoch)
        peaks.append(tracemalloc.get_traced_memory()[1] / log.num_events)
        tracemalloc.stop()
    general = {"benchmark": "Input", "command": COMMAND}
    shape = f"user-parallel, {log.num_events:,} events, {LANES} lanes"
    records = [
        compared(
            config=f"packing and laying out, {shape}",
            ours=speeds,
            peer=[5e6] * ROUNDS,
            peer_name="5 M events/s",
            unit="events/s",
            target=1.0,
            direction="at_least",
            **general,
        ),
        compared(
            config=f"peak memory, {shape}",
            ours=peaks,
            peer=[16.0] * len(peaks),
            peer_name="16 B an event",
            unit="B an event",
            target=1.0,
            direction="at_most",
            note="Memory of the input side: the epochs after the first need no more than it.",
            **general,
        ),
    ]
    keep(records)
    for record in records:
        print(f"{record['config']:70}{record['ours']:14,.1f} {record['unit']}")


if __name__ == "__main__":
    main()
