"""Recipe files: one TOML per paper and data set, each holding the recipes of several models.

A file has `source`; `data`, the named log it is for (without it, it is general); `extends`, a
file whose recipes it takes over, `keep` to take only some; `evaluation`, which all its recipes
have where they do not say otherwise; and tables `[recipes.<name>]`, the
sections of `hrec_tf.recipe.Recipe`. A recipe that is `like` one before it has
all that that one has, but for what it says itself, key by key. A file with a `model` at the top is
a single recipe.
"""

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hrec_tf import checks
from hrec_tf.recipes import keys

_KEYS = ("source", "data", "extends", "keep", "evaluation", "recipes")


def names() -> tuple[str, ...]:
    """Returns the names of the package's recipe files."""
    files = resources.files("hrec_tf").joinpath("recipes").iterdir()
    return tuple(sorted(Path(f.name).stem for f in files if f.name.endswith(".toml")))


@functools.cache
def by_recipe(data: str | None) -> Mapping[str, str]:
    """Returns recipe -> file of all that a named log has: one of its own before a general one."""
    own: dict[str, str] = {}
    general: dict[str, str] = {}
    for name in names():
        content = read(name)
        if not content.get("data"):
            general |= dict.fromkeys(content["recipes"], name)
        elif content["data"] == data:
            own |= dict.fromkeys(content["recipes"], name)
    return MappingProxyType(general | own)


def of_data(data: str | None) -> tuple[str, ...]:
    """Returns the names of the recipes that a named log has, general ones included."""
    return tuple(by_recipe(data))


def file_of(data: str | None, recipe: str) -> str:
    """Returns the file whose recipe a log has.

    Raises:
        ValueError: there is none of that name, with the nearest.
    """
    return by_recipe(data)[checks.require_choice("model", recipe, by_recipe(data))]


def read(name_or_path: str | Path) -> dict[str, Any]:
    """Reads a recipe file, with what it extends merged in.

    Args:
        name_or_path: a name of `names()`, or a path that ends in ".toml".

    Returns:
        The file's keys, and "recipes": name -> plain values.

    Raises:
        ValueError: no such name, not TOML, or an unknown key.
        FileNotFoundError: there is no such file.
    """
    name = str(name_or_path)
    if name.endswith(".toml"):
        text = Path(name).read_text(encoding="utf-8")
    else:
        checks.require_choice("recipe", name, names())
        text = resources.files("hrec_tf").joinpath(f"recipes/{name}.toml").read_text("utf-8")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(
            f"{name} is not a TOML file: {error}. See https://toml.io for its syntax."
        ) from error
    if "recipes" not in content and "model" in content:  # one recipe, without a table around it
        single = str(content.get("name", content["model"]))
        content = {"recipes": {single: content}}
    for key in content:
        checks.require_choice(f"key of {name}", key, _KEYS)
    keys.require_tables(content, ("recipes", "evaluation"), name)
    keys.require_tables(
        content.get("recipes", {}), content.get("recipes", {}), f"recipes of {name}"
    )
    base = read(content["extends"]) if "extends" in content else {"recipes": {}}
    kept = content.get("keep", list(base["recipes"]))
    if not isinstance(kept, list):
        raise ValueError(
            f"`keep` of {name} was {kept!r}, but must be a list of recipes. Write e.g. "
            f"keep = {list(base['recipes'])[:2]}, or leave it out for all."
        )
    for recipe in kept:
        checks.require_choice(f"keep of {name}", recipe, base["recipes"])
    source = content.get("source", base.get("source", ""))
    recipes = {recipe: base["recipes"][recipe] for recipe in kept}
    for recipe, values in content.get("recipes", {}).items():
        keys.require_tables(values, keys.SECTIONS, f"recipe {recipe} of {name}")
        if "like" in values:
            checks.require_choice(f"like of recipe {recipe}", values["like"], recipes)
            values = _merged(recipes[values["like"]] | {"source": source}, values)
        recipes[recipe] = {"source": source, **values, "name": recipe}
    if shared := content.get("evaluation", {}):
        for name, values in recipes.items():
            recipes[name] = values | {"evaluation": shared | values.get("evaluation", {})}
    return content | {"recipes": recipes, "source": source}


def _merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Returns `base` with the values of another recipe, whose tables are merged into its own.

    A table that names another loss, optimizer or negatives begins anew.
    """
    tables = {}
    for key, value in values.items():
        if isinstance(value, dict):
            of = base.get(key, {})
            is_other = "name" in value and value["name"] != of.get("name")
            tables[key] = value if is_other else of | value
    whole = {"model": base["name"], **base, **values, **tables}
    return {key: value for key, value in whole.items() if key != "like"}
