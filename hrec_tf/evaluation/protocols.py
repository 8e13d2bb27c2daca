"""From ranks to the numbers of a report, with all that a reader needs to compare them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hrec_tf import checks
from hrec_tf.baselines import Baseline
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.lists import best_items
from hrec_tf.evaluation.lists import coverage as coverage_of
from hrec_tf.evaluation.points import session_of, user_of
from hrec_tf.evaluation.ranking import Ranks, rank_baseline, rank_model
from hrec_tf.evaluation.significance import (
    Interval,
    SignificanceTest,
    bootstrap_interval,
    paired_wilcoxon,
)
from hrec_tf.metrics import mrr_at, ndcg_at, precision_at, recall_at

AVERAGES = ("micro", "session", "user")
DEFAULT_KS = (5, 20)
PLAYED = ("bootstrap_sessions", "session_starts")
"""Options of ranking that say what is played, and so hold for lists, too."""
AT_K = {"Recall": recall_at, "MRR": mrr_at, "Precision": precision_at, "NDCG": ndcg_at}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of one method on one test set, and how they were taken.

    Attributes:
        metrics: name such as "Recall@5" -> value in [0, 1]; with sampled candidates also
            "full Recall@5", among all items; "Coverage@5" where it was asked for.
        per_session: name -> float64 (num_sessions,), the mean inside each test session.
        sessions: int64 (num_sessions,), these sessions' numbers in the histories, rising.
        average: "micro" (over points), or the mean of means over "session" or "user".
        ties: how equal scores were settled.
        ranks: the points, and what stands above and beside each.
    """

    metrics: dict[str, float]
    per_session: dict[str, np.ndarray]
    sessions: np.ndarray
    average: str
    ties: str
    ranks: Ranks

    @property
    def num_points(self) -> int:
        """How many targets were ranked."""
        return self.ranks.num_points

    @property
    def num_sessions(self) -> int:
        """How many sessions hold a ranked target."""
        return len(self.sessions)

    @property
    def tie_share(self) -> float:
        """Share of points whose target ties with another candidate."""
        return self.ranks.tie_share

    def summary(self) -> dict[str, float | int | str]:
        """Returns the metrics and the conditions they were taken under, in one flat dict."""
        return {
            **self.metrics,
            "num_points": self.num_points,
            "num_sessions": self.num_sessions,
            "average": self.average,
            "ties": self.ties,
            "tie_share": self.tie_share,
            "candidates": self.ranks.candidates,
            "num_candidates": self.ranks.num_candidates,
        }


def evaluate(
    model,
    histories: Histories,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    ties: str = "conservative",
    average: str = "micro",
    coverage: bool = False,
    seed: int = 0,
    **ranking,
) -> Evaluation:
    """Ranks every point of evaluation histories and averages the metrics.

    Args:
        model: a `NextItemModel`, or a fitted `Baseline`.
        histories: evaluation histories: target weight 1 on the events of test sessions, 0
            on the earlier sessions that bootstrap. A session's first event is no point.
        ks: lengths of the list.
        ties: "conservative", "standard" (as the HRNN and HCRNN tables), "median", "random".
        average: "micro" weighs points alike, "session" and "user" weigh groups alike.
        coverage: also measure "Coverage@5" and so on, of lists of the whole catalogue. Plays
            the histories once more.
        seed: of the places drawn under ties "random".
        **ranking: options of `rank_model`, or of `rank_baseline`.

    Raises:
        ValueError: bad arguments, or histories without a point.
        NonFiniteScoresError: a score is NaN or infinite.

    Example:
        >>> from hrec_tf.baselines import Popularity
        >>> log = Histories.from_lists([[[1, 2, 1], [2, 1]]])
        >>> evaluate(Popularity().fit(log), log, ks=[1]).metrics["Recall@1"]
        0.6666666666666666
    """
    check_report_options(ks=ks, average=average)
    rank = rank_baseline if isinstance(model, Baseline) else rank_model
    ranks = rank(model, histories, **ranking)
    found = summarise(ranks, histories, ks=ks, ties=ties, average=average, seed=seed)
    if not coverage:
        return found
    played = {name: ranking[name] for name in PLAYED if name in ranking}
    lists = best_items(model, histories, k=min(max(ks), histories.num_items), **played)
    shares = {f"Coverage@{k}": coverage_of(lists[:, :k], histories.num_items) for k in ks}
    return replace(found, metrics={**found.metrics, **shares})


def summarise(
    ranks: Ranks,
    histories: Histories,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    ties: str = "conservative",
    average: str = "micro",
    seed: int = 0,
) -> Evaluation:
    """Averages the metrics of ranks; arguments and errors as in `evaluate`.

    Args:
        ranks: from `rank_model` or `rank_baseline`.
        histories: the histories that were ranked.
        ks: lengths of the list.
        ties: how equal scores are settled.
        average: "micro", "session" or "user".
        seed: of the places drawn under ties "random".
    """
    check_report_options(ks=ks, average=average)
    places = ranks.ranks(ties, seed=seed)
    by_point = {f"{name}@{k}": formula(places, k) for k in ks for name, formula in AT_K.items()}
    if ranks.full is not None:
        full = ranks.full.ranks(ties, seed=seed)
        by_point |= {
            f"full {name}@{k}": formula(full, k) for k in ks for name, formula in AT_K.items()
        }
    sessions, row = np.unique(session_of(histories, ranks.target), return_inverse=True)
    per_session = {name: _group_means(values, row) for name, values in by_point.items()}
    if average == "session":
        averaged = per_session
    elif average == "user":
        _, user_row = np.unique(user_of(histories, ranks.target), return_inverse=True)
        averaged = {name: _group_means(values, user_row) for name, values in by_point.items()}
    else:
        averaged = by_point
    metrics = {
        name: float(np.mean(values)) if len(values) else float("nan")
        for name, values in averaged.items()
    }
    return Evaluation(metrics, per_session, sessions, average, ties, ranks)


