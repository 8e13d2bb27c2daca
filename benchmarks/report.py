"""Writes docs/results.md from docs/results.json and docs/reference_numbers.json.

    python -m benchmarks.report

A record of results.json is one number: `dataset`, `protocol`, `model` (a name of the registry),
`recipe` (the settings, by name), `metric`, `mean` and `sd` (fractions; sd null for one seed),
`seeds` (how many), `published` (a fraction, or null), `command` and `version` that gave it.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hrec_tf import checks, registry
from hrec_tf.data import catalogue
from hrec_tf.recipes import files
from hrec_tf.reporting.tables import Table, spread

DOCS = Path(__file__).parents[1] / "docs"
RESULTS, REFERENCES, REPORT = (
    DOCS / "results.json",
    DOCS / "reference_numbers.json",
    DOCS / "results.md",
)
METRICS = ("Recall@5", "MRR@5", "Recall@20", "MRR@20")
SECONDS, TIES = "training_seconds", "tie_share"
ALL_METRICS = (*METRICS, TIES, SECONDS)

_TYPES: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "protocol": (str,),
    "model": (str,),
    "recipe": (str,),
    "metric": (str,),
    "mean": (float, int),
    "sd": (float, int, type(None)),
    "seeds": (int,),
    "published": (float, type(None)),
    "command": (str,),
    "version": (str,),
}
_REFERENCE_TYPES: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "software": (str,),
    "setting": (str,),
    "recipe": (str,),
    "ties": (str,),
    "metric": (str,),
    "mean": (float,),
    "sd": (float, type(None)),
    "seeds": (int,),
}

_HEAD = """# Results

Made from [results.json](results.json) by `python -m benchmarks.report`; do not edit. Every number
is a record there, with the command and the version that gave it. How we measure:
[evaluation.md](evaluation.md); settings: `hrec_tf/recipes/`, by the names in brackets.

Numbers are means over seeds ± sample standard deviation. Counting methods have no seed, so their
sd is 0. *Ties* is the share of points whose target shares its score with another item. Training
time is wall time on the CPU, compilation included; other work on the machine may have
lengthened it. None of these logs has published numbers of these models at this preparation. The
commands find the logs in the folder that the environment variable `HREC_DATA` names.

