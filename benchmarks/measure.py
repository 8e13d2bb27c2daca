"""Measures recipes on named logs and keeps the numbers as records in docs/results.json.

    python -m benchmarks.measure --data online-retail --seeds 0,1,2

One recipe after the other, in one process; each is written as soon as it is done, and one that
is there already is passed over, so that a run may be stopped and started again. Then
`python -m benchmarks.report` writes docs/results.md.
"""

import argparse
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import report
from hrec_tf import __version__
from hrec_tf.cli import console
from hrec_tf.cli.options import whole_numbers
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.recipe import Recipe, with_shared_changes
from hrec_tf.reporting.tables import spread

if TYPE_CHECKING:
    from hrec_tf.reporting.comparison import Result

ZOO = ("pop", "s-pop", "ppop", "item-knn", "gru4rec", "rnn-concat", "hrnn-init", "hrnn-all")
RECIPES = {
    "online-retail": (*ZOO, "gru4rec-by-user", "hrnn-all-rz", "gru4rec+", "gru4rec+-bpr-max"),
    "globo-10k": (*ZOO, "gru4rec-by-user", "hrnn-all-rz", "gru4rec+", "gru4rec+-bpr-max"),
    "globo-news": ZOO,
    "foursquare-nyc": ZOO,
    "yoochoose-100k": (
        *("pop", "s-pop", "item-knn", "gru4rec"),
        *("gru4rec+", "gru4rec+-bpr-max", "gru4rec+-in-batch", "gru4rec-embedding"),
    ),
}


def protocol_of(source: LogSource, recipe: Recipe, ties: str) -> str:
    """Split, candidates and ties, in words that the records share."""
    top_pop = recipe.complete().evaluation["top_pop"]
    candidates = "full ranking" if top_pop is None else f"top_pop={top_pop}"
    return f"{source.split_name}, {candidates}, {ties} ties"


def records_of(
    result: "Result", source: LogSource, *, ties: str, command: str
) -> list[dict[str, Any]]:
    """The records of one result under one tie mode."""
    from hrec_tf.evaluation import mean_sd

    recipe = result.recipe
    spreads = {name: result.metric(name) for name in report.METRICS}
    spreads[report.TIES] = mean_sd([evaluation.tie_share for evaluation in result.evaluations])
    spreads[report.SECONDS] = result.training_seconds
    return [
        {
            "dataset": source.data,
            "protocol": protocol_of(source, recipe, ties),
            "model": recipe.model,
            "recipe": recipe.name,
            "metric": metric,
            "mean": round(value.mean, 6),
            "sd": None if value.sd is None else round(value.sd, 6),
            "seeds": value.num_seeds,
            "published": None,
            "command": command,
            "version": __version__,
        }
        for metric, value in spreads.items()
    ]


def with_ties(result: "Result", log: PreparedLog, ties: str) -> "Result":
    """The same ranks, with equal scores settled in another way."""
    from hrec_tf.evaluation import summarise

    evaluations = [
        summarise(evaluation.ranks, log.test, ks=(5, 20), ties=ties, average=evaluation.average)
        for evaluation in result.evaluations
    ]
    return replace(result, evaluations=tuple(evaluations))


def merge(path: Path, new: list[dict[str, Any]]) -> None:
    """Writes records into the file; one of the same key is replaced where it stands."""
    held = {report.key_of(record): record for record in report.read(path)}
    held |= {report.key_of(record): record for record in new}
    write_whole(path, report.as_json(report.checked(list(held.values()))).encode())


def is_held(path: Path, source: LogSource, recipe: Recipe, ties: list[str], seeds: int) -> bool:
    """Whether all numbers of a recipe are in the file, over that many seeds."""
    held = {report.key_of(r) for r in report.read(path) if r["seeds"] == seeds}
    return all(
        (source.data, protocol_of(source, recipe, mode), recipe.name, metric) in held
        for metric in report.ALL_METRICS
        for mode in ties
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=__doc__)
    parser.add_argument("--data", required=True, help="named logs, with commas between")
    parser.add_argument("--models", help="recipes (default: those of docs/results.md)")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, help="in place of the recipes' (for a trial)")
    parser.add_argument("--ties", default="conservative,standard")
    parser.add_argument("--record", type=Path, default=report.RESULTS)
    parser.add_argument("--again", action="store_true", help="measure what is there already")
    options = parser.parse_args(arguments)
    console.import_tensorflow()
    for data in options.data.split(","):
        measure_log(LogSource(data), options)
    return 0


def measure_log(source: LogSource, options: argparse.Namespace) -> None:
    """Measures the recipes of one log, one after the other."""
    from hrec_tf.reporting.comparison import measure

    progress = console.Progress()
    seeds, ties = whole_numbers("seeds", options.seeds), options.ties.split(",")
    names = options.models.split(",") if options.models else RECIPES[source.data]
    recipes = [Recipe.for_data(source.data, name) for name in names]
    changes = {} if options.epochs is None else {"epochs": options.epochs}
    prepared: PreparedLog | None = None
    for recipe in with_shared_changes(recipes, changes):
        if not options.again and is_held(options.record, source, recipe, ties, len(seeds)):
            print(f"{source.data} {recipe.name}: held already", flush=True)
            continue
        if prepared is None:
            with progress.watch(f"preparing {source.data}"):
                prepared = source.load()
        result = measure(recipe, prepared, seeds=seeds, watch=progress.watch)
        command = (
            f"python -m benchmarks.measure --data {source.data} "
            f"--models {shlex.quote(recipe.name)} --seeds {options.seeds}"
        )
        command += "" if options.epochs is None else f" --epochs {options.epochs}"
        for mode in ties:
            settled = with_ties(result, prepared, mode)
            merge(options.record, records_of(settled, source, ties=mode, command=command))
        values = {name: result.metric(name) for name in report.METRICS}
        numbers = "  ".join(f"{n} {spread(v.mean, v.sd)}" for n, v in values.items())
        seconds = result.training_seconds.mean
        print(f"{source.data} {recipe.name}: {numbers}  {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
