"""How much load `hrec serve` bears, and how long its answers take, on one machine.

    python -m benchmarks.serving                       # 5,000 and 50,000 items
    python -m benchmarks.serving --soak 600            # ten minutes of load, memory watched

HRNN Init of 32 units per level, k = 20; histories of ten events. Server and clients are two
processes that share the cores. First 1, 16 and 64 clients ask one question after the other, each
over a connection of its own; then questions come at random times, half as many in a second as 16
clients got answered, and times count from the moment a question was due, so that none is left out
while the server is behind. Records go to docs/serving.json, from which docs/serving.md is made.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np

from benchmarks.performance import machine
from benchmarks.serving_speed import history, served
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.serving import Client, protocol

COMMAND = "python -m benchmarks.serving"
DOCS = Path(__file__).parents[1] / "docs"
RECORDS, PAGE = DOCS / "serving.json", DOCS / "serving.md"
TABLE = re.compile(r"(?<=<!-- made of serving.json -->\n).*?(?=<!-- end -->)", re.DOTALL)
CATALOGUES, CLIENTS, HALF_OF = (5_000, 50_000), (1, 16, 64), 16
SECONDS, WARM_UP = 5.0, 1.0
HISTORIES = 256
UNITS, K = 32, 20
GOALS = (
    ("step, 5,000 items", 16, "requests_per_s", 1_500),
    ("step, 5,000 items, at half of that rate", 16, "p99_ms", 15),
    ("events to a gateway with Redis", 16, "requests_per_s", 600),
)
"""Scenario, clients, what is looked at, and what it is to be: milliseconds below, answers above."""
Asking = Callable[[int], Awaitable[Any]]


class Load(NamedTuple):
    """What came of some seconds of load.

    Attributes:
        milliseconds: of every answer.
        seconds: from the first question to the last answer.
        errors: questions that were not answered.
    """

    milliseconds: list[float]
    seconds: float
    errors: int

    def record(self, scenario: str, clients: int, command: str = COMMAND) -> dict[str, Any]:
        half, most, nearly_all = np.percentile(self.milliseconds or [np.nan], (50, 95, 99))
        return {
            "scenario": scenario,
            "clients": clients,
            "requests_per_s": round(len(self.milliseconds) / self.seconds, 1),
            "p50_ms": round(half, 2),
            "p95_ms": round(most, 2),
            "p99_ms": round(nearly_all, 2),
            "errors": self.errors,
            "machine": machine(),
            "command": command,
        }


async def one_after_the_other(asks: list[Asking], seconds: float) -> Load:
    """Every client asks again as soon as it has an answer."""
    begin = time.perf_counter()
    taken, errors = [], 0

    async def client(ask: Asking) -> None:
        nonlocal errors
        number = 0
        while (asked := time.perf_counter()) < begin + seconds:
            try:
                await ask(number)
                taken.append(1000 * (time.perf_counter() - asked))
            except grpc.RpcError:
                errors += 1
            number += 1

    await asyncio.gather(*map(client, asks))
    return Load(taken, time.perf_counter() - begin, errors)


async def when_due(asks: list[Asking], seconds: float, rate: float) -> Load:
    """Questions come at random times, whether or not earlier ones are answered."""
    draw = np.random.default_rng(0)
    due = np.cumsum(draw.exponential(1 / rate, int(seconds * rate)))
    begin = time.perf_counter()
    taken, errors = [], 0

    async def question(number: int, second: float) -> None:
        nonlocal errors
        try:
            await asks[number % len(asks)](number)
            taken.append(1000 * (time.perf_counter() - begin - second))
        except grpc.RpcError:
            errors += 1

    running = set()
    for number, second in enumerate(due):
        wait = second - (time.perf_counter() - begin)
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(question(number, second))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return Load(taken, time.perf_counter() - begin, errors)


def requests_of(client: Client) -> dict[str, list[bytes]]:
    """Signature -> messages as they travel: what a client makes of histories, made beforehand."""
    sent: dict[str, list[bytes]] = {"recommend": [], "step": []}
    send = client._asking._send

    async def keep(path: str, request: Any, *rest: Any) -> Any:
        if path == protocol.PREDICT:
            sent[request.model_spec.signature_name].append(request.SerializeToString())
        return await send(path, request, *rest)

    client._asking._send = keep
    for number in range(HISTORIES):
        events = history(10, seed=number)
        _, state = client.replay(events)
        item, second = events[-1]
        client.step(item, second + 60, state)
    client._asking._send = send
    return sent


async def loads(port: int, messages: list[bytes], scenario: str) -> list[dict[str, Any]]:
    """All loads of one signature, least first."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(max(CLIENTS))
    ]

    def asking(channel: Any, first: int) -> Asking:
        call = channel.unary_unary(protocol.PREDICT)
        return lambda number: call(messages[(first + number) % len(messages)], timeout=20)

    asks = [asking(channel, 7 * place) for place, channel in enumerate(channels)]
    await one_after_the_other(asks, WARM_UP)
    records = []
    for clients in CLIENTS:
        load = await one_after_the_other(asks[:clients], SECONDS)
        records.append(load.record(scenario, clients))
        if clients == HALF_OF:
            rate = len(load.milliseconds) / load.seconds / 2
    load = await when_due(asks[:HALF_OF], 2 * SECONDS, rate)
    records.append(load.record(f"{scenario}, at half of that rate", HALF_OF))
    for channel in channels:
        await channel.close()
    return records


