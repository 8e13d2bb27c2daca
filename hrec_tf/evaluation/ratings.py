"""Errors of predicted ratings."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hrec_tf.baselines import RatingBaseline
from hrec_tf.data.aligned import rated_targets
from hrec_tf.data.features import Numeric
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.windows import windows_of
from hrec_tf.schema import ALIGNED


class RatingErrors(NamedTuple):
    """What `rating_errors` found.

    Attributes:
        rmse: root of the mean squared error, in the units of the ratings.
        predicted, actual: float64 (num_points,), in those units.
        targets: int64 (num_points,), event indices, rising.
    """

    rmse: float
    predicted: np.ndarray
    actual: np.ndarray
    targets: np.ndarray


def rating_errors(
    model: Any,
    histories: Histories,
    *,
    units: Numeric | None = None,
    clip: bool = False,
    num_lanes: int | None = None,
    steps: int = 32,
) -> RatingErrors:
    """Predicts the rating of each target from what its user did before, and takes the RMSE.

    Targets are the rated events with a target weight above 0 that are not a user's first, for
    every method alike: before the first, a network that predicts the next event has read nothing.

    Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", Table 3.

    Args:
        model: an `HRNNMeta` with `rating_weight`, or a fitted `RatingBaseline`.
        histories: their feedback is the rating, standardised, see `Numeric`.
        units: turns ratings back; left as they are if None.
        clip: cut predictions to the range of the training ratings; needs `units`.
        num_lanes, steps: see `rank_model`; they change speed only.

    Raises:
        ValueError: histories without ratings, or an option that would be ignored.
    """
    if clip and units is None:
        raise ValueError(
            "`clip` was True without `units`, which hold the range of the ratings. Pass both."
        )
    ratings = rated_targets(histories)
    is_target = np.isfinite(ratings) & ~histories.user_starts
    if not is_target.any():
        raise ValueError(
            f"`histories` holds {histories.num_events} events, but none after a user's first has a "
            "rating and a target weight above 0. Check the feedback and the split."
        )
    targets = np.flatnonzero(is_target)
    if isinstance(model, RatingBaseline):
        predicted = model.predict(histories, targets)
    else:
        predicted = _by_network(model, histories, is_target, num_lanes=num_lanes, steps=steps)
    actual = ratings[targets]
    if units is not None:
        predicted, actual = (units.mean + units.sd * values for values in (predicted, actual))
        predicted = np.clip(predicted, units.low, units.high) if clip else predicted
    rmse = float(np.sqrt(np.mean((predicted - actual) ** 2)))
    return RatingErrors(rmse, predicted, actual, targets)


def _by_network(
    model: Any, histories: Histories, is_target: np.ndarray, **shape: Any
) -> np.ndarray:
    if getattr(model, "layout", None) != ALIGNED:
        raise ValueError(
            f"`model` is a {type(model).__name__}, which predicts no ratings. Pass an HRNNMeta "
            "with rating_weight, or a baseline of ratings."
        )

    @tf.function(autograph=False, reduce_retracing=True)
    def read(events, next_item_ids, is_point, states):
        hidden, states = model.encode(events, states)
        rated = model.rate(hidden, next_item_ids)
        return tf.boolean_mask(rated, is_point), states

    predicted, states = np.full(histories.num_events, np.nan), None
    for events, next_item_ids, point_of in windows_of(
        histories, model=model, is_point=is_target, **shape
    ):
        states = model.initial_states(len(point_of)) if states is None else states
        here = {name: tf.constant(values) for name, values in events.items()}
        is_point = point_of >= 0
        found, states = read(here, tf.constant(next_item_ids), tf.constant(is_point), states)
        predicted[point_of[is_point]] = found
    return predicted[is_target]
