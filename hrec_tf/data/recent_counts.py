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
        counts: float64 (N + 1,), n_j at the minute of the last event, with that event; column 0
            is no item.
        last_time: T, seconds since 1970, the time of the last event counted.
    """

    first_minute: int
    item_ids: np.ndarray
    shares: np.ndarray
    counts: np.ndarray
    last_time: int


def step_minutes(hours: float) -> int:
    """Returns Δ, minutes from one moment to the next, for a half-life in hours."""
    hours = checks.require_number("popular_hours", hours, minimum=0, mend="Pass e.g. 1.0.")
    if hours * SECONDS_PER_MINUTE < 1:
        raise ValueError(
            f"`popular_hours` was {hours}, but must be a minute at least, 1 / 60. Pass e.g. 1.0."
        )
    return max(1, round(hours * 60 / STEPS_PER_HALF_LIFE))


def num_moments(histories: Histories, hours: float) -> int:
    """Returns how many moments there are from the first event to the one after the last."""
    first, last = (
        int(time) // SECONDS_PER_MINUTE
        for time in (histories.timestamps.min(), histories.timestamps.max())
    )
    return (last - first) // step_minutes(hours) + 2


def recent_shares(
    histories: Histories,
    *,
    size: int,
    hours: float,
    moments: int | None = None,
    after: RecentShares | None = None,
) -> RecentShares:
    """Counts what was taken often of late, in training histories.

        n_j(t) = Σ 2^((t_e - t) / τ)   over events e of item j with t_e < t,   p_j = n_j / Σ_i n_i
        t = t_0, t_0 + Δ, t_0 + 2 Δ, …

    t_e is the minute of an event, τ the half-life, Δ a sixth of it in whole minutes. At a moment
    nothing is known of what comes at it or later.

    Args:
        histories: whose times are seconds.
        size: M, items kept of each moment.
        hours: τ.
        moments: R, how many are kept, the last ones. The first of them is empty: of what was
            before, nothing is known. None has those from the log's first event, which is empty
            likewise, to the one after the last.
        after: where counting stood, of the same M and τ. Events up to its T are passed over; those
            after it are counted on top, and its moments go on.

    Raises:
        ValueError: more moments than a table may hold.

    Example:
        >>> histories = Histories.from_lists([[[1, 2, 2]]])  # all in the first minute
        >>> found = recent_shares(histories, size=2, hours=1.0)
        >>> found.item_ids.tolist()
        [[0, 0], [2, 1]]
    """
    step, half_life = step_minutes(hours), hours * SECONDS_PER_MINUTE
    times, items = histories.timestamps, histories.item_ids
    if after is not None:
        is_new = times > after.last_time
        times, items = times[is_new], items[is_new]
        if not len(times):
            return after
    order = np.argsort(times, kind="stable")
    minutes, items = times[order] // SECONDS_PER_MINUTE, items[order]
    origin = int(minutes[0]) if after is None else after.first_minute
    # Rows are numbered from the origin on; those that what is new changes are counted.
    end = (int(minutes[-1]) - origin) // step + 2
    first = 0 if after is None else (after.last_time // SECONDS_PER_MINUTE - origin) // step + 1
    held = end if moments is None else moments
    if held * size > MAX_CELLS:
        raise ValueError(
            f"`popular_hours` was {hours}, of which this log has {held:,} moments with "
            f"{size} items each, but a table may hold {MAX_CELLS:,}. Pass more hours, or fewer "
            "popular items."
        )
    ids, shares = np.zeros((held, size), np.int32), np.zeros((held, size), np.float32)
    if after is not None:
        _move(after, ids, shares, end - held, first)
    now: int = origin if after is None else after.last_time // SECONDS_PER_MINUTE
    counts = np.zeros(histories.num_items + 1) if after is None else after.counts.copy()
    kept, done = min(size, histories.num_items), 0
    for row in range(max(first, end - held), end):
        moment = origin + row * step
        counts *= 0.5 ** ((moment - now) / half_life)
        now, some = moment, slice(done, int(np.searchsorted(minutes, moment)))
        np.add.at(counts, items[some], 0.5 ** ((moment - minutes[some]) / half_life))
        done = some.stop
        best = np.argpartition(-counts[1:], kept - 1)[:kept] + 1
        best = best[np.lexsort((best, -counts[best]))]
        best = best[counts[best] > 0]
        place = row - (end - held)
        ids[place, : len(best)] = best
        shares[place, : len(best)] = counts[best] / counts.sum()
    ids[0], shares[0] = 0, 0
    counts *= 2.0 ** ((now - minutes[-1]) / half_life)
    return RecentShares(origin + (end - held) * step, ids, shares, counts, int(times.max()))


def _move(after: RecentShares, ids: np.ndarray, shares: np.ndarray, first: int, end: int) -> None:
    """Writes the rows before `end` of an older table into one that starts at its row `first`."""
    some = slice(max(first, 0), max(first, 0, end))
    ids[some.start - first : some.stop - first] = after.item_ids[some]
    shares[some.start - first : some.stop - first] = after.shares[some]
