"""Measures how fast `fit` trains: next-item pairs per second, medians of five epochs.

    python -m benchmarks.training_speed > benchmarks/training_speed.txt

The log is simulated: sessions of 2 to 9 events over items of Zipf-like popularity. Only ratios
within one run count; the machine's speed drifts between runs.
"""

import os
import platform

import numpy as np

PAIRS, EPOCHS = 50_000, 5


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


def measure(model, stream, *, jit_compile, loss, negatives, momentum=0.1) -> float:
    """Median pairs per second of five epochs, after one that compiles."""
    from hrec_tf.optimizers import AdagradMomentum

    model.compile(
        AdagradMomentum(0.1, momentum=momentum),
        loss,
        negatives=negatives,
        jit_compile=jit_compile,
    )
    history = model.fit(stream, epochs=EPOCHS + 1, verbose=0).history
    return float(np.median(history["events_per_second"][1:]))


def cases(num_items: int = 3_000):
    """Yields (name, model, stream, loss, negatives)."""
    from hrec_tf.data.lanes import session_parallel_stream, user_parallel_stream
    from hrec_tf.losses import TOP1, CrossEntropy, InBatch
    from hrec_tf.models import HRNN, GRU4Rec

    log = simulated(num_items, sessions_per_user=8)
    supports = np.maximum(log.item_supports(), 1)
    general = {"num_items": num_items, "seed": 1}
    for steps in (1, 10):
        yield (
            f"GRU4Rec, TOP1 in batch, 100 lanes x {steps}",
            GRU4Rec(**general, hidden_dropout=0.2),
            user_parallel_stream(log, num_lanes=100, steps=steps),
            TOP1(),
            InBatch(),
        )
        yield (
            f"HRNN Init, TOP1 in batch, 100 lanes x {steps}",
            HRNN(**general, session_dropout=0.2),
            user_parallel_stream(log, num_lanes=100, steps=steps),
            TOP1(),
            InBatch(),
        )
    yield (
        "HRNN All, TOP1 in batch, 100 lanes x 1",
        HRNN(**general, user_gates="rzh", session_dropout=0.2),
        user_parallel_stream(log, num_lanes=100),
        TOP1(),
        InBatch(),
    )
    yield (
        "GRU4Rec+, cross-entropy, 2048 extra, 32 lanes x 1",
        GRU4Rec(**general, inputs="constrained", hidden_dropout=0.2),
        session_parallel_stream(log, num_lanes=32),
        CrossEntropy(logq=1.0),
        InBatch(extra=2048, alpha=0.5, item_supports=supports),
    )


def main() -> None:
    import keras
    import tensorflow as tf

    print("python -m benchmarks.training_speed\n")
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {platform.machine()},", end=" ")
    print(f"{os.cpu_count()} cores. Thousand next-item pairs per second, median of {EPOCHS}.\n")
    print(f"{'':52}{'XLA':>8}{'plain':>8}")
    speeds = {}
    for name, model, stream, loss, negatives in cases():
        row = []
        for jit_compile in (True, False):
            speed = measure(model, stream, jit_compile=jit_compile, loss=loss, negatives=negatives)
            row.append(speed / 1000)
        speeds[name] = max(row)
        print(f"{name:52}{row[0]:8.1f}{row[1]:8.1f}", flush=True)
    print()
    for steps in (1, 10):
        gru, hrnn = (
            next(
                speed
                for name, speed in speeds.items()
                if name.startswith(start) and name.endswith(f"x {steps}")
            )
            for start in ("GRU4Rec,", "HRNN Init,")
        )
        print(f"An HRNN Init epoch takes {gru / hrnn:.2f} of a GRU4Rec epoch at {steps} step(s).")
    print("\nOne update as the catalogue grows (GRU4Rec, 100 lanes x 1, XLA):")
    small = None
    for num_items in (3_000, 30_000, 380_000):
        _, model, stream, loss, negatives = next(iter(cases(num_items)))
        speed = measure(model, stream, jit_compile=True, loss=loss, negatives=negatives)
        small = small or speed
        print(f"{num_items:>10,} items: {small / speed:.2f} times the time at 3,000", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
