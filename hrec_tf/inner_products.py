"""Scores as inner products of a hidden state with vectors of the items, as an index has them.

For each item a vector w and a bias b, with `logit = w·hidden + b`. They are read off
`model.score`, which any such model has:

    b = score(0),    w_u = score(e_u) - score(0)          e_u the u-th unit vector
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf.schema import (
    FEEDBACK,
    GAP,
    IS_STEP,
    ITEM_IDS,
    MINUTE,
    NEXT_GAP,
    NEXT_SESSION_START,
    POSITIONS,
    SESSION_START,
    USER_FEATURES,
    USER_IDS,
    USER_START,
)

_NOISE = 1e-4
"""Difference that rounding makes, as a share of the largest score."""


def hidden_width(model: Any) -> int:
    """Returns the size of a `NextItemModel`'s hidden state: it reads one event of any layout."""
    yes, zero = tf.ones((1, 1), bool), tf.zeros((1, 1), tf.int32)
    events = {
        ITEM_IDS: tf.ones((1, 1), tf.int32),
        SESSION_START: yes,
        USER_START: yes,
        GAP: zero,
        MINUTE: zero,
        USER_IDS: zero,
        IS_STEP: yes,
        NEXT_GAP: zero,
        NEXT_SESSION_START: yes,
        POSITIONS: zero,
        FEEDBACK: tf.zeros((1, 1, getattr(model, "num_feedback", 0))),
        USER_FEATURES: tf.zeros((1, 1, getattr(model, "num_user_features", 0))),
    }
    return int(model(events).shape[-1])


def with_one(hidden: tf.Tensor) -> tf.Tensor:
    """Returns (hidden, 1), which the vectors of items are multiplied with."""
    return tf.concat([hidden, tf.ones_like(hidden[:, :1])], axis=1)


def vectors_by(model: Any, units: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function of item ids (items,) that gives float32 (items, units + 1): w, then b.

    Args:
        model: its scores must be inner products, see `departure`.
        units: its `hidden_width`.
    """
    unit_vectors = tf.eye(units + 1, units)  # the last row is the origin

    def vectors_of(item_ids):
        scores = model.score(unit_vectors, item_ids)
        weights, bias = scores[:-1] - scores[-1:], scores[-1:]
        return tf.transpose(tf.concat([weights, bias], axis=0))

    return vectors_of


def departure(model: Any, units: int) -> float:
    """Returns by how much scores are no inner products; 0.0 where rounding explains it.

    It is infinite of a model that says so itself (`NextItemModel.scores_are_products`).

    Args:
        model: some of its items are scored for a few hidden states that are drawn.
        units: its `hidden_width`.
    """
    if not model.scores_are_products:
        return float("inf")
    item_ids = tf.range(1, min(model.num_items, 256) + 1)
    hidden = tf.constant(np.random.default_rng(0).normal(size=(4, units)), tf.float32)
    scores = np.asarray(model.score(hidden, item_ids))
    vectors = vectors_by(model, units)(item_ids)
    products = np.asarray(tf.matmul(with_one(hidden), vectors, transpose_b=True))
    furthest = float(np.abs(scores - products).max())
    return furthest if furthest > _NOISE * max(1.0, float(np.abs(scores).max())) else 0.0
