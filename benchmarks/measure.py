"""Measures recipes on named logs and keeps the numbers in docs/.

    python -m benchmarks.measure --data online-retail --seeds 0,1,2

One recipe after the other, seed by seed; each seed is written to results_by_seed.json as soon as
it is done, with the means over the seeds so far to results.json. A seed that is there already is
passed over, so that a run may be stopped and started again, more seeds may be added later, and
several runs may go on side by side, with other recipes or seeds each. Then
`python -m benchmarks.report` writes docs/results.md. Another split than the log's own,

    python -m benchmarks.measure --data globo-10k --split temporal --days 1 --models pop,recent-pop

has a table of its own there: its points are others. With --serving, how much of the catalogue the
lists show is measured too, and how many lists a second are made; with --ranks, the rank of every
target is kept in a folder, for `python -m benchmarks.paired`.
"""

import argparse
import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import by_seed, paired, recommending, report
from benchmarks.records import (
    BEST_EPOCH,
    COVERAGE,
    EPOCHS,
    LEAVE_ONE_OUT,
    LISTS,
    SECONDS,
    TIES,
    ks_of,
    metrics_of,
    read,
)
from hrec_tf import __version__
from hrec_tf.cli import console
from hrec_tf.cli.options import whole_numbers
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.fitting import counting_on
from hrec_tf.recipe import Recipe, with_shared_changes

if TYPE_CHECKING:
    from hrec_tf.reporting.comparison import Result

ZOO = ("pop", "s-pop", "ppop", "item-knn", "gru4rec", "rnn-concat", "hrnn-init", "hrnn-all")
NEIGHBOURS = ("sknn", "v-sknn", "stan")
SONG = (
    *("pop", "s-pop", "item-knn", *NEIGHBOURS, "bpr-mf"),
    *("lstm4rec-prefix", "gru4rec-prefix", "narm", "stamp", "stamp-2018"),
    *("hcrnn-1", "hcrnn-2", "hcrnn-3", "hcrnn-3-bi"),
)
USER_AWARE = ("sknn-user", "v-sknn-user", "stan-user")
CHOE = ("pop", "bpr-mf", "fmc", "fpmc", *NEIGHBOURS, "gru4rec", "gru4rec+", "hi-rnn")
BY_SESSION = (*ZOO, *NEIGHBOURS, *USER_AWARE)
MORE = ("gru4rec-by-user", "hrnn-all-rz", "gru4rec+", "gru4rec+-bpr-max")
OF_SESSIONS = (
    *("bpr-mf", "fmc", "coevent-mf", "lstm4rec", "stacked-gru"),
    *("gru4rec-prefix", "lstm4rec-prefix", "narm", "stamp-2018", "hcrnn-3-bi"),
)
OF_USERS = ("user-gru", "collaborative-rnn")
OF_LEVELS = ("hi-rnn", "hm-rnn", "hs-lstm", "hgru", "hrnn-meta-control")
RECIPES = {
    **dict.fromkeys(LEAVE_ONE_OUT, CHOE),
    "online-retail": (*BY_SESSION, *MORE),
    "globo-10k": (*BY_SESSION, *MORE),
    "globo-news": (
        *(*BY_SESSION, "recent-pop", "fpmc"),
        *(*OF_SESSIONS, "rnn-bpm-large-log", *OF_USERS, *OF_LEVELS),
        *("hcrnn-1", "hcrnn-2", "hcrnn-3", "hcrnn-3-bi-causal"),
    ),
    "foursquare-nyc": BY_SESSION,
    "yoochoose-100k": (
        *NEIGHBOURS,
        *("pop", "recent-pop", "s-pop", "item-knn", "gru4rec"),
        *("gru4rec+", "gru4rec+-bpr-max", "gru4rec+-in-batch", "gru4rec-embedding"),
        *("hcrnn-1", "hcrnn-2", "hcrnn-3", "hcrnn-3-bi-causal"),
        *(*OF_SESSIONS, "rnn-bpm", *OF_LEVELS),
    ),
    **dict.fromkeys(
        ("citeulike-hcrnn", "movielens-hcrnn-sequences", "lastfm-hcrnn-sequences"), SONG
    ),
}


