"""Histories that are drawn, and weights that part the scores of a model of any kind."""

import numpy as np

from hrec_tf.data.histories import Histories


def drawn_histories(num_items, *, seed):
    """Five users with 1 to 4 sessions of 1 to 5 events."""
    rng = np.random.default_rng(seed)
    users = [
        [rng.integers(1, num_items + 1, rng.integers(1, 6)).tolist() for _ in range(sessions)]
        for sessions in (3, 1, 4, 2, 3)
    ]
    return Histories.from_lists(users, num_items=num_items)


def with_own_weights(model):
    """Gives every weight values of its own, large enough to part the scores."""
    for weight in model.weights:
        size = int(np.prod(weight.shape))
        weight.assign(0.8 * np.sin(np.arange(1, size + 1) * 1.7).reshape(weight.shape))
    return model
