"""Where one setting is searched: a range of numbers, or choices."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hrec_tf import checks
from hrec_tf.data import plain_toml

RANGE_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them: whole ones if both are whole.

    Args:
        low, high: the ends, two ints or two floats.
        log: whether orders of magnitude are alike; for ends above 0.
        step: only `low` and every so many after it; None for any number.

    Example:
        >>> Range(0.0, 0.5, step=0.1).holds(0.2), Range(32, 128).holds(50.0)
        (True, False)
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.log, bool):
            raise ValueError(
                f"`log` was {self.log!r}, but must be true or false. Write one of them."
            )
        kinds = {type(value) for value in (self.low, self.high)}
        if kinds != {int} and kinds != {float}:
            raise ValueError(
                f"A range from {self.low!r} to {self.high!r} has no one kind of number. Write two "
                "whole numbers, e.g. 32 and 128, or two with a point, e.g. 0.0 and 0.5."
            )
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"A range from {self.low!r} to {self.high!r} holds nothing to choose from. Write "
                "finite numbers, the lower one first; what does not vary goes under [fixed]."
            )
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError(
                f"A range with log = true goes from {self.low!r} with step {self.step!r}, but must "
                "begin above 0 and have no step. Mend that, or leave log out."
            )
        if self.step is not None:
            self._require_step(self.step)

    def _require_step(self, step: int | float) -> None:
        number = checks.require_number("step", step, minimum=0, mend="Pass e.g. 0.1.")
        if isinstance(self.low, int) and not isinstance(step, int):
            raise ValueError(
                f"`step` was {step!r} in a range of whole numbers, from {self.low} to {self.high}. "
                "Write a whole number."
            )
        steps = (self.high - self.low) / number if number else 0.0
        if steps < 1 or abs(steps - round(steps)) > 1e-9:
            raise ValueError(
                f"`step` was {step!r}, but steps of it do not lead from {self.low!r} to "
                f"{self.high!r}. Choose another, or another end."
            )

    @property
    def edges(self) -> tuple[Any, ...]:
        """Values whose keys and kinds stand for all."""
        return (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        if type(value) is not type(self.low) or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    def distribution(self) -> BaseDistribution:
        """Returns what Optuna draws from."""
        if isinstance(self.low, int):
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(self.low, int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def encoded(self, value: Any) -> Any:
        """Returns a value as Optuna keeps it."""
        return value

    def decoded(self, value: Any) -> Any:
        """Returns a value as one would write it: steps of 0.1 do not add up to 0.3 exactly."""
        return value if self.step is None else type(self.low)(round(value, 10))

    def to_dict(self) -> dict[str, Any]:
        """Returns the table that a file has for it."""
        values: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            values["log"] = True
        return values if self.step is None else values | {"step": self.step}

    def to_text(self) -> str:
        """Returns it as a reader of a report sees it."""
        of = ", as its logarithm" if self.log else f", by {self.step}" if self.step else ""
        return f"{self.low} to {self.high}{of}"


@dataclass(frozen=True)
class Choices:
    """One of several values, in no order: text, numbers, bools, lists of these; "none" for None.

    Example:
        >>> Choices(([50], [100])).holds([100]), Choices((True, False)).holds(1)
        (True, False)
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        labels = [self.encoded(value) for value in self.values]
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ValueError(
                f"`choices` were {list(self.values)!r}, but must be at least two values, each "
                "once. What does not vary goes under [fixed]."
            )

    @property
    def edges(self) -> tuple[Any, ...]:
        """Values whose keys and kinds stand for all: all of them."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return self.encoded(value) in map(self.encoded, self.values)

    def distribution(self) -> BaseDistribution:
        """Returns what Optuna draws from."""
        return CategoricalDistribution([self.encoded(value) for value in self.values])

    def encoded(self, value: Any) -> str:
        """Returns a value as Optuna keeps it: as text, since it has no lists."""
        return json.dumps(plain_toml.to_words(value))

    def decoded(self, label: str) -> Any:
        """Returns the value of such a text."""
        return json.loads(label)

    def to_dict(self) -> dict[str, Any]:
        """Returns the table that a file has for it."""
        return {"choices": plain_toml.to_words(self.values)}

    def to_text(self) -> str:
        """Returns it as a reader of a report sees it."""
        return " or ".join(map(self.encoded, self.values))


def dimension(key: str, held: Any) -> Range | Choices:
    """Returns what a file says of where a key is searched."""
    if isinstance(held, Mapping) and set(held) == {"choices"} and isinstance(held["choices"], list):
        return Choices(tuple(held["choices"]))
    if isinstance(held, Mapping) and {"low", "high"} <= set(held) <= set(RANGE_KEYS):
        return Range(**held)
    raise ValueError(
        f"`{key}` of a search space was {held!r}, but must be a table of low and high, with log or "
        "step if wanted, or of choices, a list. Write e.g. { low = 0.0, high = 0.5, step = 0.1 }, "
        "or { choices = [50, 100] }."
    )
