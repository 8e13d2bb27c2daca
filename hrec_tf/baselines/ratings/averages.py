"""Means as predictions: of all ratings, and of the item's and the user's."""

import numpy as np

from hrec_tf.baselines.baseline import user_firsts
from hrec_tf.baselines.ratings.rating_baseline import RatingBaseline
from hrec_tf.data.histories import Histories


class GlobalAverage(RatingBaseline):
    """The mean of the training ratings, for every target.

        r̂ = mean of r

    Example:
        >>> training = Histories(
        ...     **vars(Histories.from_lists([[[1, 2]]])) | {"feedback": np.array([[1.0], [4.0]])}
        ... )
        >>> GlobalAverage().fit(training).predict(training, [1]).tolist()
        [2.5]
    """

    def _fit(self, histories: Histories, ratings: np.ndarray) -> None:
        """Needs no more than `mean_rating`."""

    def _predict(
        self, histories: Histories, ratings: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        return np.full(len(targets), self.mean_rating)


class RollingAverage(RatingBaseline):
    """Between the item's mean in training and the user's mean so far.

        r̂ = (mean of the item's training ratings + mean of the user's ratings so far) / 2

    The ratings so far are those before the target, in `histories`. An item without training
    ratings, or a user without earlier ones, leaves the other mean alone; without both, the
    prediction is the mean of all training ratings.

    Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", section 4.
    Inferred here: what stands in for a mean that there is not.

    Example:
        >>> training = Histories(
        ...     **vars(Histories.from_lists([[[1, 2]]])) | {"feedback": np.array([[1.0], [4.0]])}
        ... )
        >>> RollingAverage().fit(training).predict(training, [0, 1]).tolist()
        [1.0, 2.5]
    """

    def _fit(self, histories: Histories, ratings: np.ndarray) -> None:
        is_known = np.isfinite(ratings)
        columns, size = histories.item_ids[is_known] - 1, histories.num_items
        totals = np.bincount(columns, ratings[is_known], minlength=size)
        self.item_means = _means(totals, np.bincount(columns, minlength=size))

    def _predict(
        self, histories: Histories, ratings: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        both = np.stack(
            [
                self.item_means[histories.item_ids[targets] - 1],
                _means_so_far(histories, ratings, targets),
            ]
        )
        means = _means(np.nansum(both, axis=0), np.isfinite(both).sum(axis=0))
        return np.where(np.isnan(means), self.mean_rating, means)


def _means_so_far(histories: Histories, ratings: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Float64 (num_targets,), the mean of the user's ratings before each target, or NaN."""
    totals = np.concatenate([[0.0], np.nancumsum(ratings)])
    counts = np.concatenate([[0], np.cumsum(np.isfinite(ratings))])
    first = user_firsts(histories, targets)
    return _means(totals[targets] - totals[first], counts[targets] - counts[first])


def _means(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Totals over counts, NaN where nothing was counted."""
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
