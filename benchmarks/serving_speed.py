"""Measures how fast `hrec serve` answers one client, over gRPC on the same machine.

    python -m benchmarks.serving_speed > benchmarks/serving_speed.txt

HRNN Init of 32 units per level, 5 000 items, k = 20. Server and client are two processes that
share the cores; the client asks one question after the other, and its own work counts.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.export_latency import BEGIN, NUM_ITEMS, UNITS, K, recommender
from hrec_tf.serving import Client

SECONDS, WARM_UP = 5.0, 20
LONG = (100, 500, 2_000, 8_000)


def history(length: int, seed: int | None = None) -> list[tuple[str, int]]:
    """Items and times, with a new session after every fifth event."""
    items = np.random.default_rng(length if seed is None else seed).integers(0, NUM_ITEMS, length)
    times = BEGIN + np.cumsum(np.where(np.arange(length) % 5 == 0, 7_200, 60))
    return [(f"item {item}", second) for item, second in zip(items, times.tolist(), strict=True)]


@contextmanager
def served(base: Path) -> Iterator[tuple[int, int]]:
    """Runs `hrec serve` in a process of its own; yields its port and its process id."""
    command = [sys.executable, "-m", "hrec_tf.cli.main", "serve", str(base), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield int(line.partition(" (gRPC)")[0].rpartition(":")[2]), process.pid
        finally:
            process.terminate()


def measured(call: Callable[[], object]) -> tuple[float, float, float]:
    """Calls per second, and median and 99th percentile of their milliseconds."""
    for _ in range(WARM_UP):
        call()
    taken: list[float] = []
    while sum(taken) < SECONDS:
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    median, slow = 1000 * np.percentile(taken, (50, 99))
    return len(taken) / sum(taken), median, slow


def questions(client: Client) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yields (name, call)."""
    ten = history(10)
    yield "recommend, 10 events", lambda: client.recommend(ten)
    _, state = client.replay(ten)
    item, second = ten[-1]
    yield "step", lambda: client.step(item, second, state)
    many = [history(length) for length in range(1, 65)]
    yield "recommend_batch, 64 users", lambda: client.recommend_batch(many)
    for length in LONG:
        events = history(length)
        yield f"recommend, {length:,} events", lambda events=events: client.recommend(events)


def main() -> None:
    import tensorflow as tf

    from hrec_tf.export import export_saved_model

    load = os.getloadavg()[0]
    print("python -m benchmarks.serving_speed\n")
    print(f"TensorFlow {tf.__version__}, {platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"load {load:.1f} before. HRNN Init, {UNITS} units, {NUM_ITEMS:,} items, k = {K},")
    print(f"one client, {SECONDS:g} s each. Histories of any length are sent whole.\n")
    print(f"{'':28}{'calls/s':>10}{'p50 ms':>10}{'p99 ms':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "models"
        export_saved_model(recommender(), base, k=K)
        with (
            served(base) as (port, _),
            Client(f"127.0.0.1:{port}", max_history=max(LONG), timeout=60) as client,
        ):
            for name, call in questions(client):
                rate, median, slow = measured(call)
                print(f"{name:28}{rate:10.1f}{median:10.2f}{slow:10.2f}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
