"""Measures how many events a gateway takes, from clients on the same machine.

    python -m benchmarks.gateway_speed

Records go to docs/serving.json, of which docs/serving.md has the table.

HRNN Init of 32 units per level, 5 000 items, k = 20. `hrec serve`, `hrec gateway`, Redis and the
clients are processes that share the cores. Each client has users of its own and sends one event
after the other, over one connection that stays open; every answer is a list of 10.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export_latency import BEGIN, NUM_ITEMS, K, recommender
from benchmarks.serving import Load, keep
from benchmarks.serving_speed import served

COMMAND = "python -m benchmarks.gateway_speed"
SECONDS, USERS = 10.0, 25
CLIENTS = (1, 16, 32)


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            process.stdout.readline()
            yield process
        finally:
            process.terminate()
            process.stdout.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send_events(port: int, number: int, until: float, taken: list[float]) -> None:
    """One client: sends events of its users in turn, and notes how long each took."""
    random = np.random.default_rng(number)
    with socket.create_connection(("127.0.0.1", port)) as door:
        for place, item in enumerate(random.integers(0, NUM_ITEMS, 1_000_000)):
            event = {
                "user": f"{number} {place % USERS}",
                "item": f"item {item}",
                "timestamp": BEGIN + 60 * place,
                "event": f"{until} {place}",
                "k": 10,
            }
            body = json.dumps(event).encode()
            head = f"POST /events HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"
            begin = time.perf_counter()
            door.sendall(head.encode() + body)
            answer = door.recv(2**16)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(answer.decode())
            taken.append(time.perf_counter() - begin)
            if time.time() > until:
                return


def clients_of(port: int, count: int, seconds: float) -> list[float]:
    """Seconds that each event took."""
    taken: list[float] = []
    until = time.time() + seconds
    threads = [
        threading.Thread(target=send_events, args=(port, number, until, taken))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def measure(port: int, count: int, pids: dict[str, int], scenario: str) -> dict[str, Any]:
    """The record of a load, with what it cost each process."""
    clients_of(port, count, SECONDS / 5)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    begin = time.perf_counter()
    taken = clients_of(port, count, SECONDS)
    seconds = time.perf_counter() - begin
    load = Load([1000 * second for second in taken], seconds, errors=0)  # an error ends it
    used = {
        name: round(1000 * (cpu_seconds(pid) - before[name]) / len(taken), 3)
        for name, pid in pids.items()
    }
    return load.record(scenario, count, COMMAND) | {"processor_ms": used}


@contextmanager
def gateway(model_port: int, store: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    address = f"127.0.0.1:{model_port}"
    command = [sys.executable, "-m", "hrec_tf.cli.main", "gateway", address, "--store", store]
    with running([*command, "--port", str(port)]) as process:
        yield port, process.pid


def main() -> None:
    from hrec_tf.export import export_saved_model

    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "models"
        export_saved_model(recommender(), base, k=K)
        redis_port = free_port()
        redis = [shutil.which("redis-server") or "redis-server", "--port", str(redis_port)]
        redis += ["--dir", scratch, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        stores = f"{scratch}/users.sqlite", f"redis://127.0.0.1:{redis_port}/0"
        with running(redis), served(base) as (model_port, model_pid):
            for store in stores:
                with gateway(model_port, store) as (port, pid):
                    pids = {"gateway": pid, "model": model_pid, "clients": os.getpid()}
                    for count in CLIENTS:
                        kind = "Redis" if store in stores[1:] else "SQLite"
                        record = measure(port, count, pids, f"events to a gateway with {kind}")
                        keep([record])
                        print(json.dumps(record, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