def protocol_of(source: LogSource, recipe: Recipe, ties: str) -> str:
    """Split, candidates and ties, in words that the records share."""
    chosen = recipe.complete().evaluation
    candidates = "full ranking"
    if chosen["top_pop"] is not None:
        candidates = f"top_pop={chosen['top_pop']}"
    if chosen["sampled_negatives"] is not None:
        candidates = f"{chosen['sampled_negatives']} sampled ({chosen['sampling']})"
    return f"{source.split_label}, {candidates}, {ties} ties"


@dataclass(frozen=True)
class Task:
    """One recipe on one log, under several tie modes, and where its numbers are kept.

    Args:
        source: the log.
        recipe: the settings.
        ties: tie modes.
        path: of the file of means; that of the seeds lies beside it.
        more: options of the command that change what is measured, as text.
        serving: whether coverage and lists a second are measured, too.
        ranks: a folder for the rank of every target; None keeps none.
    """

    source: LogSource
    recipe: Recipe
    ties: tuple[str, ...]
    path: Path
    more: str = ""
    serving: bool = False
    ranks: Path | None = None

    @property
    def by_seed(self) -> Path:
        return self.path.with_name(by_seed.BY_SEED.name)

    def place(self, ties: str) -> tuple[str, str, str]:
        """Log, protocol and recipe of the records under a tie mode."""
        protocol = protocol_of(self.source, self.recipe, ties)
        return self.source.data, protocol, self.recipe.name

    def command(self, seeds: list[int]) -> str:
        return by_seed.command_of(self.source.data, shlex.quote(self.recipe.name), seeds, self.more)

    def missing(self, seeds: list[int]) -> list[int]:
        """Returns those of the seeds of which something that is asked for is not there.

        Raises:
            ValueError: a mean is there without the values that it is of, and without something
                that is asked for, or values that another command gave.
        """
        records = read(self.by_seed)
        self._require_same_command(records)
        held = [set(by_seed.seeds_held(records, self.place(ties))) for ties in self.ties]
        if not any(held) and (of_old := self._seeds_of_old()):
            if set(seeds) <= of_old and not self.serving and self.ranks is None:
                return []
            raise ValueError(
                f"`seeds` was {seeds}, but the mean of {self.recipe.name} on {self.source.data} is "
                f"over {sorted(of_old)} without their values, their coverage and their ranks, so "
                "nothing can be added to it. Measure those again, too, with --again."
            )
        if self.ranks is not None:
            held.append(set(paired.seeds_held(self.ranks, self.place(self.ties[0]))))
        return [seed for seed in seeds if not all(seed in some for some in held)]

    def _require_same_command(self, records: list[dict[str, Any]]) -> None:
        places, own = [self.place(ties) for ties in self.ties], self.command([0])
        for record in records:
            if by_seed.place_of(record) in places and (
                by_seed.without_seeds(record["command"]) != by_seed.without_seeds(own)
            ):
                raise ValueError(
                    f"{own!r} differs by more than the seed from what seed {record['seed']} of "
                    f"{self.recipe.name} was measured with, {record['command']!r}, but a mean is "
                    "over runs that differ in their seed alone. Leave the options as they were, or "
                    "measure all anew, with --again."
                )

    def _seeds_of_old(self) -> set[int]:
        """Seeds of means that were written before their values were kept."""
        places = [self.place(ties) for ties in self.ties]
        found = [
            {int(seed) for seed in re.findall(r"--seeds (\S+)", r["command"])[0].split(",")}
            for r in read(self.path)
            if (r["dataset"], r["protocol"], r["recipe"]) in places
        ]
        return set.intersection(*found) if found else set()

    def keep(self, result: "Result", log: PreparedLog, seeds: list[int]) -> None:
        """Writes what was measured with these seeds."""
        beside = serving_values(result, log) if self.serving else {}
        if self.ranks is not None:
            for number, seed in enumerate(seeds):
                paired.keep(self.ranks, self.place(self.ties[0]), seed, result.evaluations[number])
        new = [
            {
                **dict(zip(("dataset", "protocol", "recipe"), self.place(ties), strict=True)),
                "model": self.recipe.model,
                "seed": seed,
                "values": values_of(result, number, log, self.source.data, ties) | beside,
                "command": self.command([seed]),
                "version": __version__,
            }
            for ties in self.ties
            for number, seed in enumerate(seeds)
        ]
        by_seed.keep(self.path, self.by_seed, new)


