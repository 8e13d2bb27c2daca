"""Several models, several seeds, the same points: means, spread and significance."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hrec_tf import checks
from hrec_tf.data.log_source import PreparedLog
from hrec_tf.evaluation import (
    Evaluation,
    MeanSd,
    SignificanceTest,
    compare_sessions,
    holm,
    mean_sd,
)
from hrec_tf.fitting import count_held_out, evaluate, num_pairs, train
from hrec_tf.recipe import Recipe
from hrec_tf.training import TrainingProgress, best_epoch

Watch = Callable[[str], AbstractContextManager[Callable | None]]
"""Given what is being done, a context whose value takes `TrainingStatus`, or is None."""


@dataclass(frozen=True)
class Result:
    """What one recipe gave.

    Args:
        recipe: the settings.
        evaluations: one per seed. Those of a method without randomness are one and the same.
        seconds: training time of each seed, compilation included.
        history: of each seed, what `fit` logged per epoch: name -> values. Empty for a baseline.
        fitted: the model or baseline of the last seed, if it was kept.
    """

    recipe: Recipe
    evaluations: tuple[Evaluation, ...]
    seconds: tuple[float, ...]
    history: tuple[Mapping[str, Sequence[float]], ...] = ()
    fitted: Any = None

    def metric(self, name: str) -> MeanSd:
        """Mean and sample standard deviation of a metric over the seeds."""
        return mean_sd([evaluation.metrics[name] for evaluation in self.evaluations])

    @property
    def training_seconds(self) -> MeanSd:
        """Mean and sample standard deviation of the training time over the seeds."""
        return mean_sd(self.seconds)

    @property
    def best_epochs(self) -> tuple[int, ...]:
        """The epoch whose weights each seed has, the first being 1; empty without patience."""
        if self.recipe.patience is None:
            return ()
        return tuple(best_epoch(history[self.recipe.monitor]) or 0 for history in self.history)

    @property
    def tie_share(self) -> float:
        """Share of points whose target ties with another candidate; mean over seeds."""
        return mean_sd([evaluation.tie_share for evaluation in self.evaluations]).mean


@dataclass(frozen=True)
class Against:
    """A model against the best baseline; `p_holm` is corrected for all that were compared."""

    test: SignificanceTest
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """Results on the same points.

    Args:
        results: one per recipe.
        metric: what significance is tested on, e.g. "Recall@20".
        seeds: of every model.
    """

    results: tuple[Result, ...]
    metric: str
    seeds: tuple[int, ...]

    @property
    def best_baseline(self) -> Result | None:
        """The baseline with the highest mean of `metric`; None if none was compared."""
        counted = [result for result in self.results if result.recipe.entry.is_baseline]
        return max(counted, key=lambda result: result.metric(self.metric).mean, default=None)

    @property
    def best(self) -> Result:
        """The result with the highest mean of `metric`; the first of equals."""
        return max(self.results, key=lambda result: result.metric(self.metric).mean)

    @cached_property
    def against_best_baseline(self) -> dict[str, Against]:
        """Trained models, by recipe name: paired Wilcoxon over sessions, Holm-corrected."""
        best = self.best_baseline
        if best is None:
            return {}
        tests = {
            result.recipe.name: compare_sessions(
                result.evaluations, best.evaluations, metric=self.metric
            )
            for result in self.results
            if not result.recipe.entry.is_baseline
        }
        corrected = holm([test.p_value for test in tests.values()])
        return {
            name: Against(test, p) for (name, test), p in zip(tests.items(), corrected, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        best = self.best_baseline
        rows = []
        for result in self.results:
            row: dict[str, Any] = {
                "model": result.recipe.model,
                "recipe": result.recipe.name,
                "epochs": result.recipe.epochs,
                "metrics": {
                    name: {"mean": spread.mean, "sd": spread.sd}
                    for name in result.evaluations[0].metrics
                    for spread in [result.metric(name)]
                },
                "tie_share": result.tie_share,
                "training_seconds": result.training_seconds.mean,
            }
            if result.best_epochs:
                row["best_epochs"] = list(result.best_epochs)
            against = self.against_best_baseline.get(result.recipe.name)
            if against is not None:
                row["against_best_baseline"] = {
                    "mean_difference": against.test.mean_difference,
                    "p_value": against.test.p_value,
                    "p_holm": against.p_holm,
                    "num_sessions": against.test.num_pairs,
                    "num_zeros": against.test.num_zeros,
                }
            rows.append(row)
        first = self.results[0].evaluations[0]
        return {
            "results": rows,
            "seeds": list(self.seeds),
            "metric": self.metric,
            "best_baseline": None if best is None else best.recipe.name,
            "num_points": first.num_points,
            "num_sessions": first.num_sessions,
            "ties": first.ties,
            "average": first.average,
            "candidates": first.ranks.candidates,
            "num_candidates": first.ranks.num_candidates,
        }


def measure(
    recipe: Recipe,
    log: PreparedLog,
    *,
    seeds: Sequence[int],
    watch: Watch | None = None,
    keep: bool = False,
) -> Result:
    """Trains and evaluates one recipe with each seed, one after the other.

    Args:
        recipe: see `Recipe`.
        log: what to train and evaluate on. A recipe that `needs_validation` is trained on
            less of it: its validation part ends the training, or chooses a weight.
        seeds: one run each. What is not random is counted for each, and evaluated once.
        watch: see `Watch`; shows progress.
        keep: whether the result holds what was fitted with the last seed, to use it further.
    """
    checks.require_positive_int("seeds", len(seeds), mend="Pass at least one seed, e.g. 0.")
    watch = watch or (lambda what: nullcontext(None))
    evaluations: list[Evaluation] = []
    seconds = []
    history = []
    fitted: Any = None
    histories, held_out = log.train, None
    if recipe.needs_validation:
        histories, held_out = log.for_validation()
    for seed in seeds:
        counted = recipe.entry.is_baseline
        random = recipe.entry.is_random
        label = f"{recipe.name} (seed {seed})" if random else recipe.name
        with watch(f"{'counting' if counted else 'training'} {label}") as show:
            callbacks: list[Any] = []
            if show is not None and not counted:
                callbacks = [TrainingProgress(num_pairs(recipe, histories), show=show)]
            begin = time.perf_counter()
            fitted = train(
                recipe,
                histories,
                seed=seed,
                validation=held_out,
                callbacks=callbacks,
                features=log.features,
            )
            seconds.append(time.perf_counter() - begin)
            count_held_out(fitted, held_out)
        if evaluations and not random:
            evaluations.append(evaluations[0])
        else:
            with watch(f"evaluating {label}"):
                evaluations.append(evaluate(recipe, fitted, log.test, training=log.train))
        if not counted:
            history.append(dict(fitted.history.history))
        if not keep or seed != seeds[-1]:
            # A model and its compiled functions refer to one another.
            fitted = None
            gc.collect()
    return Result(recipe, tuple(evaluations), tuple(seconds), tuple(history), fitted)
