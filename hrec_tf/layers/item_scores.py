"""Scores of items for a hidden state: the output layer."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf.layers.item_embedding import ItemEmbedding


@keras.saving.register_keras_serializable(package="hrec_tf")
class ItemScores(keras.layers.Layer):
    """Logits of items: `hidden W_yᵀ + b_y`, before any activation (Quadrana 2017, Eq. 2).

    Args:
        num_items: N; ids run 1..N.
        dim: size of the hidden state.
        table: an `ItemEmbedding` that holds W_y, for tied ("constrained") embeddings; a
            table of its own if None.

    Call:
        hidden: float (..., dim).
        item_ids: None for the whole catalogue, or int (..., candidates), whose leading axes
            are those of `hidden` without its last but one.
        Returns float (..., num_items), item id i in column i - 1; or, with `item_ids`,
        (..., rows, candidates) for hidden (..., rows, dim).
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        table: ItemEmbedding | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_items, self.dim, self.seed = num_items, dim, seed
        if table is not None and (table.num_items, table.dim) != (num_items, dim):
            raise ValueError(
                f"`table` is {table.num_items} x {table.dim}, but the scores need "
                f"{num_items} x {dim}. Tie tables of equal size only."
            )
        if table is not None and seed is not None:
            raise ValueError(
                f"`seed` was {seed}, but the vectors are those of `table`. Leave it out."
            )
        self.is_tied = table is not None
        self.items = table or ItemEmbedding(num_items, dim, seed=seed, name="items")

    def build(self, input_shape=None):
        if not self.items.built:
            self.items.build()
        shape = (self.num_items + 1, 1)
        self.bias = self.add_weight(name="bias", shape=shape, initializer="zeros", autocast=False)

    def call(self, hidden, item_ids=None):
        products = self.items.products(hidden, item_ids)
        if item_ids is None:
            return products + tf.cast(self.bias.value[1:, 0], products.dtype)
        biases = tf.cast(tf.gather(self.bias.value, item_ids)[..., 0], products.dtype)
        return products + ops.expand_dims(biases, -2)

    def get_config(self):
        if self.is_tied:
            raise ValueError(
                f"{self.name!r} shares its table with another layer, which a configuration of "
                "its own cannot say. Rebuild both in the model that ties them."
            )
        config = {"num_items": self.num_items, "dim": self.dim, "seed": self.seed}
        return super().get_config() | config
