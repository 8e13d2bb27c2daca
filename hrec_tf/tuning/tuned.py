"""What a search found: its trials, and the recipe of the best of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hrec_tf.data import plain_toml
from hrec_tf.recipe import Recipe
from hrec_tf.tuning.space import Space

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
FINISHED = (COMPLETE, PRUNED)
"""States of trials that count."""


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried.

    Args:
        number: from 1, in the order of their beginnings.
        state: "complete", "pruned" or "failed".
        value: the objective on the validation part; of a pruned trial None.
        changes: searched key -> what was tried.
        seconds: of training and evaluation.
        reports: what the pruner saw, one value per epoch; empty for a baseline.
        error: why it failed.
        best_epoch: from 1, the epoch whose weights were ranked, where `patience` chose one.
        weights: argument -> the weight of a head that validation chose, where the recipe has None.
    """

    number: int
    state: str
    value: float | None
    changes: Mapping[str, Any]
    seconds: float
    reports: tuple[float, ...] = ()
    error: str | None = None
    best_epoch: int | None = None
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether it counts."""
        return self.state in FINISHED

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return {
            "number": self.number,
            "state": self.state,
            "value": self.value,
            "changes": plain_toml.to_words(dict(self.changes)),
            "seconds": self.seconds,
            "reports": list(self.reports),
            "error": self.error,
            "best_epoch": self.best_epoch,
            "weights": dict(self.weights),
        }


@dataclass(frozen=True)
class Tuned:
    """A search that is done.

    Args:
        base: the recipe that it began from.
        space: what was searched.
        objective: what was made large, e.g. "Recall@20".
        seed: of the search and of every training.
        pruner: "median" or "none".
        trials: by number. Those that a process left were made again, and are not among them.
        study: the file that holds it all.
        importance: searched key -> its share of what told good trials from others; None if that
            cannot be said.
        importance_missing: why it cannot.
        num_left: how many trials were left and made again.
    """

    base: Recipe
    space: Space
    objective: str
    seed: int
    pruner: str
    trials: tuple[Trial, ...]
    study: Path
    importance: Mapping[str, float] | None = None
    importance_missing: str = ""
    num_left: int = 0

    @cached_property
    def best(self) -> Trial:
        """The complete trial with the highest value, the first of equals.

        Raises:
            ValueError: no trial is complete.
        """
        complete = [trial for trial in self.trials if trial.state == COMPLETE]
        if not complete:
            raise ValueError(
                f"No trial of this search is complete, of {len(self.trials)} that were made, but "
                "the best of them was asked for. Ask for more `trials`, or mend the space."
            )
        return max(complete, key=lambda trial: (trial.value, -trial.number))

    @property
    def recipe(self) -> Recipe:
        """The recipe of the best trial."""
        return self.base.with_changes({**self.space.fixed, **self.best.changes})

    @property
    def refitted(self) -> Recipe:
        """The best recipe with the epochs and the weights of heads that validation chose for it.

        It needs no validation any more: the last training may keep every session.
        """
        recipe = self.recipe.with_changes(dict(self.best.weights))
        if recipe.patience is None:
            return recipe
        return recipe.with_changes({"epochs": self.best.best_epoch, "patience": None})

    def count(self, state: str) -> int:
        """How many trials are in a state."""
        return sum(trial.state == state for trial in self.trials)

    def to_toml(self, source: str) -> str:
        """Returns `refitted` as a file that `Recipe.load` reads.

        Args:
            source: what made it.
        """
        return plain_toml.to_toml(self.refitted.to_dict() | {"source": source})

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        best = self.best
        return {
            "recipe": self.base.name,
            "model": self.base.model,
            "objective": self.objective,
            "seed": self.seed,
            "pruner": self.pruner,
            "best": {key: best.to_dict()[key] for key in ("number", "value", "changes")},
            "counts": {state: self.count(state) for state in (COMPLETE, PRUNED, FAILED)},
            "importance": None if self.importance is None else dict(self.importance),
            "trials": [trial.to_dict() for trial in self.trials],
        }
