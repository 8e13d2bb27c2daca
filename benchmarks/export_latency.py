"""Measures how fast exports answer one user, inside the process and without any server.

    python -m benchmarks.export_latency > benchmarks/export_latency.txt

HRNN Init of 32 units per level, 5 000 items, k = 20, batch 1. The SavedModel runs as a
server runs it: `tf.compat.v1.saved_model.load`, and a prepared call of a Session.
"""

import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

NUM_ITEMS, UNITS, K = 5_000, 32, 20
REPEATS, WARM_UP = 1_000, 50
BEGIN = 1_700_000_000


def recommender():
    from hrec_tf.data.vocabulary import Vocabulary
    from hrec_tf.models import HRNN
    from hrec_tf.recommender import Recommender

    model = HRNN(num_items=NUM_ITEMS, session_units=UNITS, user_units=UNITS, seed=0)
    return Recommender(model, Vocabulary(f"item {number}" for number in range(NUM_ITEMS)))


def history(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Item ids 1..NUM_ITEMS and times (1, length), with a new session after every fifth event."""
    item_ids = np.random.default_rng(length).integers(1, NUM_ITEMS + 1, (1, length), np.int32)
    gaps = np.where(np.arange(length) % 5 == 0, 7_200, 60)
    return item_ids, BEGIN + np.cumsum(gaps)[None]


def milliseconds(call) -> tuple[float, float]:
    """Median and 99th percentile of REPEATS calls."""
    for _ in range(WARM_UP):
        call()
    taken = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return tuple(1000 * np.percentile(taken, (50, 99)))


def saved_model_calls(folder: Path, state_size: int):
    """Yields (name, call)."""
    import tensorflow as tf

    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    with graph.as_default():
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], str(folder)).signature_def

    def prepared(name, **inputs):
        signature = signatures[name]
        feeds = [signature.inputs[key].name for key in inputs]
        fetches = [tensor.name for tensor in signature.outputs.values()]
        call = session.make_callable(fetches, feeds)
        return lambda: call(*inputs.values())

    for length in (1, 10, 50, 200):
        item_ids, timestamps = history(length)
        names = np.array([[f"item {i - 1}" for i in row] for row in item_ids], object)
        yield (
            f"recommend T={length}",
            prepared(
                "recommend",
                item_ids=names,
                timestamps=timestamps,
                lengths=np.array([length], np.int32),
                exclude_seen=np.array([True]),
            ),
        )
    event = {"item_ids": np.array(["item 7"], object), "timestamps": np.array([BEGIN])}
    state = {
        "state": np.zeros((1, state_size), np.float32),
        "state_info": np.zeros((1, 4), np.int64),
    }
    yield "step", prepared("step", **event, **state)


def tflite_calls(file: Path, state_size: int):
    """Yields (name, call)."""
    from hrec_tf.export import litert_interpreter

    interpreter = litert_interpreter(file)
    recommend = interpreter.get_signature_runner("recommend")
    step = interpreter.get_signature_runner("step")
    for length in (20, 50):
        item_ids, timestamps = history(length)
        inputs = {
            "item_ids": item_ids,
            "timestamps": timestamps,
            "exclude_seen": np.array([True]),
        }
        yield f"recommend T={length}", lambda inputs=inputs: recommend(**inputs)
    inputs = {
        "item_ids": np.array([8], np.int32),
        "timestamps": np.array([BEGIN]),
        "state": np.zeros((1, state_size), np.float32),
        "state_info": np.zeros((1, 4), np.int64),
    }
    yield "step", lambda: step(**inputs)


def main() -> None:
    import tensorflow as tf

    from hrec_tf.export import export_saved_model, export_tflite
    from hrec_tf.export.tflite import QUANTIZATIONS

    print("python -m benchmarks.export_latency\n")
    print(f"TensorFlow {tf.__version__}, {platform.machine()}, {os.cpu_count()} cores.", end=" ")
    print(f"HRNN Init, {UNITS} units, {NUM_ITEMS:,} items, k = {K}, batch 1, {REPEATS:,} calls.\n")
    made = recommender()
    size = made.inference.state_size
    with tempfile.TemporaryDirectory() as scratch:
        folder = export_saved_model(made, Path(scratch) / "models", k=K)
        kilobytes = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1000
        _print_table(f"SavedModel, {kilobytes:,.0f} kB", saved_model_calls(folder, size))
        for quantize in QUANTIZATIONS:
            file = Path(scratch) / f"{quantize}.tflite"
            export_tflite(made, file, k=K, quantize=quantize)
            kilobytes = file.stat().st_size / 1000
            _print_table(f"LiteRT {quantize}, {kilobytes:,.0f} kB", tflite_calls(file, size))


def _print_table(title: str, calls) -> None:
    print(f"{title:32}{'p50 ms':>10}{'p99 ms':>10}")
    for name, call in calls:
        median, slow = milliseconds(call)
        print(f"  {name:30}{median:10.3f}{slow:10.3f}", flush=True)
    print(flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
