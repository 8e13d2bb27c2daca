"""The few rows of a batch in which something happens, so that only they are computed."""

import tensorflow as tf

SMALLEST_BATCH = 32
"""A smaller batch is computed whole: its products are short as they are."""
SHARES = (5 / 16, 1 / 2)
"""A list holds so much of the batch, the first that is enough."""


def shortcuts(happens: tf.Tensor) -> list[tuple[tf.Tensor, dict[str, tf.Tensor]]]:
    """Lists the rows of every step where something happens, in lists of several sizes.

    Args:
        happens: bool (batch, steps).

    Returns:
        For each size, the smallest first, whether no step has more rows than fit, a bool scalar;
        and the lists: `rows` int32 (size, steps), `is_used` bool (size, steps), `place` int32
        (batch, steps), where each row stands in its step's list, and `is_listed` bool
        (batch, steps). Nothing for a small batch, or one of unknown size.
    """
    if None in happens.shape or len(happens.shape) != 2 or happens.shape[0] < SMALLEST_BATCH:
        return []
    batch, steps = happens.shape
    count = tf.cast(happens, tf.int32)
    place = tf.cumsum(count, axis=0) - 1
    most = tf.reduce_max(tf.reduce_sum(count, axis=0))
    found = []
    for share in SHARES:
        size = int(batch * share)
        # What does not happen is written behind the end of the list.
        slot = tf.where(happens, tf.minimum(place, size), size)
        step = tf.broadcast_to(tf.range(steps), (batch, steps))
        row = tf.broadcast_to(tf.range(batch)[:, None] + 1, (batch, steps))
        rows = tf.scatter_nd(tf.stack([slot, step], -1), row, (size + 1, steps))[:size]
        lists = {
            "rows": tf.maximum(rows - 1, 0),
            "is_used": rows > 0,
            "place": tf.clip_by_value(place, 0, size - 1),
            "is_listed": happens,
        }
        found.append((most <= size, lists))
    return found


def take(values: tf.Tensor, lists: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the listed rows of values: (batch, units) -> (size, units)."""

    @tf.custom_gradient
    def taken(values):
        return tf.gather(values, lists["rows"]), lambda given: _spread(given, lists)

    return taken(values)


def put(listed: tf.Tensor, lists: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns values whose listed rows are these, others 0: (size, units) -> (batch, units)."""

    @tf.custom_gradient
    def spread(listed):
        def gradient(given):
            return tf.where(lists["is_used"][:, None], tf.gather(given, lists["rows"]), 0.0)

        return _spread(listed, lists), gradient

    return spread(listed)


def _spread(listed, lists):
    return tf.where(lists["is_listed"][:, None], tf.gather(listed, lists["place"]), 0.0)
