"""Recent POP: the items that were taken most often of late, by decay or in a window."""

import math
import numbers

import numpy as np

from hrec_tf import checks
from hrec_tf.baselines.baseline import Baseline
from hrec_tf.data.histories import Histories

FORMS = ("half_life", "window")
SECONDS_PER_HOUR = 3_600
MOST_HALF_LIVES = 1_000
"""After the end of training: 2 to a higher power is no float64."""


class RecentPopularity(Baseline):
    """Recent POP: popularity in which an event counts the less the older it is.

        half_life:  score_j(q) = Σ 2^((t_e - T) / h)   over events e of item j with t_e < q
        window:     score_j(q) = #{e of item j: q - h <= t_e < q}

    T is the time of the last training event, h is `hours`. In the first form all scores are in
    units of an event at T, whatever q: a factor that is common to all items changes no rank.

    The moment q from which one looks back:

    - `rolling=False`: just after T. One list for everybody, as at the end of training.
    - `rolling=True`: the time of the event before the target (of the target, if it is its user's
      first). Training events before q count, and what came after T and before q in the
      histories that are scored, of all their users. So nothing at or after q is read, not even
      the current item. Events of these histories up to T never count: they may be training's.
      A service needs a counter that runs on to do the same.

    With `hours=inf` and without `rolling` it is POP. Where timestamps are an order only, hours are
    3 600 events, which is hardly meant.

    Source: Ji et al., SIGIR 2020, arXiv:2005.13829, RecentPop (counts of the last period) and
    DecayPop (counts of several periods, the later the more); Moreira et al., IEEE Access 2019,
    arXiv:1904.10367, have recent clicks as a baseline on news. Inferred: decay without steps, the
    24 hours.

    Args:
        hours: the half-life, or the length of the window; above 0, or inf.
        form: "half_life" or "window".
        rolling: whether to look back from each target, or from the end of training.

    Raises:
        ValueError: bad arguments; in `score`, events so far behind the end of training, by
            half-lives, that their weight is no float64.

    Example:
        >>> import numpy as np
        >>> from dataclasses import replace
        >>> training = Histories.from_lists([[[1, 2, 2]]], num_items=3)
        >>> training = replace(training, timestamps=np.array([0, 3_600, 7_200]))
        >>> RecentPopularity(hours=1).fit(training).score(training, [1]).tolist()
        [[0.25, 1.5, 0.0]]
    """

    def __init__(
        self, *, hours: float = 24.0, form: str = "half_life", rolling: bool = False
    ) -> None:
        self.hours = _positive_hours(hours)
        self.form = checks.require_choice("form", form, FORMS)
        self.rolling = rolling

    def _fit(self, histories: Histories) -> None:
        order = np.argsort(histories.timestamps, kind="stable")
        self.times = histories.timestamps[order]
        self.items = histories.item_ids[order] - 1
        self.end = int(self.times[-1])

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        if not self.rolling:
            after_end = np.array([self.end + 1])
            scores = self._look_back(self.times, self.items, after_end, histories.num_items)
            return np.tile(scores, (len(targets), 1))
        later = np.flatnonzero(histories.timestamps > self.end)
        later = later[np.argsort(histories.timestamps[later], kind="stable")]
        times = np.concatenate([self.times, histories.timestamps[later]])
        items = np.concatenate([self.items, histories.item_ids[later] - 1])
        moments = _moments(histories, targets)
        order = np.argsort(moments, kind="stable")
        scores = np.empty((len(targets), histories.num_items))
        scores[order] = self._look_back(times, items, moments[order], histories.num_items)
        return scores

    def _look_back(
        self, times: np.ndarray, items: np.ndarray, moments: np.ndarray, num_items: int
    ) -> np.ndarray:
        """Float64 (num_moments, num_items), the counts at moments that rise; times rise, too."""
        weights = self._weights(times)
        ends = np.searchsorted(times, moments, side="left")
        firsts = np.zeros_like(ends)
        if self.form == "window":
            firsts = np.searchsorted(times, moments - self.hours * SECONDS_PER_HOUR, side="left")
        # From one moment to the next few events come and go. Window counts are whole numbers, so
        # taking away leaves no rest; decayed ones are only added to, in the order of time.
        scores, counts = np.empty((len(moments), num_items)), np.zeros(num_items)
        first = end = 0
        for row, (next_first, next_end) in enumerate(zip(firsts, ends, strict=True)):
            np.add.at(counts, items[end:next_end], weights[end:next_end])
            np.subtract.at(counts, items[first:next_first], weights[first:next_first])
            first, end = next_first, next_end
            scores[row] = counts
        return scores

    def _weights(self, times: np.ndarray) -> np.ndarray:
        """Float64 (num_events,), what each event counts."""
        if self.form == "window" or not len(times):
            return np.ones(len(times))
        half_lives = (times - self.end) / (self.hours * SECONDS_PER_HOUR)
        if half_lives[-1] > MOST_HALF_LIVES:
            raise ValueError(
                f"`histories` go on for {half_lives[-1]:,.0f} half-lives of {self.hours:g} hours "
                f"after the end of training, but at most {MOST_HALF_LIVES:,} can be weighed. Pass "
                "more `hours`, or fit on a later log."
            )
        return np.exp2(half_lives)


def _moments(histories: Histories, targets: np.ndarray) -> np.ndarray:
    """Int64 (num_targets,), when each list is asked for: at the event before, never later."""
    times = histories.timestamps
    before = np.where(histories.user_starts[targets], targets, targets - 1)
    # Sessions of a user may overlap: the event before may then be later than the target.
    return np.minimum(times[before], times[targets])


def _positive_hours(hours: float) -> float:
    is_number = isinstance(hours, numbers.Real) and not isinstance(hours, bool)
    if not is_number or math.isnan(hours) or hours <= 0:
        raise ValueError(
            f"`hours` was {hours!r}, but must be a number above 0, or inf. Pass e.g. 24."
        )
    return float(hours)
