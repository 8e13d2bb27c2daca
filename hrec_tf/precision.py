"""What stays precise where a policy computes in half precision."""

import tensorflow as tf


def at_least_float32(values: tf.Tensor) -> tf.Tensor:
    """Returns values as float32, or as they are if that is more: what half types cannot hold.

    `log(x + 1e-24)` is `log(x)` in a half type, and 0.001 is nothing beside 1.
    """
    values = tf.convert_to_tensor(values)
    return values if values.dtype == tf.float64 else tf.cast(values, tf.float32)