def compare_sessions(
    first: Sequence[Evaluation], second: Sequence[Evaluation], *, metric: str
) -> SignificanceTest:
    """Wilcoxon test of two methods over their test sessions, seeds averaged first.

    Args:
        first: one evaluation per seed.
        second: the same of the other method; its number of seeds may differ.
        metric: a name in `Evaluation.metrics`, such as "Recall@5".

    Raises:
        ValueError: no evaluation, other sessions, or a metric that was not taken.
    """
    for name, side in (("first", first), ("second", second)):
        _require_same_points(name, side, first)
        for evaluation in side:
            checks.require_choice("metric", metric, evaluation.per_session)
    return paired_wilcoxon(
        np.stack([evaluation.per_session[metric] for evaluation in first]),
        np.stack([evaluation.per_session[metric] for evaluation in second]),
    )


def confidence_intervals(
    methods: Sequence[Sequence[Evaluation]],
    histories: Histories,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[dict[str, Interval]]:
    """Bootstrap intervals of every metric over test sessions, seeds averaged first.

    What is drawn is what the metrics average over: sessions, each with its points under
    `average="micro"` and alike under "session"; users under "user". All methods and metrics
    share the draws.

    Args:
        methods: one evaluation per seed, of each method, all on the same points.
        histories: the histories that were ranked.
        confidence: share of resampled means that the interval holds.
        resamples: how often the sessions are drawn.
        seed: of the draws.

    Returns:
        For each method, metric name -> interval.

    Raises:
        ValueError: no evaluation, or evaluations of different points or averages.

    Example:
        >>> from hrec_tf.baselines import Popularity
        >>> log = Histories.from_lists([[[1, 2, 1], [2, 1]]])
        >>> evaluation = evaluate(Popularity().fit(log), log, ks=[1])
        >>> (found,) = confidence_intervals([[evaluation]], log)
        >>> print(found["Recall@1"])  # sessions with 1 of 2 and 1 of 1 points right
        [0.5000, 1.0000]
    """
    for place, evaluations in enumerate(methods):
        _require_same_points(f"methods[{place}]", evaluations, methods[0])
        for evaluation in evaluations:
            if evaluation.average != methods[0][0].average:
                raise ValueError(
                    f"`methods[{place}]` holds a {evaluation.average!r} average, but `methods[0]` "
                    f"a {methods[0][0].average!r} one. Summarise all with the same `average`."
                )
    means = np.stack(
        [
            np.mean([list(evaluation.per_session.values()) for evaluation in evaluations], axis=0)
            for evaluations in methods
        ]
    )
    means, weights = _averaged_units(means, methods[0][0], histories)
    low, high = bootstrap_interval(
        means, weights=weights, confidence=confidence, resamples=resamples, seed=seed
    )
    return [
        {
            name: Interval(float(low[place, row]), float(high[place, row]))
            for row, name in enumerate(evaluations[0].per_session)
        }
        for place, evaluations in enumerate(methods)
    ]


def check_report_options(*, ks: Sequence[int], average: str) -> None:
    """Raises unless `ks` are list lengths and `average` is known."""
    checks.require_choice("average", average, AVERAGES)
    if not isinstance(ks, Sequence | np.ndarray):
        raise TypeError(
            f"`ks` was {ks!r}, but must be several list lengths. Pass e.g. (5, 20), or (5,)."
        )
    if not len(ks):
        raise ValueError("`ks` was empty, but metrics need a list length. Pass e.g. (5, 20).")
    for k in ks:
        checks.require_positive_int("ks", k, mend="Pass lengths of the list, e.g. (5, 20).")


def _require_same_points(
    name: str, evaluations: Sequence[Evaluation], first: Sequence[Evaluation]
) -> None:
    if not len(evaluations):
        raise ValueError(
            f"`{name}` holds no evaluation, but one per seed is compared. Pass a list."
        )
    for row, evaluation in enumerate(evaluations):
        if not np.array_equal(evaluation.ranks.target, first[0].ranks.target):
            raise ValueError(
                f"`{name}` (row {row}) ranked {evaluation.num_points} points, which are not "
                f"the {first[0].num_points} of the first evaluation. Evaluate every method and "
                "seed on the same histories."
            )


def _averaged_units(
    means: np.ndarray, evaluation: Evaluation, histories: Histories
) -> tuple[np.ndarray, np.ndarray]:
    """What a metric averages over, from session means (..., num_sessions), and its weights."""
    sessions, average = evaluation.sessions, evaluation.average
    rows = np.searchsorted(sessions, session_of(histories, evaluation.ranks.target))
    points = np.bincount(rows).astype(np.float64)
    if average == "micro":
        return means, points
    if average == "session":
        return means, np.ones(len(sessions))
    users = user_of(histories, histories.session_offsets[sessions])
    _, begin = np.unique(users, return_index=True)
    per_user = np.add.reduceat(means * points, begin, axis=-1) / np.add.reduceat(points, begin)
    return per_user, np.ones(len(begin))


def _group_means(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    return np.bincount(row, weights=values) / np.bincount(row)
