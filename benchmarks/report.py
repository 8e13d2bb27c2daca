"""Writes docs/results.md from the files of numbers in docs/.

    python -m benchmarks.report

A record of results.json is one number: `dataset`, `protocol` (split, candidates and ties; another
split than the log's own has tables of its own), `model` (a name of the registry), `recipe` (the
settings, by name), `metric`, `mean` and `sd` (fractions; sd null for one seed), `seeds` (how
many), `published` (the fraction that it may be compared with, from published_numbers.json, or
null), `command` and `version` that gave it. Means of which the values by seed were kept follow
from results_by_seed.json. Numbers of other people's code on the same logs are in
reference_numbers.json.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import (
    beside_published,
    by_seed,
    log_cautions,
    meta_tables,
    published,
    recommending,
)
from benchmarks.beside_published import title_of
from benchmarks.records import (
    BESIDE,
    BEST_EPOCH,
    COVERAGE,
    DOCS,
    LISTS,
    SECONDS,
    TIES,
    check_types,
    is_own_split,
    metrics_of,
    read,
    require_value,
    split_of,
)
from hrec_tf import checks, registry
from hrec_tf.data import catalogue
from hrec_tf.recipe import Recipe
from hrec_tf.recipes import files
from hrec_tf.reporting.tables import Table, spread

RESULTS, REFERENCES, REPORT = (
    DOCS / "results.json",
    DOCS / "reference_numbers.json",
    DOCS / "results.md",
)

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

Made from [results.json](results.json) and [results_meta.json](results_meta.json) by
`python -m benchmarks.report`; do not edit. Every number is a record there, with the command and
the version that gave it. How we measure: [evaluation.md](evaluation.md); settings:
`hrec_tf/recipes/`, by the names in brackets.

Numbers are means over seeds ± sample standard deviation. Counting methods have no seed, so their
sd is 0. *Ties* is the share of points whose target shares its score with another item. Training
time is wall time on the CPU, compilation included; other work on the machine may have
lengthened it. *Best epoch* is the one whose weights were tested, of a training that validation
ended. *Coverage@20* is the share of the catalogue that the lists of 20 show, *lists/s* how many a
second are made of 500 histories, 100 at a time; of the user-based GRU and the collaborative RNN,
which are not served, those of all test points in one go, which is many times as fast. Where a log
has published numbers of these models at this preparation, they stand beside ours; of the others
there are none. *BPR-MF* is that of a session, the mean of its items' vectors; by Hi-RNN's protocol
(drawn candidates) that of the paper, a vector for each user. The commands find the logs in the
folder that the environment variable `HREC_DATA` names.

Where the tables put reference code beside ours, the settings are the same and these differences
remain. hgru4rec ends an epoch when the first lane runs out of users and loses the pairs behind
(the stream's option `reference_tail` does the same), plays users in one fixed order, lets each
repeat of an item in a batch make a step of its own in AdaGrad, and ranks scores after tanh, where
saturated ones tie. Ours sees every pair, draws a new order of users for each epoch, sums a row's
gradients first, and ranks before the activation. The official GRU4Rec differs in no such point.
"""


_OF_DRAWN = """ A target is ranked among
items that are drawn for it, as some papers do: metrics are far higher than among all items, and
methods may stand in another order (Krichene & Rendle, KDD 2020). What is named *full* ranks among
all."""

_BESIDE = {
    BEST_EPOCH: ("best epoch", ".1f", True),
    COVERAGE: ("coverage@20", ".1%", False),
    LISTS: ("lists/s", ",.0f", False),
}
"""Columns that a table has where some record does: title, format, whether sd is shown."""


def key_of(record: dict[str, Any]) -> tuple[str, str, str, str]:
    """What makes a record one number and not another."""
    return record["dataset"], record["protocol"], record["recipe"], record["metric"]


