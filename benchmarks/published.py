"""Published numbers: docs/published_numbers.json, one table of a paper after the other.

A table has `source`, `published_as` (the paper's name of the data), `dataset` (the log that we
measure beside it), `comparable` (whether ours may stand in one table with it), `note` (why not),
`ties` (null where no source tells), `tested` (the recipe that the paper tests against the best
baseline), and `rows`: each with the paper's `name`, our `recipe`, `baseline` (whether it is one),
`values` (metric -> fraction) and `note` (why the row is not to be compared with; empty if it is).
"""

import json
from functools import cache
from typing import Any

from benchmarks.records import DOCS, check_types, is_own_split, metrics_of, require_value
from hrec_tf import checks
from hrec_tf.recipes import files

PUBLISHED = DOCS / "published_numbers.json"

_TABLE: dict[str, tuple[type, ...]] = {
    "source": (str,),
    "published_as": (str,),
    "dataset": (str,),
    "comparable": (bool,),
    "note": (str,),
    "ties": (str, type(None)),
    "tested": (str,),
    "rows": (list,),
}
_ROW: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "recipe": (str,),
    "baseline": (bool,),
    "values": (dict,),
    "note": (str,),
}


def checked(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the tables of published_numbers.json if each is sound, or raises ValueError."""
    for place, table in enumerate(tables):
        where = f"published table {place}"
        check_types(table, _TABLE, where)
        known = files.of_data(table["dataset"])
        checks.require_choice(f"{where}: tested", table["tested"], known)
        if not table["comparable"] and not table["note"]:
            raise ValueError(
                f"{where}: `note` was empty, but the table is not comparable. Write why not."
            )
        for row in table["rows"]:
            check_types(row, _ROW, f"{where}, {row.get('name')}")
            checks.require_choice(f"{where}: recipe", row["recipe"], known)
            for metric, number in row["values"].items():
                checks.require_choice(f"{where}: metric", metric, metrics_of(table["dataset"]))
                require_value(where, metric, "values", number)
    return tables


@cache
def tables() -> tuple[dict[str, Any], ...]:
    """Returns all tables, checked; none if the file is not there."""
    if not PUBLISHED.is_file():
        return ()
    return tuple(checked(json.loads(PUBLISHED.read_text(encoding="utf-8"))))


def table_of(dataset: str) -> dict[str, Any] | None:
    """Returns the table that a log stands beside, or None."""
    return next((table for table in tables() if table["dataset"] == dataset), None)


def is_of(table: dict[str, Any], protocol: str) -> bool:
    """Whether a protocol has the log's own split and settles ties as the table does."""
    is_own = is_own_split(table["dataset"], protocol)
    return is_own and protocol.endswith(f"{table['ties']} ties")


def value(dataset: str, protocol: str, recipe: str, metric: str) -> float | None:
    """Returns the published number that a measured one may be compared with, or None."""
    table = table_of(dataset)
    if table is None or not table["comparable"] or not is_of(table, protocol):
        return None
    for row in table["rows"]:
        if row["recipe"] == recipe and not row["note"]:
            return row["values"].get(metric)
    return None
