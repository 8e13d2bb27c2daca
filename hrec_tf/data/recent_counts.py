"""What was taken often of late, at each of many moments of a training log."""

from typing import NamedTuple

import numpy as np

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.schema import SECONDS_PER_MINUTE

STEPS_PER_HALF_LIFE = 6
"""Moments in a half-life."""
MAX_CELLS = 1 << 27
"""Shares held by a table; about a gigabyte with their items."""


class RecentShares(NamedTuple):
    """The items that had the largest shares of late, moment by moment.

    Attributes:
        first_minute: t_0, minutes since 1970.
        item_ids: int32 (num_moments, M), those with the largest shares first; 0 where there are
            not so many.
        shares: float32 (num_moments, M), p_j.
    """

    first_minute: int
    item_ids: np.ndarray
    shares: np.ndarray


def step_minutes(hours: float) -> int:
    """Returns Δ, minutes from one moment to the next, for a half-life in hours."""
    hours = checks.require_number("popular_hours", hours, minimum=0, mend="Pass e.g. 1.0.")
    if hours <= 0:
        raise ValueError(f"`popular_hours` was {hours}, but must be above 0. Pass e.g. 1.0.")
    return max(1, round(hours * 60 / STEPS_PER_HALF_LIFE))


def num_moments(histories: Histories, hours: float) -> int:
    """Returns how many moments there are from the first event to the one after the last."""
    first, last = (
        int(time) // SECONDS_PER_MINUTE
        for time in (histories.timestamps.min(), histories.timestamps.max())
    )
    return (last - first) // step_minutes(hours) + 2


def recent_shares(histories: Histories, *, size: int, hours: float) -> RecentShares:
    """Counts what was taken often of late, in training histories.

        n_j(t) = Σ 2^((t_e - t) / τ)   over events e of item j with t_e < t,   p_j = n_j / Σ_i n_i
        t = t_0, t_0 + Δ, t_0 + 2 Δ, …

    t_e is the minute of an event, τ the half-life, Δ a sixth of it in whole minutes. At a moment
    nothing is known of what comes at it or later.

    Args:
        histories: whose times are seconds.
        size: M, items kept of each moment.
        hours: τ.

    Raises:
        ValueError: more moments than a table may hold.

    Example:
        >>> histories = Histories.from_lists([[[1, 2, 2]]])  # all in the first minute
        >>> found = recent_shares(histories, size=2, hours=1.0)
        >>> found.item_ids.tolist()
        [[0, 0], [2, 1]]
    """
    step, moments = step_minutes(hours), num_moments(histories, hours)
    if moments * size > MAX_CELLS:
        raise ValueError(
            f"`popular_hours` was {hours}, of which this log has {moments:,} moments with "
            f"{size} items each, but a table may hold {MAX_CELLS:,}. Pass more hours, or fewer "
            "popular items."
        )
    minutes = histories.timestamps // SECONDS_PER_MINUTE
    first = int(minutes.min())
    order = np.argsort(minutes, kind="stable")
    passed, items = minutes[order] - first, histories.item_ids[order]
    ends = np.searchsorted(passed, np.arange(moments) * step)
    counts = np.zeros(histories.num_items + 1)
    ids, shares = np.zeros((moments, size), np.int32), np.zeros((moments, size), np.float32)
    decay, kept = 0.5 ** (step / (hours * 60)), min(size, histories.num_items)
    for moment in range(1, moments):
        some = slice(ends[moment - 1], ends[moment])
        ages = (moment * step - passed[some]) / (hours * 60)
        counts *= decay
        np.add.at(counts, items[some], 0.5**ages)
        best = np.argpartition(-counts[1:], kept - 1)[:kept] + 1
        best = best[np.lexsort((best, -counts[best]))]
        best = best[counts[best] > 0]
        ids[moment, : len(best)] = best
        shares[moment, : len(best)] = counts[best] / counts.sum()
    return RecentShares(first, ids, shares)
