"""The values of each seed, from which means, their spread and tests between recipes are taken.

A record of docs/results_by_seed.json is one seed of one recipe under one tie mode: `dataset`,
`protocol`, `model`, `recipe`, `seed`, `values` (metric -> fraction, seconds or epochs), `command`
and `version` that gave it.
"""

from pathlib import Path
from typing import Any

from benchmarks import published
from benchmarks.records import (
    BESIDE,
    DOCS,
    check_types,
    locked,
    metrics_of,
    read,
    require_value,
    write,
)
from hrec_tf import checks, registry
from hrec_tf.data import catalogue
from hrec_tf.recipes import files

BY_SEED = DOCS / "results_by_seed.json"

_TYPES: dict[str, tuple[type, ...]] = {
    "dataset": (str,),
    "protocol": (str,),
    "model": (str,),
    "recipe": (str,),
    "seed": (int,),
    "values": (dict,),
    "command": (str,),
    "version": (str,),
}
_SEEDS = " --seeds "


def place_of(record: dict[str, Any]) -> tuple[str, str, str]:
    """What the seeds of one mean have in common."""
    return record["dataset"], record["protocol"], record["recipe"]


def command_of(data: str, recipe: str, seeds: list[int], more: str = "") -> str:
    """The command that measures these seeds of a recipe."""
    listed = ",".join(map(str, seeds))
    return f"python -m benchmarks.measure --data {data} --models {recipe}{more}{_SEEDS}{listed}"


def without_seeds(command: str) -> str:
    """What a command is but for its seeds."""
    return command.rpartition(_SEEDS)[0]


def checked(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the records of results_by_seed.json if each is sound, or raises ValueError."""
    seen = set()
    for row, record in enumerate(records):
        where = f"seed record {row}"
        check_types(record, _TYPES, where)
        dataset = record["dataset"]
        checks.require_choice(f"{where}: dataset", dataset, catalogue.names())
        checks.require_choice(f"{where}: model", record["model"], registry.names())
        checks.require_choice(f"{where}: recipe", record["recipe"], files.of_data(dataset))
        for metric, value in record["values"].items():
            checks.require_choice(f"{where}: metric", metric, (*metrics_of(dataset), *BESIDE))
            require_value(where, metric, "values", value)
        key = (*place_of(record), record["seed"])
        if key in seen:
            raise ValueError(f"{where} repeats {key}. Keep one record of each seed.")
        seen.add(key)
    return records


def seeds_held(records: list[dict[str, Any]], place: tuple[str, str, str]) -> list[int]:
    """Returns the seeds that are there of a recipe under a protocol, in order."""
    return sorted(record["seed"] for record in records if place_of(record) == place)


def means(records: list[dict[str, Any]], place: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Returns the records of results.json that follow from the seeds of a place."""
    from hrec_tf.evaluation import mean_sd

    held = sorted((r for r in records if place_of(r) == place), key=lambda r: r["seed"])
    listed = ",".join(str(record["seed"]) for record in held)
    dataset, protocol, recipe = place
    found = []
    for metric in (*metrics_of(dataset), *BESIDE):
        values = [r["values"][metric] for r in held if metric in r["values"]]
        if not values:
            continue
        value = mean_sd(values)
        found.append(
            {
                "dataset": dataset,
                "protocol": protocol,
                "model": held[-1]["model"],
                "recipe": recipe,
                "metric": metric,
                "mean": round(value.mean, 6),
                "sd": None if value.sd is None else round(value.sd, 6),
                "seeds": len(values),
                "published": published.value(dataset, protocol, recipe, metric),
                "command": without_seeds(held[-1]["command"]) + _SEEDS + listed,
                "version": ", ".join(sorted({record["version"] for record in held})),
            }
        )
    return found


def keep(path: Path, by_seed: Path, new: list[dict[str, Any]]) -> None:
    """Adds records of seeds to their file, and the means that follow to theirs.

    Without any it finds out whether there is a fault in the files, before the work is done.

    Processes may do so side by side: each reads what the others wrote before it.

    Args:
        path: of the file of means.
        by_seed: of the file of seeds, in the same folder.
        new: records of seeds; one that is there already is replaced, and those that another
            command gave are dropped: a mean is over runs that differ in their seed alone.
    """
    from benchmarks.report import checked as checked_means
    from benchmarks.report import key_of

    files.by_recipe.cache_clear()  # others may have written recipes while this one was measured
    with locked(path.parent):
        commands = {place_of(record): without_seeds(record["command"]) for record in new}
        seeds = {
            (*place_of(record), record["seed"]): record
            for record in read(by_seed)
            if commands.get(place_of(record)) in (None, without_seeds(record["command"]))
        }
        seeds |= {(*place_of(record), record["seed"]): record for record in new}
        records = checked(list(seeds.values()))
        held = {key_of(record): record for record in read(path)}
        for place in dict.fromkeys(place_of(record) for record in new):
            held |= {key_of(record): record for record in means(records, place)}
        written = checked_means(list(held.values()))
        write(by_seed, records)
        write(path, written)
