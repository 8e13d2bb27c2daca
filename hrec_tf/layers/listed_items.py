"""Values of a few items of each row, laid out over the catalogue."""

import tensorflow as tf


def over_catalogue(item_ids: tf.Tensor, values: tf.Tensor, num_items: int) -> tf.Tensor:
    """Returns float (..., num_items), item id i in column i - 1; what is not listed is 0.

    Args:
        item_ids: int (..., listed), 0..num_items; 0 is none. One that is there twice has the sum.
        values: float (..., listed).
        num_items: N.

    Example:
        >>> over_catalogue(tf.constant([[3, 1, 3, 0]]), tf.constant([[1.0, 2, 4, 9]]), 3).numpy()
        array([[2., 0., 5.]], dtype=float32)
    """
    listed = values.shape[-1]
    flat = tf.reshape(tf.cast(item_ids, tf.int32), (-1, listed))
    num_rows = tf.shape(flat)[0]
    rows = tf.broadcast_to(tf.range(num_rows)[:, None], tf.shape(flat))
    places = tf.stack([rows, flat], axis=-1)
    shape = tf.stack([num_rows, num_items + 1])
    columns = tf.scatter_nd(places, tf.reshape(values, (-1, listed)), shape)
    return tf.reshape(columns[:, 1:], tf.concat([tf.shape(values)[:-1], [num_items]], 0))
