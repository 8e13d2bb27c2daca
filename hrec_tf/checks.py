"""Argument checks that raise: what was wrong, what was expected, how to mend it."""

import difflib
import math
import numbers
from collections.abc import Iterable


def require_positive_int(name: str, value: object, *, mend: str) -> int:
    """Returns `value` as an int, or raises if it is not a whole number of at least 1."""
    return require_int_at_least(name, value, minimum=1, mend=mend)


def require_int_at_least(name: str, value: object, *, minimum: int, mend: str) -> int:
    """Returns `value` as an int, or raises if it is not a whole number >= `minimum`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Integral)
        or not int(value) >= minimum
    ):
        wanted = "a positive int" if minimum == 1 else f"an int of at least {minimum}"
        raise ValueError(f"`{name}` must be {wanted}, but was {value!r}. {mend}")
    return int(value)


def require_rate(name: str, value: object) -> float:
    """Returns a dropout rate as a float, or raises if it is outside [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise ValueError(
            f"`{name}` must be a dropout rate in [0, 1), but was {value!r}. "
            "Pass the share of values to drop, e.g. 0.2; it is not a keep-probability."
        )
    return float(value)


def require_number(name: str, value: object, *, minimum: float | None = None, mend: str) -> float:
    """Returns `value` as a finite float, or raises if it is none, or below `minimum`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not math.isfinite(value)
        or (minimum is not None and value < minimum)
    ):
        least = "" if minimum is None else f" of at least {minimum}"
        raise ValueError(f"`{name}` must be a finite number{least}, but was {value!r}. {mend}")
    return float(value)


def require_stddev(name: str, value: object) -> float | None:
    """Returns the standard deviation that values begin with, or None for Glorot's rule."""
    if value is None:
        return None
    mend = "Pass e.g. 0.1, or None for Glorot's rule."
    return require_number(name, value, minimum=0, mend=mend)


def require_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Returns `value` if it is one of `choices`, or raises with the nearest of them."""
    choices = tuple(choices)
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"`{name}` was {value!r}, but must be one of {listed}. {did_you_mean(value, choices)}"
        )
    return str(value)


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """Returns a sentence that names the choice nearest to `value`."""
    choices = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.4)
    if not near and not choices:
        return "There is none to choose."
    return f"Did you mean {near[0]!r}?" if near else f"Pass for example {choices[0]!r}."
