"""Search spaces: which settings of a recipe are searched, and where, as plain data in TOML.

A file has `source`, where its ranges come from; `models`, the recipes or models it is for; a
table `[search]`, key of a recipe -> `{ low, high, log, step }` or `{ choices }`; and if need be
`[fixed]`, key -> the value that it has in every trial:

    models = ["gru4rec"]
    [fixed]
    epochs = 5
    [search]
    optimizer.learning_rate = { low = 0.02, high = 0.5, log = true }
    stream.num_lanes = { low = 32, high = 128, step = 32 }
    arguments.units = { choices = [[50], [100]] }
"""

import functools
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Self

from optuna.distributions import BaseDistribution

from hrec_tf import checks
from hrec_tf.data import plain_toml
from hrec_tf.recipe import Recipe
from hrec_tf.recipes.keys import NUMBERS, SECTIONS
from hrec_tf.tuning.dimensions import RANGE_KEYS, Choices, Range, dimension

_KEYS = ("source", "models", "fixed", "search")
_MEASURED = "evaluation"
"""A section that says how trials are measured, so that it is the same in all of them."""


@dataclass(frozen=True)
class Space:
    """Which settings are searched, and where.

    Args:
        searched: key of a recipe, "section.key" or `epochs` or `patience` -> where.
        fixed: key -> the value that it has in every trial.
        source: where the ranges come from.
        models: the recipes or models it is for; empty for any.

    Raises:
        ValueError: a key that is no full key of a recipe, one of `evaluation`, one that is
            searched and fixed, or nothing to search.

    Example:
        >>> Space.load("gru4rec").searched["arguments.hidden_dropout"]
        Range(low=0.0, high=0.5, log=False, step=0.1)
    """

    searched: Mapping[str, Range | Choices]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.searched:
            raise ValueError(
                "A search space searches nothing: no key is left under [search]. Add one, e.g. "
                "optimizer.learning_rate = { low = 0.01, high = 0.5, log = true }."
            )
        for key in (*self.searched, *self.fixed):
            section = key.partition(".")[0]
            if key not in NUMBERS and ("." not in key or section not in SECTIONS):
                raise ValueError(
                    f"`{key}` is no key that a search space can hold. Write {', '.join(NUMBERS)}, "
                    f"or a section and its key, e.g. arguments.units; sections are "
                    f"{', '.join(SECTIONS)}."
                )
            if section == _MEASURED:
                raise ValueError(
                    f"`{key}` says how trials are measured, which must be the same in all of them. "
                    "Leave it out of the space, and set it in the recipe."
                )
            if key in self.searched and key in self.fixed:
                raise ValueError(
                    f"`{key}` is searched and fixed, but only one can be. Leave it out of [search] "
                    "or of [fixed]."
                )

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """Reads a space of the package by its name, or a TOML file of your own.

        Raises:
            ValueError: no such name, not TOML, or a table that is no space.
            FileNotFoundError: there is no such file.
        """
        name = str(name_or_path)
        text = _text_of_file(name) if name.endswith(".toml") else text_of(name)
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(
                f"{name} is not a TOML file: {error}. See https://toml.io for its syntax."
            ) from error
        return cls.from_dict(values, name=name)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, name: str = "the space") -> Self:
        """Makes a space of the plain values of a file; see the module for what it holds."""
        for key in values:
            checks.require_choice(f"key of {name}", key, _KEYS)
        return cls(
            {key: dimension(key, held) for key, held in _flat(values.get("search", {}))},
            dict(_flat(values.get("fixed", {}))),
            str(values.get("source", "")),
            _models(values.get("models", []), name),
        )

    @classmethod
    def for_recipe(cls, recipe: Recipe) -> Self:
        """Returns the package's space for a recipe, by its name or else by its model.

        Raises:
            ValueError: the package has none for it.
        """
        return cls.load(name_for(recipe))

    def without(self, keys: Iterable[str]) -> Self:
        """Returns a space that leaves some keys, searched or fixed, to the recipe.

        Args:
            keys: full, or as `Recipe.with_changes` takes them: "units" for "arguments.units".
        """
        left = set(keys)

        def kept(held: Mapping[str, Any]) -> dict[str, Any]:
            names = (key for key in held if not {key, key.rpartition(".")[2]} & left)
            return {key: held[key] for key in names}

        return replace(self, searched=kept(self.searched), fixed=kept(self.fixed))

    def check(self, recipe: Recipe) -> Self:
        """Returns this space if the recipe has all of its keys, whatever is chosen, or raises."""
        if self.models and not {recipe.name, recipe.model} & set(self.models):
            raise ValueError(
                f"The space is for {', '.join(self.models)}, but the recipe is {recipe.name!r}. "
                "Add it to `models` of the space, or choose another."
            )
        first = {key: where.edges[0] for key, where in self.searched.items()}
        for key, where in self.searched.items():
            for value in where.edges:
                recipe.with_changes({**self.fixed, **first, key: value})
        return self

    def start(self, recipe: Recipe) -> dict[str, Any]:
        """Returns what a recipe has of the searched keys, as Optuna keeps it.

        A key whose value there lies outside of the space is left out.
        """
        recipe = recipe.with_changes(self.fixed).complete()
        found = {}
        for key, where in self.searched.items():
            value = value_of(recipe, key)
            if isinstance(value, int) and isinstance(where, Range) and type(where.low) is float:
                value = float(value)
            if where.holds(value):
                found[key] = where.encoded(value)
        return found

    def distributions(self) -> dict[str, BaseDistribution]:
        """Returns what Optuna draws from, by key."""
        return {key: where.distribution() for key, where in self.searched.items()}

    def changes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what Optuna drew as plain values, by key of a recipe; `fixed` is not in it."""
        return {key: self.searched[key].decoded(value) for key, value in params.items()}

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values that `from_dict` reads back."""
        return {
            "source": self.source,
            "models": list(self.models),
            "fixed": plain_toml.to_words(dict(self.fixed)),
            "search": {key: where.to_dict() for key, where in self.searched.items()},
        }


