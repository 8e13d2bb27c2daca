"""A table with one vector per item."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot, TableNormal
from hrec_tf.layers.blocked_products import blocked_products
from hrec_tf.schema import PADDING_ID


@keras.saving.register_keras_serializable(package="hrec_tf")
class ItemEmbedding(keras.layers.Layer):
    """A table (num_items + 1, dim); item id i is row i, row 0 is padding and stays zero.

    Its gradient covers only the rows that were read, so that a row-sparse optimizer's step
    does not grow with the catalogue.

    Args:
        num_items: N; ids run 1..N.
        dim: size of an item's vector.
        stddev: values begin from N(0, stddev²); by Glorot's rule over the items if None.

    Call:
        item_ids: int (...). Returns float (..., dim), zeros for id 0.

    Example:
        >>> vectors = ItemEmbedding(num_items=3, dim=2)(tf.constant([2, 0]))
        >>> vectors.shape.as_list(), vectors[1].numpy().tolist()
        ([2, 2], [0.0, 0.0])
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        stddev: float | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_items = checks.require_positive_int(
            "num_items", num_items, mend="Pass `vocabulary.num_items`."
        )
        self.dim = checks.require_positive_int("dim", dim, mend="Pass the vectors' size, e.g. 100.")
        self.stddev, self.seed = checks.require_stddev("stddev", stddev), seed

    def build(self, input_shape=None):
        initializer = BlockGlorot(padding_row=True, seed=self.seed)
        if self.stddev is not None:
            initializer = TableNormal(self.stddev, seed=self.seed)
        shape = (self.num_items + 1, self.dim)
        # Rows are cast where they are read: the whole table would be, at every step.
        self.table = self.add_weight(
            name="table", shape=shape, initializer=initializer, autocast=False
        )

    def call(self, item_ids):
        vectors = self._rows(item_ids)
        return ops.where(ops.expand_dims(item_ids, -1) == PADDING_ID, 0.0, vectors)

    def products(self, vectors, item_ids=None):
        """Returns the inner products of vectors with those of items.

        Args:
            vectors: float (..., dim).
            item_ids: None for the whole catalogue, or int (..., candidates), whose leading axes
                are those of `vectors` without its last but one.

        Returns:
            Float (..., num_items), item id i in column i - 1; or, with `item_ids`,
            (..., rows, candidates) for vectors (..., rows, dim).
        """
        if item_ids is not None:
            return blocked_products(vectors, self._rows(item_ids))
        # In one product of two matrices: a batch of products would have as many gradients of the
        # whole table, to be added up.
        rows = ops.reshape(vectors, (-1, self.dim))
        table = tf.cast(self.table.value[1:], rows.dtype)
        products = tf.matmul(rows, table, transpose_b=True)
        return ops.reshape(products, (*ops.shape(vectors)[:-1], self.num_items))

    def _rows(self, item_ids):
        return tf.cast(tf.gather(self.table.value, item_ids), self.compute_dtype)

    def get_config(self):
        return super().get_config() | {
            "num_items": self.num_items,
            "dim": self.dim,
            "stddev": self.stddev,
            "seed": self.seed,
        }
