"""Run folders: what `hrec train` leaves, and how it is read back.

    config.toml        everything that was set, defaults included
    vocabulary.txt     raw item ids, see `hrec_tf.data.vocabulary`
    model.weights.h5   weights; a counted baseline has none and is counted again
    metrics.json       what the test sessions gave
    history.csv        one line per epoch

A folder is written under a temporary name and renamed. Reading one runs no code of it: the
model is built from config.toml by the registry, then its weights are filled in.
"""

import csv
import io
import json
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrec_tf import __version__, checks
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_source import LogSource
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.recipe import Recipe, train
from hrec_tf.recipes import plain_toml

CONFIG, VOCABULARY, WEIGHTS = "config.toml", "vocabulary.txt", "model.weights.h5"
METRICS, HISTORY = "metrics.json", "history.csv"

_FORMAT = "hrec_tf run 1"
_MAX_CONFIG_BYTES = 2**20
_KEYS = ("format", "version", "seed", "validation", "num_items", "vocabulary", "log", "recipe")


@dataclass(frozen=True)
class Run:
    """A run folder that was read.

    Args:
        path: the folder.
        recipe: the settings, complete.
        log: where the log came from.
        seed: of the run.
        vocabulary: the items.
        validation: whether the training held sessions back, see `PreparedLog.for_validation`.
    """

    path: Path
    recipe: Recipe
    log: LogSource
    seed: int
    vocabulary: Vocabulary
    validation: bool = False

    def fitted(self, train_histories: Histories) -> Any:
        """Returns the trained model, or the baseline, counted on its training histories.

        Raises:
            ValueError: weights that do not fit the settings.
        """
        if self.recipe.entry.is_baseline:
            return train(self.recipe, train_histories, seed=self.seed)
        model = self.recipe.entry.build(
            num_items=self.vocabulary.num_items, seed=self.seed, **self.recipe.arguments
        )
        try:
            model.load_weights(self.path / WEIGHTS)
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{self.path / WEIGHTS} does not fit {CONFIG} beside it: {error}. Use the files "
                "of one run, or train again."
            ) from error
        return model


def require_free(path: str | Path) -> Path:
    """Returns the path if a run may be written there, or raises before the work is done."""
    path = Path(path)
    if path.exists():
        raise ValueError(
            f"`out` was {str(path)!r}, which exists, and runs are never overwritten. Choose "
            "another folder, or remove that one."
        )
    return path


def save(
    path: str | Path,
    fitted: Any,
    *,
    recipe: Recipe,
    log: LogSource,
    seed: int,
    vocabulary: Vocabulary,
    metrics: Mapping[str, Any],
    validation: bool = False,
) -> Path:
    """Writes a run folder, whole or not at all.

    Args:
        path: the folder to make.
        fitted: what `hrec_tf.recipe.train` returned.
        recipe: its recipe; written with every default.
        log: where the log came from.
        seed: of the run.
        vocabulary: of the training log.
        metrics: for metrics.json.
        validation: whether the training held sessions back.

    Raises:
        ValueError: the folder exists.
        OSError: it cannot be written; nothing is left behind.
    """
    path = require_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    config = {
        "format": _FORMAT,
        "version": __version__,
        "seed": seed,
        "validation": validation,
        "num_items": vocabulary.num_items,
        "vocabulary": vocabulary.fingerprint,
        "log": plain_toml.to_words(log.to_dict()),
        "recipe": recipe.complete().to_dict(),
    }
    try:
        (aside / CONFIG).write_text(plain_toml.to_toml(config), encoding="utf-8")
        vocabulary.save(aside / VOCABULARY)
        if not recipe.entry.is_baseline:
            fitted.save_weights(aside / WEIGHTS)
            (aside / HISTORY).write_text(_history_csv(fitted.history.history), encoding="utf-8")
        (aside / METRICS).write_text(json.dumps(dict(metrics), indent=2) + "\n", encoding="utf-8")
        aside.chmod(0o755)
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return path


def load(path: str | Path) -> Run:
    """Reads a run folder.

    Raises:
        FileNotFoundError: it is not there, or a file of it is not.
        ValueError: a file that is damaged, or of another run.
    """
    path = Path(path)
    for name in (CONFIG, VOCABULARY):
        if not (path / name).is_file():
            raise FileNotFoundError(
                f"{str(path)!r} holds no {name}, so it is no run folder. Pass a folder that "
                "`hrec train --out` wrote."
            )
    config = _config(path / CONFIG)
    recipe = Recipe.from_dict(config["recipe"]).check()
    if not recipe.entry.is_baseline and not (path / WEIGHTS).is_file():
        raise FileNotFoundError(
            f"{str(path)!r} holds no {WEIGHTS}, but {recipe.model} has weights. Use the whole "
            "folder that `hrec train --out` wrote."
        )
    vocabulary = Vocabulary.load(path / VOCABULARY)
    if vocabulary.fingerprint != config["vocabulary"]:
        raise ValueError(
            f"{VOCABULARY} of {str(path)!r} has {vocabulary.num_items} items and another "
            f"fingerprint than {CONFIG}, which knows {config['num_items']}. Use the files of one "
            "run: item numbers would mean other items."
        )
    log = LogSource.from_dict(plain_toml.from_words(config["log"]))
    return Run(path, recipe, log, int(config["seed"]), vocabulary, bool(config["validation"]))


def _config(path: Path) -> dict[str, Any]:
    mend = "Use a folder that `hrec train --out` wrote."
    size = path.stat().st_size
    if size > _MAX_CONFIG_BYTES:
        raise ValueError(
            f"{path.name} has {size:,} bytes, but settings take less than "
            f"{_MAX_CONFIG_BYTES:,}. {mend}"
        )
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not a TOML file: {error}. {mend}") from error
    if config.get("format") != _FORMAT:
        raise ValueError(
            f"{path.name} has the format {config.get('format')!r}, but this version reads "
            f"{_FORMAT!r}. {mend}"
        )
    for key in config:
        checks.require_choice(f"key of {path.name}", key, _KEYS)
    for key in _KEYS:
        if key not in config:
            raise ValueError(f"{path.name} has no `{key}`. {mend}")
    return config


def _history_csv(history: Mapping[str, Sequence[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    for epoch, row in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow([epoch, *row])
    return text.getvalue()