@functools.cache
def names() -> tuple[str, ...]:
    """Returns the names of the package's spaces.

    Example:
        >>> "hrnn-all" in names()
        True
    """
    files = resources.files("hrec_tf.tuning").joinpath("spaces").iterdir()
    return tuple(sorted(Path(f.name).stem for f in files if f.name.endswith(".toml")))


def _text_of_file(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"`space` was {path!r}, but there is no such file. Pass one that is there, or a name "
            f"of the package: {', '.join(names())}."
        ) from error


def _models(held: Any, name: str) -> tuple[str, ...]:
    if not isinstance(held, list) or not all(isinstance(one, str) for one in held):
        raise ValueError(
            f"`models` of {name} was {held!r}, but must be a list of names. Write e.g. "
            'models = ["gru4rec"].'
        )
    return tuple(held)


def text_of(name: str) -> str:
    """Returns the file of a space of the package, to be edited."""
    checks.require_choice("space", name, names())
    return resources.files("hrec_tf.tuning").joinpath(f"spaces/{name}.toml").read_text("utf-8")


def name_for(recipe: Recipe) -> str:
    """Returns the name of the package's space for a recipe, by its name or else by its model."""
    spaces = {name: Space.load(name).models for name in names()}
    for wanted in (recipe.name, recipe.model):
        for name, models in spaces.items():
            if wanted in models:
                return name
    known = sorted(model for models in spaces.values() for model in models)
    raise ValueError(
        f"`model` was {recipe.name!r}, for which the package has no search space; it has them for "
        f"{', '.join(known)}. Pass one of your own with `space`."
    )


def value_of(recipe: Recipe, key: str) -> Any:
    """Returns what a complete recipe has at a full key; None if it lacks it."""
    if key in NUMBERS:
        return getattr(recipe, key)
    section, _, name = key.partition(".")
    return getattr(recipe, section).get(name)


def _flat(values: Any, prefix: str = "") -> Collection[tuple[str, Any]]:
    """Tables in tables as dotted keys, down to what is a range or choices."""
    if not isinstance(values, Mapping):
        raise ValueError(
            f"A table of a search space was {values!r}. Write [search] and [fixed], with keys of "
            "the recipe in them."
        )
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        key = f"{prefix}{name}"
        is_leaf = not isinstance(value, Mapping) or {*RANGE_KEYS, "choices"} & set(value)
        found += [(key, value)] if is_leaf else _flat(value, f"{key}.")
    return found