Where the tables put reference code beside ours, the settings are the same and these differences
remain. hgru4rec ends an epoch when the first lane runs out of users and loses the pairs behind
(the stream's option `reference_tail` does the same), plays users in one fixed order, lets each
repeat of an item in a batch make a step of its own in AdaGrad, and ranks scores after tanh, where
saturated ones tie. Ours sees every pair, draws a new order of users for each epoch, sums a row's
gradients first, and ranks before the activation. The official GRU4Rec differs in no such point.
"""


def key_of(record: dict[str, Any]) -> tuple[str, str, str, str]:
    """What makes a record one number and not another."""
    return record["dataset"], record["protocol"], record["recipe"], record["metric"]


def checked(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the records of results.json if each is sound, or raises ValueError."""
    seen = set()
    for row, record in enumerate(records):
        where = f"record {row}"
        _check_types(record, _TYPES, where)
        checks.require_choice(f"{where}: dataset", record["dataset"], catalogue.names())
        checks.require_choice(f"{where}: model", record["model"], registry.names())
        checks.require_choice(f"{where}: metric", record["metric"], ALL_METRICS)
        checks.require_choice(
            f"{where}: recipe", record["recipe"], files.of_data(record["dataset"])
        )
        for name in ("mean", "sd", "published"):
            value = record[name]
            is_share = record["metric"] != SECONDS
            if value is not None and (value < 0 or (is_share and value > 1)):
                raise ValueError(
                    f"{where}: `{name}` of {record['metric']} was {value}, but must be a fraction "
                    "in [0, 1] (seconds: at least 0). Write .25, not 25."
                )
        if record["seeds"] < 1 or (record["seeds"] == 1) != (record["sd"] is None):
            raise ValueError(
                f"{where}: `sd` was {record['sd']} over {record['seeds']} seeds, but one seed has "
                "no sd and several have one. Write null for one seed."
            )
        if key_of(record) in seen:
            raise ValueError(f"{where} repeats {key_of(record)}. Keep one record of each.")
        seen.add(key_of(record))
    return records


def checked_references(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the records of reference_numbers.json if each is sound, or raises ValueError."""
    for row, record in enumerate(records):
        where = f"reference {row}"
        _check_types(record, _REFERENCE_TYPES, where)
        checks.require_choice(f"{where}: metric", record["metric"], METRICS)
        checks.require_choice(
            f"{where}: recipe", record["recipe"], files.of_data(record["dataset"])
        )
    return records


def to_markdown(records: list[dict[str, Any]], references: list[dict[str, Any]]) -> str:
    """Returns the text of docs/results.md."""
    parts = [_HEAD]
    for dataset in _ordered(record["dataset"] for record in records):
        here = [record for record in records if record["dataset"] == dataset]
        parts.append(f"## {dataset}\n\n{catalogue.entry(dataset).about}\n")
        for protocol in _ordered(record["protocol"] for record in here):
            rows = [record for record in here if record["protocol"] == protocol]
            parts.append(f"{protocol}; {_seeds_text(rows)}.\n\n{_table(rows).to_markdown()}\n")
        compared = _reference_table(here, [r for r in references if r["dataset"] == dataset])
        if compared.rows:
            parts.append(
                "Beside reference code, measured on the same split with the same settings; each "
                f"cell is theirs → ours.\n\n{compared.to_markdown()}\n"
            )
        commands = _ordered(f"{r['command']}  # {r['version']}" for r in here)
        parts.append("\n".join(["```", *commands, "```"]) + "\n")
    return "\n".join(parts)


def _table(records: list[dict[str, Any]]) -> Table:
    rows = []
    for recipe in _ordered(record["recipe"] for record in records):
        cells = {r["metric"]: r for r in records if r["recipe"] == recipe}
        model = next(iter(cells.values()))["model"]
        title = registry.entry(model).title + ("" if model == recipe else f" ({recipe})")
        row = [title, *(_cell(cells.get(metric)) for metric in METRICS)]
        ties, seconds = cells.get(TIES), cells.get(SECONDS)
        row.append("" if ties is None else f"{ties['mean']:.1%}")
        row.append("" if seconds is None else f"{seconds['mean']:,.1f} s")
        rows.append(tuple(row))
    return Table(("model", *METRICS, "ties", "training"), tuple(rows))


def _reference_table(records: list[dict[str, Any]], references: list[dict[str, Any]]) -> Table:
    rows = []
    named = _ordered((r["software"], r["setting"], r["recipe"], r["ties"]) for r in references)
    for software, setting, recipe, ties in named:
        ours = {
            record["metric"]: record
            for record in records
            if record["recipe"] == recipe and f"{ties} ties" in record["protocol"]
        }
        if not ours:
            continue
        cells = []
        for metric in METRICS:
            theirs = [
                r
                for r in references
                if (r["software"], r["setting"], r["recipe"], r["ties"], r["metric"])
                == (software, setting, recipe, ties, metric)
            ]
            cells.append(f"{_cell(theirs[0])} → {_cell(ours.get(metric))}" if theirs else "")
        rows.append((f"{setting} ({software}, {ties} ties)", *cells))
    return Table(("setting", *METRICS), tuple(rows))


def _cell(record: dict[str, Any] | None) -> str:
    if record is None:
        return "–"
    return spread(record["mean"], record["sd"])


def _seeds_text(records: list[dict[str, Any]]) -> str:
    counts = sorted({record["seeds"] for record in records})
    return f"{' or '.join(map(str, counts))} seed{'' if counts == [1] else 's'}"


def _ordered(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _check_types(record: dict[str, Any], types: dict[str, tuple[type, ...]], where: str) -> None:
    for name in record:
        checks.require_choice(f"{where}: key", name, types)
    for name, allowed in types.items():
        if name not in record or not isinstance(record[name], allowed):
            wanted = " or ".join("null" if t is type(None) else t.__name__ for t in allowed)
            raise ValueError(
                f"{where}: `{name}` was {record.get(name)!r}, but must be {wanted}. Write it as "
                "the head of benchmarks/report.py says."
            )


def read(path: Path) -> list[dict[str, Any]]:
    """Reads a file of records; none if it is not there yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def as_json(records: Sequence[dict[str, Any]]) -> str:
    """One record per line, so that a change shows as one line."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    return f"[\n{lines}\n]\n" if records else "[]\n"


def report() -> str:
    """Returns what docs/results.md must hold."""
    return to_markdown(checked(read(RESULTS)), checked_references(read(REFERENCES)))


if __name__ == "__main__":
    REPORT.write_text(report(), encoding="utf-8")
