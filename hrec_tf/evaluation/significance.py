"""Is a difference more than chance: tests over sessions and seeds, and their correction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hrec_tf import checks

MAX_EXACT_PAIRS = 50

_DRAWS_AT_ONCE = 1 << 22  # 32 MiB of session numbers


@dataclass(frozen=True)
class SignificanceTest:
    """What a test of "no difference" found.

    Attributes:
        statistic: Wilcoxon: the smaller of the two rank sums. Student: t.
        p_value: two-sided.
        num_pairs: sessions compared (Student: runs of both sides together).
        num_zeros: pairs without a difference, which the test leaves out.
        mean_difference: mean of first minus second, zeros included.
        method: "exact", "normal approximation" or "student t".
    """

    statistic: float
    p_value: float
    num_pairs: int
    num_zeros: int
    mean_difference: float
    method: str


@dataclass(frozen=True)
class MeanSd:
    """Mean and sample standard deviation over seeds; `sd` is None for a single seed.

    Example:
        >>> print(MeanSd(mean=0.52, sd=None, num_seeds=1))
        0.5200 one seed
    """

    mean: float
    sd: float | None
    num_seeds: int

    def __str__(self) -> str:
        spread = "one seed" if self.sd is None else f"± {self.sd:.4f}"
        return f"{self.mean:.4f} {spread}"


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a mean.

    Example:
        >>> print(Interval(low=0.25, high=0.5))
        [0.2500, 0.5000]
    """

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.4f}, {self.high:.4f}]"


def paired_wilcoxon(first: np.ndarray, second: np.ndarray) -> SignificanceTest:
    """Wilcoxon signed-rank test over sessions, two-sided.

    Pairs without a difference are dropped (Wilcoxon's own treatment). More than 50 of the
    others: normal approximation with tie correction, without continuity correction. Fewer:
    the exact distribution, or the approximation where absolute differences tie.

    Args:
        first: float (num_sessions,), each test session's mean of a metric; or
            (num_seeds, num_sessions), which is averaged over seeds first.
        second: the other method on the same sessions in the same order; its number of
            seeds may differ.

    Raises:
        ValueError: different or no sessions, or values that are not finite.

    Source: Quadrana et al., RecSys 2017, name the test; that its pairs are test sessions
    averaged over seeds is inferred.

    Example:
        >>> paired_wilcoxon([0.9, 0.5, 0.4, 0.2], [0.1, 0.3, 0.3, 0.2]).p_value
        0.25
    """
    means = [_mean_over_seeds(name, x) for name, x in (("first", first), ("second", second))]
    if len(means[0]) != len(means[1]):
        raise ValueError(
            f"`first` has {len(means[0])} sessions, but `second` has {len(means[1])}. "
            "Evaluate both methods on the same test sessions."
        )
    # Means equal as fractions may differ in their last bits: neither zeros nor ties then.
    difference = np.round(means[0] - means[1], 12)
    changed = difference[difference != 0]
    statistic, p_value, method = 0.0, 1.0, "exact"
    if len(changed):
        ties = len(np.unique(np.abs(changed))) < len(changed)
        exact = len(changed) <= MAX_EXACT_PAIRS and not ties
        method = "exact" if exact else "normal approximation"
        result = stats.wilcoxon(
            changed, zero_method="wilcox", method="exact" if exact else "asymptotic"
        )
        statistic, p_value = float(result.statistic), float(result.pvalue)
    return SignificanceTest(
        statistic=statistic,
        p_value=p_value,
        num_pairs=len(difference),
        num_zeros=len(difference) - len(changed),
        mean_difference=float(difference.mean()),
        method=method,
    )


