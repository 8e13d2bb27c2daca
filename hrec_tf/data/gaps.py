"""The time between a user's events, as models take it."""

import numpy as np

from hrec_tf.data.histories import Histories
from hrec_tf.schema import LARGEST_GAP

UNIT_SECONDS = 60
"""The unit of gaps inside the logarithm of δ."""


def gap_moments(histories: Histories) -> tuple[float, float]:
    """Returns mean and standard deviation of δ = log(1 + gap / 60 s) in training histories.

    Args:
        histories: whose times are seconds. Each event counts that has one of its user before it.

    Returns:
        `(mean, sd)`; (0, 1) where there is no gap, and sd 1 where all are equal.

    Example:
        >>> histories = Histories.from_lists([[[1, 2, 3]]])  # a second apart
        >>> [round(moment, 4) for moment in gap_moments(histories)]
        [0.0165, 1.0]
    """
    gaps = np.diff(histories.timestamps)[~histories.user_starts[1:]]
    if not len(gaps):
        return 0.0, 1.0
    deltas = np.log1p(np.clip(gaps, 0, LARGEST_GAP) / UNIT_SECONDS)
    sd = float(deltas.std())
    return float(deltas.mean()), sd if sd > 1e-6 else 1.0
