"""Measures how many events a gateway takes, from clients on the same machine.

    python -m benchmarks.gateway_speed
    python -m benchmarks.gateway_speed --soak 600      # ten minutes of load, memory watched

Records go to docs/serving.json, of which docs/serving.md has the table.

HRNN Init of 32 units per level, 5 000 items, k = 20. `hrec serve`, `hrec gateway`, Redis and the
clients are processes that share the cores. Each client has users of its own and sends one event
after the other, over one connection that stays open; every answer is a list of 10. A request that
is refused ends the run. In the soak every fifth request is for a list, and the users have as many
events as are kept before it begins.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export_latency import BEGIN, NUM_ITEMS, K, recommender
from benchmarks.serving import Load, keep, megabytes
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


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def send_events(port: int, number: int, until: float, lists: bool) -> list[float]:
    """One client: sends events of its users in turn; returns how long each took."""
    random, taken = np.random.default_rng(number), []
    with socket.create_connection(("127.0.0.1", port)) as door:
        for place, item in enumerate(random.integers(0, NUM_ITEMS, 1_000_000)):
            event = {
                "user": f"{number} {place % USERS}",
                "item": f"item {item}",
                "timestamp": BEGIN + 60 * place,
                "event": f"{until} {place}",
                "k": 10,
            }
            asked = [request("POST", "/events", json.dumps(event).encode())]
            if lists and place % 4 == 3:
                asked.append(request("GET", f"/recommendations?user={number}%20{place % USERS}"))
            for sent in asked:
                begin = time.perf_counter()
                door.sendall(sent)
                answer = door.recv(2**16)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(answer.decode())
                taken.append(time.perf_counter() - begin)
            if time.time() > until:
                break
    return taken


def clients_of(port: int, count: int, seconds: float, lists: bool = False) -> list[float]:
    """Seconds that each answer took.

    Raises:
        RuntimeError: one was none.
    """
    until = time.time() + seconds
    with ThreadPoolExecutor(count) as pool:
        sent = [pool.submit(send_events, port, n, until, lists) for n in range(count)]
        return [second for one in sent for second in one.result()]


def measure(port: int, count: int, pids: dict[str, int], scenario: str) -> dict[str, Any]:
    """The record of a load, with what it cost each process."""
    clients_of(port, count, SECONDS / 5)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    begin = time.perf_counter()
    taken = clients_of(port, count, SECONDS)
    seconds = time.perf_counter() - begin
    load = Load([1000 * second for second in taken], seconds, errors=0)  # or it had ended
    used = {
        name: round(1000 * (cpu_seconds(pid) - before[name]) / len(taken), 3)
        for name, pid in pids.items()
    }
    return load.record(scenario, count, COMMAND) | {"processor_ms": used}


def soaked(port: int, pid: int, seconds: float) -> dict[str, Any]:
    """The record of a long load, with the gateway's memory."""
    clients_of(port, CLIENTS[1], seconds / 4, lists=True)
    memory, taken, begin = [megabytes(pid)], [], time.perf_counter()
    for _ in range(10):
        taken += clients_of(port, CLIENTS[1], seconds / 10, lists=True)
        memory.append(megabytes(pid))
    whole = Load([1000 * one for one in taken], time.perf_counter() - begin, errors=0)
    scenario = f"soak of {seconds:g} s, events and lists of a gateway with Redis"
    record = whole.record(scenario, CLIENTS[1], f"{COMMAND} --soak {seconds:g}")
    return record | {"memory_mb": memory}


@contextmanager
def gateway(model_port: int, store: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    address = f"127.0.0.1:{model_port}"
    command = [sys.executable, "-m", "hrec_tf.cli.main", "gateway", address, "--store", store]
    with running([*command, "--port", str(port)]) as process:
        yield port, process.pid


def main() -> None:
    from hrec_tf.export import export_saved_model

    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--soak", type=float, help="seconds of load with the memory watched")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "models"
        export_saved_model(recommender(), base, k=K)
        redis_port = free_port()
        redis = [shutil.which("redis-server") or "redis-server", "--port", str(redis_port)]
        redis += ["--dir", scratch, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        stores = {
            "SQLite": f"{scratch}/users.sqlite",
            "Redis": f"redis://127.0.0.1:{redis_port}/0",
        }
        with running(redis), served(base) as (model_port, model_pid):
            for kind, store in list(stores.items())[1 if options.soak else 0 :]:
                with gateway(model_port, store) as (port, pid):
                    if options.soak:
                        told(soaked(port, pid, options.soak))
                        continue
                    pids = {"gateway": pid, "model": model_pid, "clients": os.getpid()}
                    for count in CLIENTS:
                        told(measure(port, count, pids, f"events to a gateway with {kind}"))


def told(record: dict[str, Any]) -> None:
    keep([record])
    print(json.dumps(record, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
