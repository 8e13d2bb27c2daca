"""The records of docs/performance.json, and docs/performance.md, which shows them.

    python -m benchmarks.performance

A record is one row: `benchmark` and `config` say what was measured, `ours` and `peer` are medians
in `unit`, `peer_name` says whose; `ratio` is what is compared with `target`, `direction` being
"at_least" or "at_most", and `spread` the lowest and highest ratio of the single rounds. `command`
gives the row, `machine` is where it was run, and `note` says what is to be said of it.
"""

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import DOCS, check_types, locked, read, write
from hrec_tf import checks
from hrec_tf.data.atomic_files import write_whole

PERFORMANCE = DOCS / "performance.json"
NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    "benchmark": (str,),
    "config": (str,),
    "ours": NUMBER,
    "peer": NUMBER,
    "peer_name": (str,),
    "unit": (str,),
    "ratio": NUMBER,
    "spread": (list,),
    "target": NUMBER,
    "direction": (str,),
    "command": (str,),
    "machine": (str,),
    "note": (str,),
}
DIRECTIONS = ("at_least", "at_most")


def machine() -> str:
    """Says what the numbers were measured on."""
    import keras
    import tensorflow as tf

    processor = Path("/proc/cpuinfo")
    lines = processor.read_text(encoding="utf-8").splitlines() if processor.is_file() else []
    said = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    name = said.get("model name", platform.machine())
    wide = [kind for kind in ("avx512f", "avx2") if kind in said.get("flags", "").split()]
    name += f" ({wide[0]})" if wide else ""
    versions = f"TensorFlow {tf.__version__}, Keras {keras.__version__}"
    return f"{name}, {os.cpu_count()} cores; {versions}, Python {platform.python_version()}"


def compared(
    benchmark: str,
    config: str,
    *,
    ours: Sequence[float],
    peer: Sequence[float],
    peer_name: str,
    unit: str,
    target: float,
    direction: str,
    command: str,
    note: str = "",
) -> dict[str, Any]:
    """Returns the record of rounds that were run in turn, one value of each side a round.

    The ratio is ours by the peer's.
    """
    ratios = [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]
    mine, theirs = statistics.median(ours), statistics.median(peer)
    return {
        "benchmark": benchmark,
        "config": config,
        "ours": round(mine, 6),
        "peer": round(theirs, 6),
        "peer_name": peer_name,
        "unit": unit,
        "ratio": round(mine / theirs, 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
        "target": target,
        "direction": checks.require_choice("direction", direction, DIRECTIONS),
        "command": command,
        "machine": machine(),
        "note": note,
    }


def is_met(record: dict[str, Any]) -> bool:
    """Whether a row reaches its target."""
    if record["direction"] == "at_least":
        return record["ratio"] >= record["target"]
    return record["ratio"] <= record["target"]


def checked(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the records if each is sound, or raises ValueError."""
    for row, record in enumerate(records):
        where = f"record {row} of performance.json"
        check_types(record, _TYPES, where)
        checks.require_choice(f"{where}: direction", record["direction"], DIRECTIONS)
    return list(records)


def keep(new: Sequence[dict[str, Any]]) -> None:
    """Adds records to docs/performance.json; one of the same row is replaced."""
    with locked(DOCS):
        rows = {_row(record): record for record in (*read(PERFORMANCE), *new)}
        write(PERFORMANCE, checked(list(rows.values())))


def _row(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["benchmark"], record["config"], record["peer_name"]


def page(records: Sequence[dict[str, Any]]) -> str:
    """Returns docs/performance.md."""
    lines = [
        "# Performance",
        "",
        "`python -m benchmarks.performance` makes this page of docs/performance.json. Medians of "
        "rounds in which both sides took turns; in brackets the lowest and highest ratio of a "
        "round. Nothing here was measured on a GPU.",
    ]
    for benchmark in dict.fromkeys(record["benchmark"] for record in records):
        rows = [record for record in records if record["benchmark"] == benchmark]
        lines += ["", f"## {benchmark}", ""]
        lines += [
            "|  | ours | other | unit | ratio | target |  |",
            "|---|---:|---:|---|---:|---:|---|",
        ]
        # Ratios of two machines are not to be compared, so each row says whose it is.
        machines = list(dict.fromkeys(record["machine"] for record in rows))
        numbers = dict.fromkeys(machines, "")
        if len(machines) > 1:
            numbers = {name: f"[{number}] " for number, name in enumerate(machines, 1)}
        for record in rows:
            low, high = record["spread"]
            sign = "≥" if record["direction"] == "at_least" else "≤"
            whose = f" {numbers[record['machine']]}".rstrip()
            cells = [
                f"{record['config']}, against {record['peer_name']}{whose}",
                _shown(record["ours"]),
                _shown(record["peer"]),
                record["unit"],
                f"{record['ratio']:.2f} ({low:.2f} to {high:.2f})",
                f"{sign} {record['target']}",
                "met" if is_met(record) else "missed",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        notes = dict.fromkeys(record["note"] for record in rows if record["note"])
        lines += [text for note in notes for text in ("", note)]
        lines += ["", "```", *dict.fromkeys(record["command"] for record in rows), "```"]
        lines += [text for name in machines for text in ("", numbers[name] + name)]
    return "\n".join(lines) + "\n"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    records = checked(read(PERFORMANCE))
    write_whole(DOCS / "performance.md", page(records).encode())
    print(f"{len(records)} rows, {sum(map(is_met, records))} of them reach their target")


if __name__ == "__main__":
    main()
