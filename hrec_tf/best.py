"""The k largest of many scores, exactly, without a sort of all of them."""

import math

import tensorflow as tf

LOWEST = float(tf.float32.min)


def best(scores: tf.Tensor, k: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `tf.math.top_k` does, faster on a CPU where there are many columns.

    The k largest lie in the k blocks of columns whose largest value is largest. Of equal values
    the one in the lower column is first, as there: blocks are looked through in their order.

    Args:
        scores: float32 (batch, columns).
        k: at most that number. Blocks are looked at where it and the columns are known when the
            graph is made.

    Returns:
        Values (batch, k), falling, and int32 columns (batch, k).
    """
    columns = scores.shape[-1]
    if columns is None or isinstance(k, tf.Tensor) or (width := math.isqrt(columns // k)) < 8:
        return tf.math.top_k(scores, k=k)
    blocks = -(-columns // width)
    padded = tf.pad(scores, [[0, 0], [0, blocks * width - columns]], constant_values=LOWEST)
    by_block = tf.reshape(padded, [-1, blocks, width])
    chosen = tf.sort(tf.math.top_k(tf.reduce_max(by_block, axis=2), k=k).indices, axis=1)
    kept = tf.reshape(tf.gather(by_block, chosen, batch_dims=1), [-1, k * width])
    values, places = tf.math.top_k(kept, k=k)
    block = tf.gather(chosen, places // width, batch_dims=1)
    return values, block * width + places % width
