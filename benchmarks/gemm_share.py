"""Compares training with the fastest matrix product that this machine computes.

    python -m benchmarks.gemm_share

The operations of a next-item pair are those of its products, forward and, twice as many, backward:
GRU4Rec of H units with tied vectors multiplies H by 3 H twice, and H by the columns of its loss.
What else it computes (gates, softmax, updates of tables) counts as nothing, so a share of 1 is out
of reach. The peak is that of a product of two square matrices, measured in turn with the epochs.
"""

import os
import time

import numpy as np

from benchmarks.training_speed import EPOCHS, compiled, simulated

COMMAND = "python -m benchmarks.gemm_share"
NOTE = (
    "Beside the products an update masks and exponentiates the scores and updates rows of the "
    "tables; benchmarks/profile.txt has the parts of like updates. Tried: TensorFlow's own "
    "products in place of XLA's, which take twice as long (benchmarks/tried.txt)."
)
LANES, STEPS, EXTRA, SIZE = 100, 10, 2048, 2048
TARGETS = {100: 0.4, 500: 0.75}


def operations_of_a_pair(units: int) -> int:
    """Additions and multiplications of the products of a pair, forward and backward."""
    forward = 2 * units * 3 * units * 2 + 2 * units * (LANES + EXTRA)
    return 3 * forward


def peak() -> float:
    """Operations per second of a large product."""
    import tensorflow as tf

    factors = tf.random.normal((2, SIZE, SIZE))
    multiply = tf.function(lambda: tf.reduce_sum(tf.matmul(factors[0], factors[1])))
    multiply().numpy()
    best = 0.0
    for _ in range(5):
        begin = time.perf_counter()
        multiply().numpy()
        best = max(best, 2 * SIZE**3 / (time.perf_counter() - begin))
    return best


def main() -> None:
    from benchmarks.performance import compared, keep
    from hrec_tf.data.lanes import session_parallel_stream
    from hrec_tf.losses import CrossEntropy, InBatch
    from hrec_tf.models import GRU4Rec

    log = simulated(3_000, sessions_per_user=8)
    stream = session_parallel_stream(log, num_lanes=LANES, steps=STEPS)
    supports = np.maximum(log.item_supports(), 1)
    records = []
    for units, target in TARGETS.items():
        model = GRU4Rec(num_items=3_000, units=(units,), inputs="constrained", seed=1)
        negatives = InBatch(extra=EXTRA, item_supports=supports)
        compiled(model, CrossEntropy(), negatives)
        peaks, reached = [], []
        for _ in range(EPOCHS + 1):
            peaks.append(peak() / 1e9)
            speed = model.fit(stream, epochs=1, verbose=0).history["events_per_second"][0]
            reached.append(speed * operations_of_a_pair(units) / 1e9)
        records.append(
            compared(
                "Share of the fastest matrix product",
                f"GRU4Rec, H{units}, {LANES} lanes x {STEPS}, {EXTRA} extra",
                ours=reached[1:],
                peer=peaks[1:],
                peer_name="a product of two large matrices",
                unit="GFLOP/s",
                target=target,
                direction="at_least",
                command=COMMAND,
                note=NOTE,
            )
        )
    keep(records)
    for record in records:
        print(f"{record['config']:52}{record['ratio']:8.2f} of {record['peer']:.0f} GFLOP/s")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
