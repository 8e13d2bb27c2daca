"""What every predictor of ratings promises, and the ratings that it may read."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from hrec_tf.baselines.baseline import checked_targets
from hrec_tf.data.histories import Histories


class RatingBaseline(ABC):
    """A predictor of the rating that a user gives to a known next item.

    A target is an event, named by its index into histories. Read of it are its item and what
    its user did before it; never its own rating, or anything later.

    A rating is the first number of an event's feedback. It is missing where a second number
    is above 0.5, see `Numeric`; a missing rating is neither learnt from nor counted.

    A new predictor defines `_fit` and `_predict`; the checks live here. One that draws sets
    `is_random` and takes a `seed`.
    """

    num_items: int | None = None
    """Size of the catalogue this was fitted on, or None before `fit`."""

    mean_rating: float
    """Mean of the training ratings: the prediction where nothing else is known."""

    is_random: ClassVar[bool] = False
    """Whether `fit` draws, so that another `seed` gives other predictions."""

    def fit(self, histories: Histories) -> Self:
        """Takes what the method needs from training histories and returns itself.

        Args:
            histories: training histories with feedback. All ratings are learnt from, whatever
                their `target_weights`.

        Raises:
            ValueError: `histories` without a single rating.
        """
        ratings = histories.ratings
        is_known = np.isfinite(ratings)
        if not is_known.any():
            raise ValueError(
                f"`histories` holds 0 ratings in {histories.num_events} events, but "
                f"{type(self).__name__} learns from ratings. Check the column of the feedback, "
                "and how the training log was filtered and split."
            )
        self.mean_rating = float(ratings[is_known].mean())
        self._fit(histories, ratings)
        self.num_items = histories.num_items
        return self

    def predict(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        """Predicts the rating of each target from its item and its user's events before it.

        Args:
            histories: evaluation histories with feedback, encoded with the vocabulary of the
                training histories, ratings in the same units.
            targets: int (num_targets,), event indices into `histories`.

        Returns:
            float64 (num_targets,), in the units of the feedback.

        Raises:
            ValueError: before `fit`, histories of another catalogue or without feedback, or no
                such event.
            TypeError: targets that are not whole numbers.
        """
        if self.num_items is None:
            raise ValueError(
                f"`predict` was called on a {type(self).__name__} that has learnt nothing. "
                "Call `fit(training_histories)` first."
            )
        targets = checked_targets(self, histories, targets)
        return self._predict(histories, histories.ratings, targets)

    @abstractmethod
    def _fit(self, histories: Histories, ratings: np.ndarray) -> None:
        """Learns; `ratings` are float64 (num_events,), NaN where missing, and one is not."""

    @abstractmethod
    def _predict(
        self, histories: Histories, ratings: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        """Predicts; arguments are checked."""


def rating_rows(
    histories: Histories, ratings: np.ndarray, first: np.ndarray, end: np.ndarray
) -> sparse.csr_array:
    """Lays ratings out by item for many stretches of events at once.

    Args:
        histories: `Histories`.
        ratings: float64 (num_events,), NaN where missing.
        first, end: int64 (num_rows,), the first event of each stretch, and one past its last.

    Returns:
        Sparse float64 (num_rows, num_items), item id i in column i - 1: the mean of its known
        ratings in the stretch. A rating of 0 is an entry, a missing one is not.
    """
    sizes = end - first
    rows = np.repeat(np.arange(len(sizes)), sizes)
    events = np.arange(len(rows)) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes)
    is_known = np.isfinite(ratings[events])
    rows, events = rows[is_known], events[is_known]
    places, shape = (rows, histories.item_ids[events] - 1), (len(sizes), histories.num_items)
    totals = sparse.csr_array((ratings[events], places), shape=shape)
    counts = sparse.csr_array((np.ones(len(events)), places), shape=shape)
    totals.data /= counts.data
    return totals
