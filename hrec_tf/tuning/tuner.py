"""`tune`: trials of a recipe on a validation part, each with settings drawn from a space."""

import gc
import hashlib
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import optuna

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_features import LogFeatures
from hrec_tf.fitting import best_epoch, chosen_by_validation, evaluate, num_pairs, train
from hrec_tf.recipe import Recipe
from hrec_tf.recipes.keys import EVALUATION
from hrec_tf.reporting.comparison import Watch
from hrec_tf.training import TrainingProgress
from hrec_tf.training.callbacks import as_clock
from hrec_tf.tuning.space import Space
from hrec_tf.tuning.study import STORAGE_ERRORS, Study, require_finite, said_of
from hrec_tf.tuning.tuned import Trial, Tuned

PRUNERS = ("median", "none")
METRICS = ("Recall", "MRR", "Precision", "NDCG")
FAILURES = 3
"""Trials that may fail one after the other before the search gives up."""
POLL_SECONDS = 0.5
"""Between two looks at trials of other processes."""

_FORMAT = "hrec_tf study 1"


def objectives(recipe: Recipe) -> tuple[str, ...]:
    """Returns what may be made large, by the recipe's list lengths; the first is the default.

    Example:
        >>> objectives(Recipe.load("quadrana2017", "pop"))[:3]
        ('Recall@20', 'MRR@20', 'Precision@20')
    """
    ks = sorted(recipe.evaluation.get("ks", EVALUATION["ks"]), reverse=True)
    return tuple(f"{name}@{k}" for k in ks for name in METRICS)


def tune(
    recipe: Recipe,
    space: Space,
    training: Histories,
    validation: Histories,
    *,
    trials: int,
    study: str | Path,
    objective: str | None = None,
    seed: int = 0,
    pruner: str | None = None,
    features: LogFeatures | None = None,
    watch: Watch | None = None,
    show: Callable[[Trial], None] | None = None,
) -> Tuned:
    """Searches a space for the settings whose model ranks validation histories best.

    The first trial is the recipe as it is, as far as the space holds it. Each trial trains with the
    same seed, or counts a baseline, and ranks the validation histories as the recipe's section
    `evaluation` says. `PreparedLog.for_validation` makes both histories out of a log's training
    part: the test part is nowhere here.

    Args:
        recipe: what is tuned.
        space: what is searched, see `Space`.
        training, validation: see `PreparedLog.for_validation`.
        trials: how many are to be complete or pruned in the end, with those the study has.
        study: an SQLite file, made if it is not there. A search that was left goes on; several
            processes with the same one share the trials.
        objective: one of `objectives(recipe)`; the first if left out.
        seed: of the search and of every training.
        pruner: "median" ends a trial early whose best epoch so far is below the median of the
            others' (by validation Recall, or MRR if the objective is one, at the largest of the
            recipe's `ks`; by it `patience` and weights of heads are chosen, too); "none" does not,
            and a recipe that has no need of validation (no `patience`, no weight to choose) then
            ranks it at a training's end alone. By default "median" for what is trained.
        features: of the log; read by models whose recipe says so, and by `pop-fm`.
        watch: see `hrec_tf.reporting.comparison.Watch`; shows progress.
        show: takes each trial that this process has made.

    Raises:
        ValueError: a space that does not fit the recipe, an option that would be ignored, or a
            study of something else.
        RuntimeError: one trial after the other failed; the study has their errors.
        OSError: the study cannot be read or written.
    """
    objective, pruner = check_search(
        recipe, space, trials=trials, objective=objective, seed=seed, pruner=pruner
    )
    settings = {
        "format": _FORMAT,
        "objective": objective,
        "seed": seed,
        "pruner": pruner,
        "data": _fingerprints(training, validation, features),
        # In other words it is the same search.
        "space": space.to_dict() | {"source": "", "models": []},
        "recipe": recipe.complete().to_dict() | {"source": ""},
    }
    search = _Search(recipe, space, training, validation, objective, seed, pruner, features)
    path = Path(study)
    with (
        said_of(path),
        Study(path, settings, space, space.start(recipe), seed=seed, pruner=pruner) as held,
    ):
        search.make(held, trials, watch or (lambda what: nullcontext(None)), show or _say_nothing)
        importance, missing = held.importance()
        return Tuned(
            base=recipe,
            space=space,
            objective=objective,
            seed=seed,
            pruner=pruner,
            trials=held.records(),
            study=path,
            importance=importance,
            importance_missing=missing,
            num_left=held.num_left,
        )


def check_search(
    recipe: Recipe,
    space: Space,
    *,
    trials: int,
    objective: str | None = None,
    seed: int = 0,
    pruner: str | None = None,
) -> tuple[str, str]:
    """Returns the objective and the pruner, or raises ValueError; see `tune` for the arguments."""
    checks.require_positive_int("trials", trials, mend="Pass how many to make, e.g. 20.")
    checks.require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. 0.")
    space.check(recipe.check())
    known = objectives(recipe)
    objective = checks.require_choice("objective", objective or known[0], known)
    return objective, _pruner(recipe, pruner)


