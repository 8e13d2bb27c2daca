"""Measures an epoch of HCRNN against one of NARM, and where a batch of HCRNN-3 + Bi spends it.

    python -m benchmarks.prefix_speed > benchmarks/prefix_speed.txt

The log is citeulike-hcrnn (HREC_DATA): 34 810 prefixes, batches of 512. The models take turns,
epoch by epoch, so that a drift of the machine's speed meets all of them; medians of five.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

EPOCHS, BATCH, STEPS = 5, 512, 27
RIVAL = "NARM"


def models(num_items: int) -> dict[str, Any]:
    from hrec_tf.models import HCRNN, NARM, PrefixRNN

    general: dict[str, Any] = {"num_items": num_items, "seed": 1}
    bi: dict[str, Any] = general | {"attention": "bi_channel"}
    return {
        "GRU4REC (Song et al.)": PrefixRNN(cell="gru", **general),
        RIVAL: NARM(**general),
        "HCRNN-3": HCRNN(**general),
        "HCRNN-3 + Bi": HCRNN(**bi),
        "HCRNN-3 + Bi, causal, whole sequences": HCRNN(theta="prefix", **bi),
    }


def seconds_of_epochs() -> dict[str, float]:
    """Median seconds of an epoch of each model, without its validation."""
    import keras

    from hrec_tf.data.log_source import LogSource
    from hrec_tf.data.prefixes import prefix_stream, sequence_stream
    from hrec_tf.losses import CrossEntropy
    from hrec_tf.schema import PREFIXES

    train, _ = LogSource("citeulike-hcrnn").load().for_validation()
    built, streams = models(train.num_items), {}
    for name, model in built.items():
        model.compile(keras.optimizers.Adam(1e-3), CrossEntropy(normalise="valid"))
        if model.layout == PREFIXES:
            streams[name] = prefix_stream(train, batch_size=BATCH, seed=1)
        else:
            streams[name] = sequence_stream(train, batch_size=32, seed=1)
    taken: dict[str, list[float]] = {name: [] for name in built}
    for _ in range(EPOCHS + 1):  # the first one compiles
        for name, model in built.items():
            begin = time.perf_counter()
            model.fit(streams[name], epochs=1, verbose=0)
            taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def timed(function: Callable[[], Any]) -> float:
    """Median milliseconds of five calls, after one that compiles."""
    taken = []
    for _ in range(6):
        begin = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(taken[1:])


def parts_of_a_batch() -> dict[str, float]:
    """Milliseconds of the parts of an update of HCRNN-3 + Bi, each run by itself."""
    import keras
    import numpy as np
    import tensorflow as tf

    from hrec_tf.cells import memory_attention
    from hrec_tf.losses import CrossEntropy
    from hrec_tf.schema import ITEM_IDS, POSITIONS

    num_items = 1_980
    model = models(num_items)["HCRNN-3 + Bi"]
    model.compile(keras.optimizers.Adam(1e-3), CrossEntropy(normalise="valid"))
    model.optimizer.build(model.trainable_variables)
    cell, draw = model.cell, np.random.default_rng(1)
    item_ids = tf.constant(draw.integers(1, num_items + 1, (1, BATCH, STEPS)), tf.int32)
    targets = tf.constant(draw.integers(1, num_items + 1, (1, BATCH, 1)), tf.int32)
    positions = tf.fill((1, BATCH, 1), STEPS - 1)
    window = {ITEM_IDS: item_ids, POSITIONS: positions}, targets, tf.ones((1, BATCH, 1))
    inputs, _ = model._inputs(item_ids[0], tf.ones((BATCH, STEPS), bool), training=True)
    weights = [variable.value for variable in model.recurrence.trainable_variables]

    @tf.function(autograph=False)
    def recurrence():
        with tf.GradientTape() as tape:
            outputs, _ = model.recurrence(inputs, training=True)
            total = tf.reduce_sum(outputs)
        return tape.gradient(total, weights)

    theta, memory = inputs[:, 0, cell.item_dim :], tf.matmul(cell.memory, cell.memory_kernel)
    a, v = tf.random.normal((BATCH, cell.units)), cell.v[0]
    form = memory_attention.form_of(theta, memory)

    def energies():
        with tf.GradientTape() as tape:
            tape.watch([a, theta, memory, v])
            e = memory_attention.memory_energies(a, theta, memory, v, form)
        return tape.gradient(e, [a, theta, memory, v])

    def all_energies():
        for _ in range(STEPS):
            found = energies()
        return [gradient.numpy() for gradient in found]

    zero, one = tf.constant(0), tf.constant(1)
    return {
        "an update": timed(
            lambda: [x.numpy() for x in model._train_chunk(window, zero, one, [])[1:]]
        ),
        "  the recurrence, forward and backward": timed(lambda: [w.numpy() for w in recurrence()]),
        "    its memory attention": timed(all_energies),
    }


def main() -> None:
    import keras
    import tensorflow as tf

    print("python -m benchmarks.prefix_speed\n")
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {platform.machine()},", end=" ")
    print(f"{os.cpu_count()} cores. Seconds of an epoch, median of {EPOCHS}, and times NARM's.\n")
    seconds = seconds_of_epochs()
    for name, value in seconds.items():
        print(f"{name:42}{value:8.2f} s{value / seconds[RIVAL]:8.2f}", flush=True)
    parts = parts_of_a_batch()
    whole = parts["an update"]
    print(f"\nHCRNN-3 + Bi, a batch of {BATCH} prefixes of {STEPS} events, medians of five:\n")
    for name, value in parts.items():
        print(f"{name:42}{value:8.1f} ms{value / whole:8.0%}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