def values_of(
    result: "Result", number: int, log: PreparedLog, data: str, ties: str
) -> dict[str, float]:
    """All numbers of one seed of a result, with equal scores settled in one way."""
    from hrec_tf.evaluation import summarise

    held = result.evaluations[number]
    found = summarise(held.ranks, log.test, ks=ks_of(data), ties=ties, average=held.average)
    values = {name: round(found.metrics[name], 6) for name in metrics_of(data)}
    values[TIES] = round(found.tie_share, 6)
    values[SECONDS] = round(result.seconds[number], 6)
    if result.best_epochs:
        values[EPOCHS] = len(result.history[number]["loss"])
        values[BEST_EPOCH] = result.best_epochs[number]
    return values


def serving_values(result: "Result", log: PreparedLog) -> dict[str, float]:
    """Coverage of the last seed's lists, and how many are made in a second."""
    from hrec_tf.evaluation import best_items, coverage

    with counting_on(result.recipe, result.fitted, log.test):
        lists = best_items(result.fitted, log.test, k=20)
    speed = recommending.lists_per_second(recommending.of_log(result.fitted, log))
    return {COVERAGE: round(coverage(lists, log.test.num_items), 6), LISTS: round(speed, 1)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=__doc__)
    parser.add_argument("--data", required=True, help="named logs, with commas between")
    parser.add_argument("--models", help="recipes (default: those of docs/results.md)")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, help="in place of the recipes' (for a trial)")
    parser.add_argument("--ties", default="conservative,standard")
    parser.add_argument("--record", type=Path, default=report.RESULTS)
    parser.add_argument("--again", action="store_true", help="measure what is there already")
    parser.add_argument("--split", choices=("temporal",), help="in place of the log's own")
    parser.add_argument("--days", type=float, help="how long the test of `temporal` lasts")
    parser.add_argument("--serving", action="store_true", help="coverage and lists a second, too")
    parser.add_argument("--ranks", type=Path, help="a folder for the rank of every target")
    options = parser.parse_args(arguments)
    split = {"name": options.split, "days": options.days}
    split = {name: value for name, value in split.items() if value is not None}
    sources = [LogSource(data, split=split) for data in options.data.split(",")]
    console.import_tensorflow()
    for source in sources:
        measure_log(source, options)
    return 0


def measure_log(source: LogSource, options: argparse.Namespace) -> None:
    """Measures the recipes of one log, one after the other."""
    names = options.models.split(",") if options.models else RECIPES[source.data]
    recipes = [Recipe.for_data(source.data, name) for name in names]
    changes = {} if options.epochs is None else {"epochs": options.epochs}
    more = "" if options.epochs is None else f" --epochs {options.epochs}"
    if options.split is not None:
        more += f" --split {options.split} --days {options.days:g}"
    if options.serving:
        more += " --serving"
    prepared: PreparedLog | None = None
    by_seed.keep(options.record, options.record.with_name(by_seed.BY_SEED.name), [])
    for recipe in with_shared_changes(recipes, changes):
        ties = tuple(options.ties.split(","))
        task = Task(source, recipe, ties, options.record, more, options.serving, options.ranks)
        seeds = whole_numbers("seeds", options.seeds)
        if not options.again:
            seeds = task.missing(seeds)
        if not seeds:
            print(f"{source.data} {recipe.name}: held already", flush=True)
            continue
        if prepared is None:
            with console.Progress().watch(f"preparing {source.data}"):
                prepared = source.load()
        measure_seeds(task, prepared, seeds)


def measure_seeds(task: Task, log: PreparedLog, seeds: list[int]) -> None:
    """Measures seeds of a recipe, and keeps each as soon as it is done."""
    from hrec_tf.reporting.comparison import measure

    # What is counted has the same ranks with every seed.
    is_random = task.recipe.entry.is_random
    for some in [[seed] for seed in seeds] if is_random else [seeds]:
        watch = console.Progress().watch
        result = measure(task.recipe, log, seeds=some, watch=watch, keep=task.serving)
        task.keep(result, log, some)
        values = values_of(result, 0, log, task.source.data, task.ties[0])
        numbers = "  ".join(f"{name} {value:,.5g}" for name, value in values.items())
        which = ",".join(map(str, some))
        print(f"{task.source.data} {task.recipe.name} seed {which}: {numbers}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
