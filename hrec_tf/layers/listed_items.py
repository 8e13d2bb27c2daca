"""Values of a few items of each row, laid out over the catalogue."""

import tensorflow as tf


def over_catalogue(item_ids: tf.Tensor, values: tf.Tensor, num_items: int | tf.Tensor) -> tf.Tensor:
    """Returns float (..., num_items), item id i in column i - 1; what is not listed is 0.

    Args:
        item_ids: int (..., listed), 0..num_items; 0 is none. One that is there twice has the sum.
        values: float (..., listed).
        num_items: N.

    Example:
        >>> over_catalogue(tf.constant([[3, 1, 3, 0]]), tf.constant([[1.0, 2, 4, 9]]), 3).numpy()
        array([[2., 0., 5.]], dtype=float32)
    """
    by_row = tf.stack([-1, tf.shape(values)[-1]])
    flat = tf.reshape(tf.cast(item_ids, tf.int32), by_row)
    num_rows = tf.shape(flat)[0]
    rows = tf.broadcast_to(tf.range(num_rows)[:, None], tf.shape(flat))
    places = tf.stack([rows, flat], axis=-1)
    shape = tf.stack([num_rows, num_items + 1])
    columns = tf.scatter_nd(places, tf.reshape(values, by_row), shape)
    return tf.reshape(columns[:, 1:], tf.concat([tf.shape(values)[:-1], [num_items]], 0))


def among(
    candidates: tf.Tensor, item_ids: tf.Tensor, values: tf.Tensor, num_items: int
) -> tf.Tensor:
    """Returns float (..., rows, candidates): the columns of `over_catalogue` that are asked for.

    Args:
        candidates: int (..., candidates), 0..num_items, whose leading axes are those of `values`
            without its last but one.
        item_ids, values: (..., rows, listed), as for `over_catalogue`; values of item 0 are 0.
        num_items: N.

    Example:
        >>> listed = tf.constant([[3, 1, 3, 0]]), tf.constant([[1.0, 2, 4, 0]])
        >>> among(tf.constant([3, 2, 1, 3]), *listed, num_items=3).numpy()
        array([[5., 0., 2., 5.]], dtype=float32)
    """
    # Of each group of rows that share candidates, no row is laid out over the whole catalogue. An
    # item that is asked for twice has the place of the second.
    candidates = tf.cast(candidates, tf.int32)
    size = tf.shape(candidates)[-1]
    groups = tf.reshape(candidates, tf.stack([-1, size]))
    num_groups, listed = tf.shape(groups)[0], tf.shape(values)[-1]
    by_group = tf.stack([num_groups, -1, listed])
    first = tf.range(num_groups) * (num_items + 1)
    keys = groups + first[:, None]
    places = tf.broadcast_to(tf.range(1, size + 1), tf.shape(groups))
    place_of = tf.math.unsorted_segment_max(places, keys, num_groups * (num_items + 1))
    place_of = tf.maximum(place_of, 0)
    ids = tf.reshape(tf.cast(item_ids, tf.int32), by_group) + first[:, None, None]
    columns = over_catalogue(tf.gather(place_of, ids), tf.reshape(values, by_group), size)
    found = tf.gather(columns, tf.gather(place_of, keys) - 1, axis=-1, batch_dims=1)
    return tf.reshape(found, tf.concat([tf.shape(values)[:-1], [size]], 0))