async def soaked(port: int, pid: int, messages: dict[str, list[bytes]], seconds: float) -> Any:
    """Half of what 16 clients get answered, of both signatures, with the server's memory."""
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    call = channel.unary_unary(protocol.PREDICT)
    mixed = [message for pair in zip(*messages.values(), strict=True) for message in pair]
    asks: list[Asking] = [lambda number: call(mixed[number % len(mixed)], timeout=20)] * HALF_OF
    load = await one_after_the_other(asks, 10 * WARM_UP)
    rate = len(load.milliseconds) / load.seconds / 2
    memory = [megabytes(pid)]
    loads = []
    for _ in range(10):
        loads.append(await when_due(asks, seconds / 10, rate))
        memory.append(megabytes(pid))
    await channel.close()
    whole = Load(
        [one for load in loads for one in load.milliseconds],
        sum(load.seconds for load in loads),
        sum(load.errors for load in loads),
    )
    command = f"{COMMAND} --soak {seconds:g}"
    record = whole.record(f"soak of {seconds:g} s, step and recommend", HALF_OF, command)
    return record | {"memory_mb": memory}


def megabytes(pid: int) -> float:
    """Memory of a process that is in use."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return round(int(kilobytes) / 1024, 1)


def exported(folder: Path, num_items: int) -> Path:
    """Writes a model with fresh weights, on which its speed does not depend."""
    from hrec_tf.data.vocabulary import Vocabulary
    from hrec_tf.export import export_saved_model
    from hrec_tf.models import HRNN
    from hrec_tf.recommender import Recommender

    model = HRNN(num_items=num_items, session_units=UNITS, user_units=UNITS)
    vocabulary = Vocabulary([f"item {i}" for i in range(num_items)], range(num_items, 0, -1))
    export_saved_model(Recommender(model, vocabulary), folder, k=K)
    return folder


def keep(records: list[dict[str, Any]]) -> None:
    """Writes records, and the table of docs/serving.md; those of the same load are replaced."""
    held = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.is_file() else []
    rows = {(record["scenario"], record["clients"]): record for record in (*held, *records)}
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in rows.values())
    write_whole(RECORDS, f"[\n{lines}\n]\n".encode())
    page = PAGE.read_text(encoding="utf-8")
    write_whole(PAGE, TABLE.sub(lambda _: table(list(rows.values())), page).encode())


def table(records: list[dict[str, Any]]) -> str:
    """The records as Markdown, with what each was measured on and by."""
    lines = [
        "| load | clients | answers/s | p50 ms | p95 ms | p99 ms | errors |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            "| {scenario} | {clients} | {requests_per_s:,.0f} | {p50_ms:.1f} | {p95_ms:.1f} | "
            "{p99_ms:.1f} | {errors} |".format(**record)
            for record in records
        ),
        "",
        *(_goal(records, *goal) for goal in GOALS),
        "",
        *(
            f"Resident memory of who is asked in the {record['scenario']}, MB, at its start and "
            f"after each tenth: {', '.join(f'{size:.0f}' for size in record['memory_mb'])}."
            for record in records
            if "memory_mb" in record
        ),
        "```",
        *dict.fromkeys(f"{record['command']}  # {record['machine']}" for record in records),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _goal(
    records: list[dict[str, Any]], scenario: str, clients: int, name: str, goal: float
) -> str:
    """A line that says what was wanted, and whether it is so."""
    [found] = [r[name] for r in records if (r["scenario"], r["clients"]) == (scenario, clients)]
    is_rate = name == "requests_per_s"
    wanted = f"at least {goal:,} answers/s" if is_rate else f"a p99 below {goal} ms"
    shown = f"{found:,.0f} answers/s" if is_rate else f"{found:.1f} ms"
    is_met = found >= goal if is_rate else found < goal
    return f"- Goal for {scenario} with {clients} clients: {wanted}. It is {shown}: " + (
        "met." if is_met else "**missed**."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--soak", type=float, help="seconds of load with the memory watched")
    parser.add_argument("--items", help="catalogues, with commas between", default="5000,50000")
    options = parser.parse_args()
    catalogues = [int(size) for size in options.items.split(",")]
    for num_items in catalogues[: 1 if options.soak else None]:
        with tempfile.TemporaryDirectory() as scratch:
            base = exported(Path(scratch) / "models", num_items)
            with served(base) as (port, pid), Client(f"127.0.0.1:{port}", timeout=60) as client:
                messages = requests_of(client)
                if options.soak:
                    keep([asyncio.run(soaked(port, pid, messages, options.soak))])
                    continue
                for signature, sent in messages.items():
                    name = f"{signature}, {num_items:,} items"
                    records = asyncio.run(loads(port, sent, name))
                    keep(records)
                    for record in records:
                        print(json.dumps(record, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
