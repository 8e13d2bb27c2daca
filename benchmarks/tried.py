"""What was tried for speed and is not used, beside what is: medians of three epochs in turn.

    python -m benchmarks.tried > benchmarks/tried.txt

The rows of docs/performance.md that fall short refer to it. Ratios are to the first of each group.
"""

import os
import statistics
import time

import numpy as np

EPOCHS = 4
"""The first one compiles and is left out."""


def lists_of_starting_rows() -> dict:
    """HRNN Init, 10 steps of 100 lanes: sizes of the lists of rows that start a session."""
    from benchmarks.training_speed import simulated
    from hrec_tf.cells import listed_rows
    from hrec_tf.data.lanes import user_parallel_stream
    from hrec_tf.losses import TOP1, InBatch
    from hrec_tf.models import HRNN, GRU4Rec
    from hrec_tf.optimizers import AdagradMomentum

    log = simulated(3_000, sessions_per_user=8)

    def fit_of(model, shares=()):
        model.compile(AdagradMomentum(0.05), TOP1(), negatives=InBatch())

        def fit():
            listed_rows.SHARES = shares
            model.fit(user_parallel_stream(log, num_lanes=100, steps=10), epochs=1, verbose=0)

        return fit

    sizes = {"session_units": 100, "user_units": 100}
    forms = {
        "30 rows, or 50": listed_rows.SHARES,
        "22 rows, 30 or 50": (0.22, *listed_rows.SHARES),
        "26 rows, or 50": (0.26, 0.5),
        "no lists: all rows": (),
    }
    return {
        "GRU4Rec": fit_of(GRU4Rec(num_items=3_000, units=(100,), seed=1)),
        **{
            f"HRNN Init, {name}": fit_of(HRNN(num_items=3_000, seed=1, **sizes), shares)
            for name, shares in forms.items()
        },
    }


def compiled_by(units: int) -> dict:
    """GRU4Rec, 10 steps of 100 lanes, 2,048 extra: by XLA, and by TensorFlow alone."""
    from benchmarks.gemm_share import EXTRA, LANES, STEPS
    from benchmarks.training_speed import simulated
    from hrec_tf.data.lanes import session_parallel_stream
    from hrec_tf.losses import CrossEntropy, InBatch
    from hrec_tf.models import GRU4Rec
    from hrec_tf.optimizers import AdagradMomentum

    log = simulated(3_000, sessions_per_user=8)
    supports = np.maximum(log.item_supports(), 1)

    def fit_of(jit_compile):
        model = GRU4Rec(num_items=3_000, units=(units,), inputs="constrained", seed=1)
        negatives = InBatch(extra=EXTRA, item_supports=supports)
        model.compile(
            AdagradMomentum(0.05), CrossEntropy(), negatives=negatives, jit_compile=jit_compile
        )
        stream = session_parallel_stream(log, num_lanes=LANES, steps=STEPS)
        return lambda: model.fit(stream, epochs=1, verbose=0)

    return {
        f"GRU4Rec, H{units}, by XLA": fit_of(True),
        f"GRU4Rec, H{units}, by TensorFlow": fit_of(False),
    }


def main() -> None:
    for group in (lists_of_starting_rows(), compiled_by(100), compiled_by(500)):
        seconds: dict[str, list[float]] = {name: [] for name in group}
        for _ in range(EPOCHS):
            for name, fit in group.items():
                begin = time.perf_counter()
                fit()
                seconds[name].append(time.perf_counter() - begin)
        medians = {name: statistics.median(held[1:]) for name, held in seconds.items()}
        first = next(iter(medians.values()))
        for name, median in medians.items():
            print(f"{name:40} {median:6.2f} s  {median / first:5.2f}", flush=True)
        print(flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
