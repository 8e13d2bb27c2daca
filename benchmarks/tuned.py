"""Tunes methods on named logs, all with one budget, and writes what was found as recipes.

    python -m benchmarks.tuned --data online-retail

Each method has twelve trials on validation sessions made of the training part, one objective,
MRR@20, and one seed. The best becomes `[recipes.<method>-tuned]` of
hrec_tf/recipes/tuned_<log>.toml; that of HRNN+ stands there also without its heads, as
`hrnn+-network-same`, and that network without the user level, as `gru4rec+-same`. What the search
took and found is in docs/tuning.json. A recipe has the epochs and the weights of heads that
validation chose, so that the final training keeps every session. A method that has as many trials
already is passed over; a search that was stopped goes on; several runs may go on side by side, with
other methods each.

    python -m benchmarks.tuned --data globo-10k --rolling-days 1

takes the HRNN+ that was found, lets its counts run on, and chooses, by the same objective, their
half-life and how much they count on the last day of what a split that tests one day leaves for
training: `[recipes."hrnn+-rolling"]`.

Then `python -m benchmarks.measure --data online-retail --models stan-tuned` measures on the test
part, once.
"""

import argparse
import os
import sys
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.records import DOCS, locked, read, write
from hrec_tf import __version__
from hrec_tf.cli import console
from hrec_tf.data import plain_toml
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.fitting import evaluate, train
from hrec_tf.recipe import Recipe
from hrec_tf.tuning import Space, Tuned, tune

RECORDS, RECIPES = DOCS / "tuning.json", DOCS.parent / "hrec_tf" / "recipes"
OBJECTIVE, TRIALS, SEED = "MRR@20", 12, 0
RIVALS = ("item-knn", "v-sknn", "stan", "gru4rec+")
METHODS = {
    "online-retail": ("recent-pop", *RIVALS, "hrnn+"),
    "globo-10k": ("recent-pop", *RIVALS, "hrnn+-news"),
    "foursquare-nyc": ("recent-pop", *RIVALS, "hrnn+"),
    "tmall-shan": (*RIVALS, "hrnn+-without-times"),
}
ROLLING_HOURS = (0.5, 1.0, 2.0)
"""Half-lives that are tried where counts run on; a longer one follows the hour too slowly."""
HEADS = (
    *("reminders", "neighbours", "neighbour_weight"),
    *("popular", "popular_hours", "popular_moments", "popular_weight"),
)
"""Arguments of HRNN+ that its network alone does not have."""


def network_of(recipe: Recipe) -> Recipe:
    """Returns an HRNN+ without its heads: the scores are of the GRUs and nothing else."""
    arguments = {name: of for name, of in recipe.arguments.items() if name not in HEADS}
    return replace(recipe, name="hrnn+-network", arguments=arguments)


def without_users(network: Recipe) -> Recipe:
    """Returns the GRU4Rec+ whose settings are those of an HRNN+, without the user level."""
    of = network.arguments
    arguments = {"units": [of["session_units"]], "hidden_dropout": of["session_dropout"]}
    arguments |= {name: of[name] for name in ("embed_dropout", "layer_norm") if name in of}
    stream = {name: value for name, value in network.stream.items() if name != "max_events"}
    return replace(
        network, name="gru4rec+-same", model="gru4rec+", arguments=arguments, stream=stream
    )


def command_of(data: str, method: str, trials: int) -> str:
    return f"python -m benchmarks.tuned --data {data} --models {method} --trials {trials}"


def record_of(data: str, tuned: Tuned, trials: int) -> dict[str, Any]:
    """What a search took and found, as docs/tuning.json holds it."""
    first = tuned.trials[0].value
    return {
        "dataset": data,
        "model": tuned.base.model,
        "recipe": tuned.base.name,
        "objective": tuned.objective,
        "complete": tuned.count("complete"),
        "pruned": tuned.count("pruned"),
        "seconds": round(sum(trial.seconds for trial in tuned.trials), 1),
        "first": None if first is None else round(first, 6),
        "best": round(float(tuned.best.value or 0.0), 6),
        "command": command_of(data, tuned.base.name, trials),
        "version": __version__,
    }


