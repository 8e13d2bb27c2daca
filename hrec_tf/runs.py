"""Run folders: what `hrec train` leaves, and how it is read back.

    config.toml        everything that was set, defaults included
    vocabulary.txt     raw item ids, see `hrec_tf.data.vocabulary`
    features.toml      how features become numbers; there if the model reads any
    model.weights.h5   weights; a counted baseline has none and is counted again
    metrics.json       what the test sessions gave
    history.csv        one line per epoch
    tensorboard/       the same, as event files; there if they were written
    report.html        there if it was passed
    model_card.md      what the model is and is not for, see `hrec_tf.model_card`
    manifest.json      SHA-256 and size of each file, versions, fingerprints, see
                       `hrec_tf.manifest`

A folder is written under a temporary name and renamed. Reading one runs no code of it: every
file must be the one that was written, the model is built from config.toml by the registry, then
its weights, plain numbers, are filled in.
"""

import csv
import importlib.metadata
import io
import json
import platform
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from hrec_tf import __version__, checks, manifest, model_card, weight_files
from hrec_tf.data import plain_toml
from hrec_tf.data.atomic_files import whole_folder
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_features import FeatureSchemas, LogFeatures
from hrec_tf.data.log_source import LogSource, PreparedLog, fingerprint_of
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.fitting import train
from hrec_tf.recipe import Recipe
from hrec_tf.recipes.keys import ITEM_FEATURES, NUM_USERS, WIDTHS

KIND = "run"
CONFIG, VOCABULARY, WEIGHTS = "config.toml", "vocabulary.txt", "model.weights.h5"
METRICS, HISTORY, TENSORBOARD = "metrics.json", "history.csv", "tensorboard"
MODEL_CARD, REPORT = "model_card.md", "report.html"
FEATURES = "features.toml"