@dataclass(frozen=True)
class _Search:
    """What every trial has in common."""

    recipe: Recipe
    space: Space
    training: Histories
    validation: Histories
    objective: str
    seed: int
    pruner: str
    features: LogFeatures | None

    def make(self, study: Study, trials: int, watch: Watch, show: Callable[[Trial], None]) -> None:
        """Makes trials until the study has enough."""
        failures = 0
        while study.standing().finished < trials:
            trial = study.begin(trials)
            if trial is None:
                self._wait(study, trials, watch)
                continue
            try:
                with watch(_label(study, trials)) as progress:
                    self._try(study, trial, progress)
            finally:
                study.release(trial)
            made = next(t for t in study.records() if t.number == study.place(trial) + 1)
            show(made)
            failures = 0 if made.is_finished else failures + 1
            if failures == FAILURES:
                raise RuntimeError(
                    f"{FAILURES} trials failed one after the other, the last one with: "
                    f"{made.error} Mend the space or the recipe, or make the log fit; the study "
                    f"{str(study.path)!r} keeps all trials."
                )

    def _wait(self, study: Study, trials: int, watch: Watch) -> None:
        """Waits until another process has ended a trial, whichever way."""
        with watch("waiting for the trials of other processes"):
            while study.is_full(trials):
                time.sleep(POLL_SECONDS)

    def _try(self, study: Study, trial: optuna.Trial, progress: Any) -> None:
        changes = self.space.changes(trial.params)
        try:
            recipe = self.recipe.with_changes({**self.space.fixed, **changes})
            value = self._value(recipe, study, trial, progress)
        except STORAGE_ERRORS:
            raise
        except Exception as error:  # whatever it is, the next settings may do without it
            study.fail(trial, f"{type(error).__name__}: {' '.join(str(error).split())}")
        else:
            if value is None:
                study.prune(trial)
            else:
                study.complete(trial, value)
        if not self.recipe.entry.is_baseline:
            # A model and its compiled functions refer to one another.
            gc.collect()

    def _value(
        self, recipe: Recipe, study: Study, trial: optuna.Trial, progress: Any
    ) -> float | None:
        """The objective, or None if the trial was pruned."""
        given: dict[str, Any] = {}
        callbacks: list[keras.callbacks.Callback] = []
        monitor = _monitor(recipe, self.objective)
        reports = _Reports(trial, monitor)
        if not recipe.entry.is_baseline:
            if self.pruner != "none" or recipe.needs_validation:
                given["validation"] = self.validation
                given["monitor"] = monitor if recipe.needs_validation else None
                callbacks.append(reports)
            if progress is not None:
                pairs = num_pairs(recipe.fitted_to(self.features, self.training), self.training)
                callbacks.append(TrainingProgress(pairs, show=progress))
            given["callbacks"] = callbacks
        fitted = train(recipe, self.training, seed=self.seed, features=self.features, **given)
        if reports.pruned:
            return None
        weights = chosen_by_validation(recipe, fitted)
        study.keep_chosen(trial, best_epoch(recipe, fitted, monitor), weights)
        found = evaluate(recipe, fitted, self.validation, coverage=False)
        return require_finite(float(found.metrics[self.objective]))


class _Reports(keras.callbacks.Callback):
    """Tells the study of every epoch, and ends a training that is not worth its end."""

    def __init__(self, trial: optuna.Trial, monitor: str):
        super().__init__()
        self.trial, self.monitor, self.pruned = trial, monitor, False

    def on_epoch_end(self, epoch, logs=None):
        self.trial.report(float(logs[self.monitor]), epoch)
        # After the last epoch there is nothing left to save.
        if epoch + 1 < self.params["epochs"] and self.trial.should_prune():
            self.model.stop_training = self.pruned = True


def _pruner(recipe: Recipe, pruner: str | None) -> str:
    counted = recipe.entry.is_baseline
    if pruner is None:
        return "none" if counted else "median"
    checks.require_choice("pruner", pruner, PRUNERS)
    if counted and pruner != "none":
        raise ValueError(
            f"`pruner` was {pruner!r}, but {recipe.model} is counted in one go, so it would end "
            "nothing early. Leave it out."
        )
    return pruner


def _monitor(recipe: Recipe, objective: str) -> str:
    of_recall, of_mrr = recipe.monitors
    return of_mrr if objective.startswith("MRR") else of_recall


def _fingerprints(
    training: Histories, validation: Histories, features: LogFeatures | None
) -> dict[str, str]:
    """Checksums of all that trials are made of."""
    prints = {"training": training.fingerprint, "validation": validation.fingerprint}
    if features is not None and features.items is not None:
        prints["items"] = hashlib.sha256(features.items.values.tobytes()).hexdigest()
    return prints


def _label(study: Study, trials: int) -> str:
    """What is shown while a trial is made."""
    standing = study.standing()
    parts = [f"trial {standing.finished + standing.running} of {trials}"]
    if standing.best is not None:
        parts.append(f"best {standing.best:.4f}")
    if standing.seconds is not None:
        left = standing.seconds * (trials - standing.finished) / max(standing.running, 1)
        parts.append(f"about {as_clock(left)} left")
    return ", ".join(parts)


def _say_nothing(trial: Trial) -> None:
    pass