def keep(data: str, tuned: Tuned, trials: int) -> None:
    """Writes a recipe and the record of its search; processes may do so side by side."""
    record = record_of(data, tuned, trials)
    with locked(DOCS):
        held = {(r["dataset"], r["recipe"]): r for r in read(RECORDS)}
        write(RECORDS, list((held | {(data, tuned.base.name): record}).values()))
    best = tuned.refitted
    found = {f"{best.name}-tuned": best}
    if best.name.startswith("hrnn+"):
        network = network_of(best)
        found |= {"hrnn+-network-same": network, "gru4rec+-same": without_users(network)}
    keep_recipes(data, found, record["command"])


def path_of(data: str) -> Path:
    return RECIPES / f"tuned_{data.replace('-', '_')}.toml"


def keep_recipes(data: str, found: dict[str, Recipe], command: str) -> None:
    """Writes recipes under these names beside those that are there."""

    def plain(recipe: Recipe) -> dict[str, Any]:
        content = recipe.to_dict() | {"source": command}
        return {key: value for key, value in content.items() if key != "name"}

    path = path_of(data)
    with locked(DOCS):
        content = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
        recipes = content.get("recipes", {}) | {name: plain(of) for name, of in found.items()}
        whole = {"data": data, "recipes": dict(sorted(recipes.items()))}
        write_whole(path, plain_toml.to_toml(whole).encode())


def tune_method(log: PreparedLog, data: str, method: str, trials: int, studies: Path) -> None:
    """Searches for the recipe of one method on one log, and keeps it."""
    training, validation = log.for_validation()
    recipe = Recipe.for_data(data, method)
    tuned = tune(
        recipe,
        Space.for_recipe(recipe),
        training,
        validation,
        trials=trials,
        study=studies / f"{data}-{method}.db",
        objective=OBJECTIVE,
        seed=SEED,
        pruner="none",
        features=log.features,
        watch=console.Progress().watch,
        show=lambda trial: print(f"{data} {method} {trial.to_dict()}", flush=True),
    )
    keep(data, tuned, trials)


def keep_rolling(data: str, days: float) -> None:
    """Writes the recipe of the tuned HRNN+ whose popularity of the hour counts on.

    Which half-life is best depends on whether it does: it is chosen anew, with the weight.
    """
    from hrec_tf.training import choose_head_weight

    path = path_of(data)
    held = tomllib.loads(path.read_text("utf-8"))["recipes"]
    (name,) = (name for name in held if name.startswith("hrnn+") and name.endswith("-tuned"))
    recipe = Recipe.for_data(data, name).with_changes({"evaluation.counts_on": True})
    log = LogSource(data, split={"name": "temporal", "days": days}).load()
    training, validation = log.for_validation()
    found = {}
    for hours in ROLLING_HOURS:
        changed = recipe.with_changes({"popular_hours": hours})
        model = train(changed, training, seed=SEED, features=log.features)
        measure = partial(measured, changed, model, validation)
        weights = choose_head_weight(model, "popular_weight", measure, OBJECTIVE)
        found |= {(hours, weight): value for weight, value in weights.items()}
        print(data, hours, {of: round(value, 4) for of, value in weights.items()}, flush=True)
    hours, weight = max(found, key=lambda of: found[of])
    command = f"python -m benchmarks.tuned --data {data} --rolling-days {days:g}"
    chosen = recipe.with_changes({"popular_hours": hours, "popular_weight": weight})
    keep_recipes(data, {"hrnn+-rolling": chosen}, command)


def measured(recipe: Recipe, model: Any, validation: Histories) -> dict[str, float]:
    return dict(evaluate(recipe, model, validation).metrics)


def trials_of(data: str, method: str) -> int:
    """How many trials a method had on a log; 0 if it was not tuned there."""
    there = (r for r in read(RECORDS) if (r["dataset"], r["recipe"]) == (data, method))
    return sum(record["complete"] + record["pruned"] for record in there)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuned", description=__doc__)
    parser.add_argument("--data", required=True, help="named logs, with commas between")
    parser.add_argument("--models", help="methods (default: those of docs/results.md)")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--rolling-days", type=float, help="days of the split that is to be tested")
    parser.add_argument("--studies", type=Path, default=Path("runs/studies"))
    options = parser.parse_args(arguments)
    options.studies.mkdir(parents=True, exist_ok=True)
    console.import_tensorflow()
    for data in options.data.split(","):
        if options.rolling_days is not None:
            keep_rolling(data, options.rolling_days)
            continue
        methods = options.models.split(",") if options.models else METHODS[data]
        missing = [name for name in methods if trials_of(data, name) < options.trials]
        if not missing:
            continue
        log = LogSource(data).load()
        for method in missing:
            tune_method(log, data, method, options.trials, options.studies)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