_FORMAT = "hrec_tf run 1"
_MAX_CONFIG_BYTES = 2**20
_KEYS = (
    "format",
    "version",
    "seed",
    "validation",
    "num_items",
    "vocabulary",
    "weights",
    "log",
    "recipe",
)
_PACKAGES = ("tensorflow", "keras", "numpy")


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
        about: versions and fingerprints, as its manifest has them.
        weights: checksum of the weight file; None for a baseline.
    """

    path: Path
    recipe: Recipe
    log: LogSource
    seed: int
    vocabulary: Vocabulary
    validation: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None

    @property
    def schemas(self) -> FeatureSchemas:
        """How the features that the model reads become numbers."""
        file = self.path / FEATURES
        return FeatureSchemas.load(file) if file.is_file() else FeatureSchemas()

    def load_log(self) -> PreparedLog:
        """Reads, prepares and splits the log that it was trained on.

        Raises:
            ValueError: the log has other items now, or other users where the model knows them.
        """
        prepared = self.log.load()
        if prepared.vocabulary.fingerprint != self.vocabulary.fingerprint:
            raise ValueError(
                f"{self.log.data} now has {prepared.vocabulary.num_items} items, which are not "
                f"the {self.vocabulary.num_items} that {self.path} was trained on. Use the log as "
                "it was, or train again."
            )
        knows_users = self.recipe.arguments.get(NUM_USERS) is not None
        if knows_users and fingerprint_of(prepared.users) != self.about.get("users"):
            raise ValueError(
                f"{self.log.data} now has other users than {str(self.path)!r} was trained on, or "
                f"numbers them otherwise, and {self.recipe.model} holds vectors of its users by "
                "their numbers. Use the log as it was, or train again."
            )
        return prepared

    def fitted(self, train_histories: Histories, features: LogFeatures | None = None) -> Any:
        """Returns the trained model, or the baseline, counted on its training histories.

        Args:
            train_histories: of the training log.
            features: of the log, for a baseline that reads them.

        Raises:
            ValueError: weights that do not fit the settings, or other features than it was
                counted with.
        """
        if self.recipe.entry.is_baseline:
            of_items = None if features is None else features.schemas.items
            if self.schemas.items != of_items and self.schemas.items is not None:
                raise ValueError(
                    f"`features` have the item schema {of_items}, but {str(self.path)!r} was "
                    f"counted with {self.schemas.items}. Pass `features` of its prepared log."
                )
            return train(self.recipe, train_histories, seed=self.seed, features=features)
        return self.model()

    def model(self) -> Any:
        """Returns the trained model; a baseline, which has no weights, is refused.

        Raises:
            ValueError: a run of a baseline, or weights that do not fit the settings.
        """
        if self.weights is None:
            raise ValueError(
                f"{str(self.path)!r} is a run of {self.recipe.model}, which is counted and has no "
                "weights. Call `fitted` with its training histories."
            )
        arguments = self.recipe.arguments
        return weight_files.load(
            lambda: self.recipe.entry.build(
                num_items=self.vocabulary.num_items, seed=self.seed, **arguments
            ),
            self.path / WEIGHTS,
            digest=self.weights,
            arguments=arguments,
            settings=CONFIG,
        )


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
    histories: Histories | None = None,
    test: Histories | None = None,
    schemas: FeatureSchemas | None = None,
    users: pl.Series | None = None,
    tensorboard: str | Path | None = None,
    report: str | None = None,
) -> Path:
    """Writes a run folder, whole or not at all.

    Args:
        path: the folder to make.
        fitted: what `hrec_tf.fitting.train` returned.
        recipe: its recipe; written with every default.
        log: where the log came from.
        seed: of the run.
        vocabulary: of the training log.
        metrics: for metrics.json.
        validation: whether the training held sessions back.
        histories: what it was trained on: its counts go into the model card, its fingerprint
            into the manifest.
        test: what `metrics` were taken on; its fingerprint goes into the manifest.
        schemas: of the log; those of features that the model reads are kept.
        users: `PreparedLog.users`, needed for a model that knows its users by number; what is kept
            is their fingerprint.
        tensorboard: folder of event files to copy.
        report: text of report.html.

    Raises:
        ValueError: the folder exists.
        OSError: it cannot be written; nothing is left behind.
    """
    path = require_free(path)
    data = None if histories is None else histories.fingerprint
    about = {
        "model": recipe.model,
        "recipe": recipe.name,
        "seed": seed,
        "num_items": vocabulary.num_items,
        "vocabulary": vocabulary.fingerprint,
        "data": data,
        "test_data": None if test is None else test.fingerprint,
        "split": log.split_label,
        "versions": versions(),
    }
    if recipe.arguments.get(NUM_USERS) is not None:
        about["users"] = fingerprint_of(users)
    with whole_folder(path) as aside:
        weights = None
        if not recipe.entry.is_baseline:
            weight_files.save(fitted, aside / WEIGHTS)
            weights = weight_files.digest_of(aside / WEIGHTS)
        run = Run(path, recipe, log, seed, vocabulary, validation, about, weights)
        texts = _texts(run, metrics, histories)
        if weights is not None:
            texts[HISTORY] = _history_csv(fitted.history.history)
        if report is not None:
            texts[REPORT] = report
        if tensorboard is not None:
            shutil.copytree(tensorboard, aside / TENSORBOARD)
        vocabulary.save(aside / VOCABULARY)
        read = _read_by(recipe, schemas)
        if read.to_dict():
            read.save(aside / FEATURES)
        for name, text in texts.items():
            (aside / name).write_text(text, encoding="utf-8")
        manifest.write(aside, kind=KIND, about=about)
    return path


def _read_by(recipe: Recipe, schemas: FeatureSchemas | None) -> FeatureSchemas:
    """The schemas of the features that a recipe's model reads."""
    widths = {part: recipe.arguments.get(name) for name, part in WIDTHS.items()}
    widths["items"] = widths["items"] or ITEM_FEATURES in recipe.entry.settings()
    held = {part: getattr(schemas, part) for part, width in widths.items() if schemas and width}
    return FeatureSchemas(**held)


