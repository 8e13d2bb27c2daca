"""Folders of recommenders that were made in Python, without a recipe.

    recommender.toml   class of the model, its arguments, idle time
    vocabulary.txt     raw item ids, see `hrec_tf.data.vocabulary`
    descriptions.json  raw item id -> text
    features.toml      how features become numbers; there if there are any
    model.weights.h5   weights
    manifest.json      a checksum of each file

Reading one runs no code of it: the class is one of the registry's, it is built from the checked
arguments, then its weights are filled in.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from hrec_tf import __version__, checks, manifest, registry, weight_files
from hrec_tf.data import plain_toml
from hrec_tf.data.atomic_files import whole_folder
from hrec_tf.data.log_features import FeatureSchemas
from hrec_tf.data.vocabulary import Vocabulary

KIND = "recommender"
SETTINGS, VOCABULARY = "recommender.toml", "vocabulary.txt"
DESCRIPTIONS, WEIGHTS = "descriptions.json", "model.weights.h5"
FEATURES = "features.toml"

_FORMAT = "hrec_tf recommender 1"
_KEYS = (
    "format",
    "version",
    "class",
    "num_items",
    "vocabulary",
    "weights",
    "idle_minutes",
    "arguments",
)
_MAX_TEXT_BYTES = 2**30


def write(
    path: str | Path,
    model: Any,
    vocabulary: Vocabulary,
    *,
    idle_minutes: float | None,
    descriptions: dict[Any, str],
    schemas: FeatureSchemas,
) -> Path:
    """Writes a folder, whole or not at all.

    Raises:
        ValueError: the folder exists, or the model's class is none of the registry's.
        OSError: it cannot be written; nothing is left behind.
    """
    path = Path(path)
    if path.exists():
        raise ValueError(
            f"`path` was {str(path)!r}, which exists, and nothing is overwritten. Choose another "
            "folder, or remove that one."
        )
    model_class: type = model.__class__
    name = model_class.__name__
    if _classes().get(name) is not model_class:
        raise ValueError(
            f"`model` is a {name}, but only classes of the registry are read back: "
            f"{', '.join(sorted(_classes()))}. Save a class of your own by `model.save`."
        )
    config = model.get_config()
    arguments = {key: config[key] for key in registry.settings_of(model_class) if key in config}
    with whole_folder(path) as aside:
        weight_files.save(model, aside / WEIGHTS)
        settings = {
            "format": _FORMAT,
            "version": __version__,
            "class": name,
            "num_items": vocabulary.num_items,
            "vocabulary": vocabulary.fingerprint,
            "weights": weight_files.digest_of(aside / WEIGHTS),
            "idle_minutes": idle_minutes,
            "arguments": arguments,
        }
        text = plain_toml.to_toml(plain_toml.to_words(settings))
        (aside / SETTINGS).write_text(text, encoding="utf-8")
        vocabulary.save(aside / VOCABULARY)
        if schemas.to_dict():
            schemas.save(aside / FEATURES)
        texts = [[raw_id, text] for raw_id, text in descriptions.items()]
        (aside / DESCRIPTIONS).write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
        manifest.write(aside, kind=KIND, about={"model": name, "version": __version__})
    return path


def read(path: str | Path) -> tuple[Any, Vocabulary, float | None, dict[Any, str]]:
    """Returns model, vocabulary, idle minutes and descriptions.

    Raises:
        FileNotFoundError: no such folder, or not all of it.
        ValueError: a file that was changed, or that does not fit the others.
    """
    path = Path(path)
    manifest.check(path, kind=KIND)
    settings = plain_toml.from_words(tomllib.loads(_text(path / SETTINGS)))
    for key in _KEYS:
        if key not in settings and key != "arguments":
            raise ValueError(f"{SETTINGS} has no `{key}`. Save the recommender again.")
    if settings["format"] != _FORMAT:
        raise ValueError(
            f"{SETTINGS} has the format {settings['format']!r}, but this version reads "
            f"{_FORMAT!r}. Save the recommender again."
        )
    for key in settings:
        checks.require_choice(f"key of {SETTINGS}", key, _KEYS)
    classes = _classes()
    model_class = classes[checks.require_choice("class", settings["class"], classes)]
    vocabulary = Vocabulary.load(path / VOCABULARY)
    if vocabulary.fingerprint != settings["vocabulary"]:
        raise ValueError(
            f"{VOCABULARY} of {str(path)!r} is not the one that {SETTINGS} was written for: item "
            "numbers would mean other items. Use the files of one recommender."
        )
    arguments = settings.get("arguments", {})
    for key in arguments:
        checks.require_choice("arguments", key, registry.settings_of(model_class))
    model = weight_files.load(
        lambda: model_class(num_items=vocabulary.num_items, **arguments),
        path / WEIGHTS,
        digest=settings["weights"],
        arguments=arguments,
        settings=SETTINGS,
    )
    descriptions = dict(json.loads(_text(path / DESCRIPTIONS)))
    return model, vocabulary, settings["idle_minutes"], descriptions


def read_schemas(path: str | Path) -> FeatureSchemas:
    """Returns how the features of a folder that `read` has checked become numbers."""
    file = Path(path) / FEATURES
    return FeatureSchemas.load(file) if file.is_file() else FeatureSchemas()


def _text(path: Path) -> str:
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise ValueError(
            f"{path.name} has {path.stat().st_size:,} bytes, but at most {_MAX_TEXT_BYTES:,} are "
            "read. Save the recommender again."
        )
    return path.read_text(encoding="utf-8")


def _classes() -> dict[str, type]:
    """The classes that may be built: those of the registry."""
    loaded = [registry.entry(name).load_class() for name in registry.names(registry.MODEL)]
    return {model_class.__name__: model_class for model_class in loaded}
