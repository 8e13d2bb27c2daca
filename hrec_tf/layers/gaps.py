"""The time between a user's events, as models read it."""

import tensorflow as tf

from hrec_tf.data.gaps import UNIT_SECONDS


def log_gap(seconds: tf.Tensor) -> tf.Tensor:
    """Returns δ = log(1 + gap / 60 s), float32: seconds are no half numbers.

    Args:
        seconds: of any shape, as streams tell them.

    Example:
        >>> [round(float(delta), 4) for delta in log_gap(tf.constant([0, 60]))]
        [0.0, 0.6931]
    """
    return tf.math.log1p(tf.cast(seconds, tf.float32) / UNIT_SECONDS)
