"""What belongs to the targets of padded rows, each predicted after the event at its position."""

import tensorflow as tf

from hrec_tf.schema import PADDING_ID


def at_positions(values: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Returns (batch, targets, units), of each row's values those at its positions.

    Args:
        values: (batch, steps, units).
        positions: int (batch, targets), each below steps.

    Example:
        >>> values = tf.constant([[[1], [2], [3]], [[4], [5], [6]]])
        >>> at_positions(values, tf.constant([[2, 0], [1, 1]]))[..., 0].numpy().tolist()
        [[3, 1], [5, 5]]
    """
    return tf.gather(values, positions, batch_dims=1)


def is_read_at(item_ids: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Returns bool (batch, targets, steps), the events that each target may know of.

    Args:
        item_ids: int (batch, steps), 0 where there is no event.
        positions: int (batch, targets).

    Example:
        >>> is_read_at(tf.constant([[7, 8, 0, 0]]), tf.constant([[0, 3]])).numpy().tolist()
        [[[True, False, False, False], [True, True, False, False]]]
    """
    steps = tf.range(tf.shape(item_ids)[1], dtype=positions.dtype)
    return (steps <= positions[..., None]) & (item_ids != PADDING_ID)[:, None]