def checked(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the records of results.json if each is sound, or raises ValueError."""
    seen = set()
    for row, record in enumerate(records):
        where = f"record {row}"
        check_types(record, _TYPES, where)
        checks.require_choice(f"{where}: dataset", record["dataset"], catalogue.names())
        checks.require_choice(f"{where}: model", record["model"], registry.names())
        known = (*metrics_of(record["dataset"]), *BESIDE)
        checks.require_choice(f"{where}: metric", record["metric"], known)
        checks.require_choice(
            f"{where}: recipe", record["recipe"], files.of_data(record["dataset"])
        )
        for name in ("mean", "sd", "published"):
            require_value(where, record["metric"], name, record[name])
        theirs = published.value(*key_of(record))
        if record["published"] != theirs:
            raise ValueError(
                f"{where}: `published` was {record['published']}, but published_numbers.json has "
                f"{theirs} for {key_of(record)}. Write the number once, there, and measure or "
                "correct the record."
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
        check_types(record, _REFERENCE_TYPES, where)
        known = metrics_of(record["dataset"])
        checks.require_choice(f"{where}: metric", record["metric"], known)
        checks.require_choice(
            f"{where}: recipe", record["recipe"], files.of_data(record["dataset"])
        )
    return records


def to_markdown(
    records: list[dict[str, Any]],
    references: list[dict[str, Any]],
    seeds: list[dict[str, Any]] | None = None,
) -> str:
    """Returns the text of docs/results.md."""
    parts = [_HEAD]
    for dataset in _ordered(record["dataset"] for record in records):
        of_log = [record for record in records if record["dataset"] == dataset]
        here = [r for r in of_log if is_own_split(dataset, r["protocol"])]
        others = [r for r in of_log if not is_own_split(dataset, r["protocol"])]
        theirs = published.table_of(dataset)
        parts.append(f"## {dataset}\n\n{catalogue.entry(dataset).about}\n")
        if sentences := log_cautions.kept(dataset):
            parts.append(
                "\n".join(["To keep in mind:\n", *(f"- {one}" for one in sentences)]) + "\n"
            )
        for protocol, rows in _by_protocol(here):
            parts.append(_protocol_part(protocol, rows))
            if theirs and theirs["comparable"] and published.is_of(theirs, protocol):
                parts += beside_published.beside(theirs, rows, seeds or [])
        if theirs and not theirs["comparable"]:
            parts += beside_published.apart(theirs, here)
        on_it = [r for r in references if r["dataset"] == dataset]
        if on_it and (compared := _reference_table(dataset, here, on_it)).rows:
            parts.append(
                "Beside reference code, measured on the same split with the same settings; each "
                f"cell is theirs → ours.\n\n{compared.to_markdown()}\n"
            )
        parts += _commands_part(here, recommending.told(dataset))
        for split in _ordered(split_of(record["protocol"]) for record in others):
            rows = [record for record in others if split_of(record["protocol"]) == split]
            parts.append(
                f"### {dataset}, {split}\n\nIn place of the split above: other training, other "
                "points. Its numbers do not compare with those above.\n"
            )
            parts += [_protocol_part(*part) for part in _by_protocol(rows)] + _commands_part(rows)
    return "\n".join(parts)


def _by_protocol(records: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    protocols = _ordered(record["protocol"] for record in records)
    return [(name, [r for r in records if r["protocol"] == name]) for name in protocols]


def _protocol_part(protocol: str, rows: list[dict[str, Any]]) -> str:
    caution = _OF_DRAWN if " sampled (" in protocol else ""
    notes = _told_text(rows) + _shorter_text(rows) + _unended_text(rows)
    return f"{protocol}; {_seeds_text(rows)}.{caution}\n\n{_table(rows).to_markdown()}\n{notes}"


def _told_text(rows: list[dict[str, Any]]) -> str:
    """Says which recipes know more than the others: when the event to be predicted comes."""
    names = [
        recipe
        for recipe in _ordered(row["recipe"] for row in rows)
        if _knows_the_time(Recipe.for_data(rows[0]["dataset"], recipe))
    ]
    if not names:
        return ""
    return (
        f"\nTold when the event to be predicted comes, as the others are not: {', '.join(names)}.\n"
    )


def _knows_the_time(recipe: Recipe) -> bool:
    arguments = recipe.complete().arguments
    return arguments.get("control") is not None or bool(arguments.get("use_query_gap"))


def _unended_text(rows: list[dict[str, Any]]) -> str:
    """Says which trainings were best at the last of their recipe's epochs, with every seed."""
    names = []
    for row in rows:
        whole = Recipe.for_data(row["dataset"], row["recipe"]).epochs
        if row["metric"] == BEST_EPOCH and row["mean"] == whole and not row["sd"]:
            names.append(f"{row['recipe']} ({whole})")
    if not names:
        return ""
    return (
        f"\nBest at the last epoch that the recipe has: {', '.join(names)}. More may raise them.\n"
    )


def _shorter_text(rows: list[dict[str, Any]]) -> str:
    """Says which recipes were trained for fewer epochs than they have."""
    shorter: dict[str, list[str]] = {}
    for recipe, (data, command) in {
        r["recipe"]: (r["dataset"], r["command"]) for r in rows
    }.items():
        if asked := re.search(r" --epochs (\d+)", command):
            whole = Recipe.for_data(data, recipe).epochs
            if whole and int(asked[1]) < whole:
                shorter.setdefault(asked[1], []).append(f"{whole} ({recipe})")
    return "".join(
        f"\nFewer epochs than the recipe has, for time: {epochs} of {', '.join(recipes)}. More may "
        "raise them.\n"
        for epochs, recipes in shorter.items()
    )


def _commands_part(records: list[dict[str, Any]], more: Sequence[str] = ()) -> list[str]:
    commands = [*_ordered(f"{r['command']}  # {r['version']}" for r in records), *more]
    return ["\n".join(["```", *commands, "```"]) + "\n"] if commands else []


def _table(records: list[dict[str, Any]]) -> Table:
    rows, metrics = [], metrics_of(records[0]["dataset"])
    held = {record["metric"] for record in records}
    speeds = recommending.speeds(records[0]["dataset"])
    more = [name for name in _BESIDE if name in held or (name == LISTS and speeds)]
    counts = {record["seeds"] for record in records}
    for recipe in _ordered(record["recipe"] for record in records):
        cells = {r["metric"]: r for r in records if r["recipe"] == recipe}
        model = next(iter(cells.values()))["model"]
        row = [
            title_of(records[0]["dataset"], model, recipe),
            *(_cell(cells.get(metric)) for metric in metrics),
        ]
        ties, seconds = cells.get(TIES), cells.get(SECONDS)
        row.append("" if ties is None else f"{ties['mean']:.1%}")
        row.append("" if seconds is None else f"{seconds['mean']:,.1f} s")
        if recipe in speeds and LISTS not in cells:
            cells[LISTS] = {"metric": LISTS, "mean": speeds[recipe], "sd": None}
        row += [_beside(cells.get(name)) for name in more]
        row += [str(next(iter(cells.values()))["seeds"])] * (len(counts) > 1)
        rows.append(tuple(row))
    head = ["model", *metrics, "ties", "training", *(_BESIDE[name][0] for name in more)]
    return Table((*head, *(["seeds"] if len(counts) > 1 else [])), tuple(rows))


def _reference_table(
    dataset: str, records: list[dict[str, Any]], references: list[dict[str, Any]]
) -> Table:
    rows, metrics = [], metrics_of(dataset)
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
        for metric in metrics:
            theirs = [
                r
                for r in references
                if (r["software"], r["setting"], r["recipe"], r["ties"], r["metric"])
                == (software, setting, recipe, ties, metric)
            ]
            cells.append(f"{_cell(theirs[0])} → {_cell(ours.get(metric))}" if theirs else "")
        rows.append((f"{setting} ({software}, {ties} ties)", *cells))
    return Table(("setting", *metrics), tuple(rows))


def _cell(record: dict[str, Any] | None) -> str:
    if record is None:
        return "–"
    return spread(record["mean"], record["sd"])


def _beside(record: dict[str, Any] | None) -> str:
    if record is None:
        return ""
    _, form, deviates = _BESIDE[record["metric"]]
    deviation = "" if record["sd"] is None or not deviates else f" ± {record['sd']:{form}}"
    return f"{record['mean']:{form}}{deviation}"


def _seeds_text(records: list[dict[str, Any]]) -> str:
    counts = sorted({record["seeds"] for record in records})
    return f"{' or '.join(map(str, counts))} seed{'' if counts == [1] else 's'}"


def _ordered(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def report() -> str:
    """Returns what docs/results.md must hold."""
    records, references = checked(read(RESULTS)), checked_references(read(REFERENCES))
    text = to_markdown(records, references, by_seed.checked(read(by_seed.BY_SEED)))
    return f"{text}\n{meta_tables.section(read(meta_tables.RESULTS))}"


if __name__ == "__main__":
    REPORT.write_text(report(), encoding="utf-8")
