"""Measures what dropout of item vectors costs a training, with Keras' masks and with ours.

    python -m benchmarks.dropout > benchmarks/dropout.txt

GRU4Rec with sampled cross-entropy on the simulated log of `benchmarks.training_speed`, medians of
five epochs, in turn. Only ratios within one run count.
"""

import os
import statistics

RATE, LANES = 0.15, 256


def main() -> None:
    import keras
    import numpy as np

    from benchmarks.performance import machine
    from benchmarks.training_speed import EPOCHS, compiled, simulated, speeds_in_turn
    from hrec_tf.data.lanes import session_parallel_stream
    from hrec_tf.losses import CrossEntropy, InBatch
    from hrec_tf.models import GRU4Rec

    log = simulated(3_000, sessions_per_user=8)
    supports = np.maximum(log.item_supports(), 1)

    def made(rate, masks=None):
        model = GRU4Rec(num_items=3_000, seed=1, inputs="constrained", embed_dropout=rate)
        if masks is not None:
            model.item_inputs.drop = masks
        negatives = InBatch(extra=2048, alpha=0.5, item_supports=supports)
        stream = session_parallel_stream(log, num_lanes=LANES)
        return compiled(model, CrossEntropy(logq=1.0), negatives), stream

    cases = {
        "no dropout": made(0.0),
        "masks of hrec_tf.layers.Dropout": made(RATE),
        "masks of keras.layers.Dropout": made(RATE, keras.layers.Dropout(RATE, seed=1)),
    }
    print(f"python -m benchmarks.dropout\n\n{machine()}")
    print(f"Thousand next-item pairs per second, median of {EPOCHS} epochs, in turn; rate {RATE},")
    print(f"{LANES} lanes, 100 units, cross-entropy with 2048 extra negatives, XLA.\n")
    for name, speeds in zip(cases, speeds_in_turn(list(cases.values())), strict=True):
        print(f"{name:40}{statistics.median(speeds) / 1000:8.1f}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