def student_t(first: Sequence[float], second: Sequence[float]) -> SignificanceTest:
    """Student's t-test over runs: two samples, equal variances, two-sided.

    Five against five runs have 8 degrees of freedom. For HCRNN's tables; between methods
    on the same sessions `paired_wilcoxon` sees more.

    Args:
        first: one value of a metric per run.
        second: the same of the other method.

    Raises:
        ValueError: fewer than two runs on a side, values that are not finite, or no
            spread at all, where t is not defined.

    Source: Song et al., AAAI 2019, name the test; two-sample with equal variances is
    inferred.

    Example:
        >>> round(student_t([3, 5], [1, 3]).statistic, 4)  # 2 / sqrt(2 * (1/2 + 1/2))
        1.4142
    """
    samples = [_one_per_run(name, x) for name, x in (("first", first), ("second", second))]
    if np.ptp(samples[0]) == 0 and np.ptp(samples[1]) == 0:
        raise ValueError(
            f"`first` and `second` do not vary ({samples[0][0]} and {samples[1][0]} in every "
            "run), but t divides by their spread. Pass runs with different seeds."
        )
    result = stats.ttest_ind(*samples, equal_var=True)
    return SignificanceTest(
        statistic=float(result.statistic),
        p_value=float(result.pvalue),
        num_pairs=len(samples[0]) + len(samples[1]),
        num_zeros=0,
        mean_difference=float(samples[0].mean() - samples[1].mean()),
        method="student t",
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of several comparisons' p-values.

    With p sorted upward, adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)). An
    adjusted value below the level is significant with all m comparisons made.

    Args:
        p_values: one per comparison.

    Returns:
        Adjusted p-values in the same order.

    Raises:
        ValueError: a value outside [0, 1].

    Example:
        >>> [round(p, 3) for p in holm([0.03, 0.01, 0.04])]
        [0.06, 0.03, 0.06]
    """
    given = np.asarray(p_values, np.float64)
    outside = np.flatnonzero(~((given >= 0) & (given <= 1)))
    if len(outside):
        raise ValueError(
            f"`p_values` holds {given[outside[0]]} (row {outside[0]}), but a p-value lies in "
            "[0, 1]. Pass the `p_value` of each test."
        )
    order = np.argsort(given, kind="stable")
    factors = np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1.0)
    return adjusted.tolist()


def bootstrap_interval(
    values: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of means over sessions.

    As many sessions as there are are drawn with replacement, `resamples` times; each time
    the weighted mean sum(w x) / sum(w) of what was drawn is taken, and the interval lies
    between the quantiles (1 - c) / 2 and (1 + c) / 2 of these means. It says how the mean
    would vary with other sessions of the same kind, not with other seeds.

    Args:
        values: float (..., num_sessions); rows, such as methods, share what is drawn.
        weights: (num_sessions,), positive, e.g. points of each session; all alike if None.
        confidence: c, strictly between 0 and 1.
        resamples: how often is drawn.
        seed: of the draws.

    Returns:
        Low and high, each float64 of the shape of `values` without its last axis.

    Raises:
        ValueError: no sessions, values that are not finite, or weights that do not fit.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Example:
        >>> low, high = bootstrap_interval([0.0, 1.0])  # both drawn twice: 1 time in 4
        >>> float(low), float(high)
        (0.0, 1.0)
    """
    array = _finite("values", values)
    num_sessions = array.shape[-1]
    weights = _weights(weights, num_sessions)
    checks.require_positive_int("resamples", resamples, mend="Pass e.g. 2000.")
    if not 0 < confidence < 1:
        raise ValueError(
            f"`confidence` was {confidence!r}, but must lie strictly between 0 and 1. Pass e.g. "
            "0.95."
        )
    rows = array.reshape(-1, num_sessions)
    totals = np.stack([*(rows * weights), weights], axis=1)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, len(rows)))
    block = max(1, _DRAWS_AT_ONCE // num_sessions)
    for first in range(0, resamples, block):
        size = min(block, resamples - first)
        drawn = rng.integers(num_sessions, size=(size, num_sessions))
        flat = (drawn + num_sessions * np.arange(size)[:, None]).ravel()
        times = np.bincount(flat, minlength=size * num_sessions).reshape(size, num_sessions)
        sums = times @ totals
        means[first : first + size] = sums[:, :-1] / sums[:, -1:]
    quantiles = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    low, high = quantiles.reshape(2, *array.shape[:-1])
    return low, high


def mean_sd(values: Sequence[float]) -> MeanSd:
    """Mean and sample standard deviation (n - 1) of one metric over seeds.

    Raises:
        ValueError: no value, or one that is not finite.

    Example:
        >>> print(mean_sd([0.50, 0.52, 0.54]))
        0.5200 ± 0.0200
    """
    array = _finite("values", values)
    sd = float(array.std(ddof=1)) if len(array) > 1 else None
    return MeanSd(mean=float(array.mean()), sd=sd, num_seeds=len(array))


def _weights(weights: np.ndarray | None, num_sessions: int) -> np.ndarray:
    if weights is None:
        return np.ones(num_sessions)
    array = _finite("weights", weights)
    if array.shape != (num_sessions,) or not (array > 0).all():
        raise ValueError(
            f"`weights` has shape {array.shape} and its smallest value is {array.min()}, but it "
            f"must hold a positive number for each of the {num_sessions} sessions. Pass e.g. the "
            "points of each session."
        )
    return array


def _mean_over_seeds(name: str, values: np.ndarray) -> np.ndarray:
    array = _finite(name, values)
    if array.ndim > 2:
        raise ValueError(
            f"`{name}` has shape {array.shape}, but must be (num_sessions,) or "
            "(num_seeds, num_sessions). Pass one mean per test session."
        )
    return array if array.ndim == 1 else array.mean(axis=0)


def _one_per_run(name: str, values: Sequence[float]) -> np.ndarray:
    array = _finite(name, values)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(
            f"`{name}` has shape {array.shape}, but must hold at least two runs. "
            "Pass one value per seed."
        )
    return array


def _finite(name: str, values: Sequence[float] | np.ndarray) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if not array.size or not array.ndim:
        raise ValueError(
            f"`{name}` must hold at least one value, but was {values!r}. "
            "Pass the metric's values in a list."
        )
    stray = np.argwhere(~np.isfinite(array))
    if len(stray):
        row = tuple(stray[0].tolist())
        raise ValueError(
            f"`{name}` holds {array[row]} at {row}, but must be finite. "
            "Look for what made the metric undefined there."
        )
    return array
