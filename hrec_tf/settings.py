"""Nested settings as flat names, and the first that two trainings do not share."""

from collections.abc import Mapping
from typing import Any, NamedTuple

NOTHING = "nothing"
"""Stands for a setting that only the other side has."""


class Difference(NamedTuple):
    """A setting that is not the same: its dotted name, what was held, and what is now."""

    name: str
    held: Any
    now: Any


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values under dotted names.

    Example:
        >>> flat({"seed": 3, "recipe": {"model": "gru4rec"}})
        {'seed': 3, 'recipe.model': 'gru4rec'}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def first_difference(held: Mapping[str, Any], now: Mapping[str, Any]) -> Difference | None:
    """Compares flat settings, in their order.

    Example:
        >>> first_difference({"seed": 3}, {"seed": 3, "epochs": 9})
        Difference(name='epochs', held='nothing', now=9)
    """
    for name in [*now, *held]:
        there, here = held.get(name, NOTHING), now.get(name, NOTHING)
        if there != here:
            return Difference(name, there, here)
    return None
