"""A table with one vector per item."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.schema import PADDING_ID


@keras.saving.register_keras_serializable(package="hrec_tf")
class ItemEmbedding(keras.layers.Layer):
    """A table (num_items + 1, dim); item id i is row i, row 0 is padding and stays zero.

    Its gradient covers only the rows that were read, so that a row-sparse optimizer's step
    does not grow with the catalogue.

    Args:
        num_items: N; ids run 1..N.
        dim: size of an item's vector.

    Call:
        item_ids: int (...). Returns float (..., dim), zeros for id 0.

    Example:
        >>> vectors = ItemEmbedding(num_items=3, dim=2)(tf.constant([2, 0]))
        >>> vectors.shape.as_list(), vectors[1].numpy().tolist()
        ([2, 2], [0.0, 0.0])
    """

    def __init__(self, num_items: int, dim: int, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.num_items = checks.require_positive_int(
            "num_items", num_items, mend="Pass `vocabulary.num_items`."
        )
        self.dim = checks.require_positive_int("dim", dim, mend="Pass the vectors' size, e.g. 100.")
        self.seed = seed

    def build(self, input_shape=None):
        self.table = self.add_weight(
            name="table",
            shape=(self.num_items + 1, self.dim),
            initializer=BlockGlorot(padding_row=True, seed=self.seed),
        )

    def call(self, item_ids):
        vectors = tf.gather(self.table.value, item_ids)
        return ops.where(ops.expand_dims(item_ids, -1) == PADDING_ID, 0.0, vectors)

    def get_config(self):
        config = {"num_items": self.num_items, "dim": self.dim, "seed": self.seed}
        return super().get_config() | config
