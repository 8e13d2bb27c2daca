"""Tries changes of a recipe on the validation part of a log, and keeps a list of the trials.

    python -m benchmarks.trials --data citeulike-hcrnn --model hcrnn-3-bi \
        --set loss.label_smoothing=0.1

The test part is never ranked here: a recipe is chosen by this list, then measured once by
`python -m benchmarks.measure`. Each trial adds a line to trials.txt as soon as it is done.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import ks_of, metrics_of
from hrec_tf.cli import console
from hrec_tf.data.log_source import LogSource
from hrec_tf.fitting import best_epoch, evaluate, train
from hrec_tf.recipe import Recipe, parse_value

TRIALS = Path(__file__).with_name("trials.txt")


def key_of(arguments: Sequence[str]) -> str:
    """Returns what stands before a trial's numbers, for the arguments of its command."""
    return " ".join(arguments)


def read() -> dict[str, dict[str, float]]:
    """Returns trial -> metric -> percent, of all that were made."""
    lines = TRIALS.read_text(encoding="utf-8").splitlines()
    found = {}
    for key, numbers in zip(lines[::2], lines[1::2], strict=True):
        parts = (part.rpartition(" ") for part in numbers.split("  ") if "@" in part)
        found[key] = {name.strip(): float(value) for name, _, value in parts}
    return found


def trial(source: LogSource, recipe: Recipe, seed: int) -> str:
    """Trains a recipe and returns its numbers on the validation part, in percent."""
    data, prepared = source.data, source.load()
    training, validation = prepared.for_validation()
    given = {"validation": validation} if recipe.needs_validation else {}
    model = train(recipe, training, seed=seed, features=prepared.features, **given)
    found = evaluate(recipe, model, validation, ks=ks_of(data), ties="standard")
    numbers = "  ".join(f"{name} {100 * found.metrics[name]:.2f}" for name in metrics_of(data))
    if recipe.entry.is_baseline:
        return numbers
    epochs = len(model.history.history["loss"])
    return f"{numbers}  best epoch {best_epoch(recipe, model) or epochs} of {epochs}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trials", description=__doc__)
    parser.add_argument("--data", required=True, help="a named log")
    parser.add_argument("--model", required=True, help="the recipe that is changed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("temporal",), help="in place of the log's own")
    parser.add_argument("--days", type=float, help="how long the test of `temporal` lasts")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args(arguments)
    console.import_tensorflow()
    changes = {}
    for change in options.set:
        key, _, value = change.partition("=")
        changes[key] = parse_value(value)
    recipe = Recipe.for_data(options.data, options.model).with_changes(changes)
    split = {"name": options.split, "days": options.days}
    source = LogSource(options.data, split={k: v for k, v in split.items() if v is not None})
    sets = [text for change in options.set for text in ("--set", change)]
    by = ["--split", options.split, "--days", f"{options.days:g}"] if options.split else []
    own = ["--data", options.data, *by, "--model", options.model]
    own += ["--seed", str(options.seed), *sets]
    line = f"{key_of(own)}\n    {trial(source, recipe, options.seed)}\n"
    with TRIALS.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # trials may run side by side
        file.write(line)
    print(line, end="", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main())
