"""Row-sparse gradients: merging the rows that a batch uses more than once."""

import tensorflow as tf


class RowMerger:
    """Sums the gradient rows of one table that belong to the same table row.

    Every slot of the gradient writes its own number into a scratch table at its row; the last
    writer of a row stands for all its slots. That is exact, costs the same for any catalogue,
    and is one code for plain TensorFlow and XLA.

    The scratch table is never read before it is written, so it is no state: it is kept out of
    the optimizer's variables and of saved files. It is int64 since TensorFlow keeps int32
    variables off the GPU.

    Args:
        num_rows: rows of the table.
    """

    def __init__(self, num_rows: int):
        # A first step may be traced before the optimizer was built; the variable outlives it.
        with tf.init_scope():
            self._slot_of_row = tf.Variable(
                tf.zeros((num_rows,), tf.int64), trainable=False, name="slot_of_row"
            )

    def merge(self, rows: tf.IndexedSlices) -> tuple[tf.IndexedSlices, tf.Tensor]:
        """Gives every slot the sum over all slots of its row.

        Args:
            rows: values (n, ...) at indices (n,), with repeats.

        Returns:
            Slices of the same shape and indices whose values are the sums, so that repeats are
            equal; and bool (n,), true for one slot of each row.
        """
        slots = tf.range(tf.size(rows.indices, out_type=tf.int64))
        self._slot_of_row.scatter_update(tf.IndexedSlices(slots, rows.indices))
        speakers = tf.gather(self._slot_of_row, rows.indices)
        sums = tf.math.unsorted_segment_sum(rows.values, speakers, tf.size(slots))
        merged = tf.IndexedSlices(tf.gather(sums, speakers), rows.indices, rows.dense_shape)
        return merged, speakers == slots