def _texts(run: Run, metrics: Mapping[str, Any], histories: Histories | None) -> dict[str, str]:
    """Name of a file -> its text, for the files that are text in every run."""
    decided = settings(recipe=run.recipe, log=run.log, seed=run.seed, validation=run.validation)
    files = {
        "num_items": run.vocabulary.num_items,
        "vocabulary": run.vocabulary.fingerprint,
        "weights": plain_toml.to_words(run.weights),
    }
    card = model_card.text(
        recipe=run.recipe,
        log=run.log,
        seed=run.seed,
        num_items=run.vocabulary.num_items,
        metrics=metrics,
        histories=histories,
        validation=run.validation,
        versions=run.about["versions"],
    )
    return {
        CONFIG: plain_toml.to_toml({"format": _FORMAT, **decided, **files}),
        METRICS: json.dumps(dict(metrics), indent=2) + "\n",
        MODEL_CARD: card,
    }


def settings(*, recipe: Recipe, log: LogSource, seed: int, validation: bool) -> dict[str, Any]:
    """Returns all that decides a run, as plain values for TOML, defaults included."""
    return {
        "version": __version__,
        "seed": seed,
        "validation": validation,
        "log": plain_toml.to_words(log.to_dict()),
        "recipe": recipe.complete().to_dict(),
    }


def versions() -> dict[str, str]:
    """Returns the versions of hrec_tf, of Python, and of what computes the weights."""
    installed = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"hrec_tf": __version__, "python": platform.python_version(), **installed}


def load(path: str | Path) -> Run:
    """Reads a run folder; its weights are read by `Run.model`.

    Raises:
        FileNotFoundError: it is not there, or a file of it is not.
        ValueError: a file that was changed or added, that is damaged, or of another run.
    """
    path = Path(path)
    if not (path / CONFIG).is_file():
        unfinished = path.with_name(f"{path.name}.unfinished")
        cure = "Pass a folder that `hrec train --out` wrote."
        if unfinished.is_dir():
            cure = f"Its training is unfinished ({unfinished}): go on with `hrec train … --resume`."
        raise FileNotFoundError(f"{str(path)!r} holds no {CONFIG}, so it is no run folder. {cure}")
    if path.name.endswith(".unfinished"):
        raise ValueError(
            f"{str(path)!r} is a training that is unfinished, not a run folder. Go on with it by "
            "`hrec train … --resume`."
        )
    about = manifest.check(path, kind=KIND)
    config = _config(path / CONFIG)
    recipe = Recipe.from_dict(config["recipe"]).check()
    for name in (VOCABULARY, *(() if recipe.entry.is_baseline else (WEIGHTS,))):
        if not (path / name).is_file():
            raise FileNotFoundError(
                f"{str(path)!r} holds no {name}, which a run of {recipe.model} has. Use the "
                "whole folder that `hrec train --out` wrote."
            )
    vocabulary = Vocabulary.load(path / VOCABULARY)
    if vocabulary.fingerprint != config["vocabulary"]:
        raise ValueError(
            f"{VOCABULARY} of {str(path)!r} has {vocabulary.num_items} items and another "
            f"fingerprint than {CONFIG}, which knows {config['num_items']}. Use the files of one "
            "run: item numbers would mean other items."
        )
    log = LogSource.from_dict(plain_toml.from_words(config["log"]))
    validation = bool(config["validation"])
    weights = plain_toml.from_words(config["weights"])
    if (weights is None) != recipe.entry.is_baseline:
        raise ValueError(
            f"`weights` of {CONFIG} is {weights!r}, which does not fit {recipe.model}. Use the "
            "files of one run."
        )
    return Run(path, recipe, log, int(config["seed"]), vocabulary, validation, about, weights)


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
