"""Scores of items by the vectors that are read, through one matrix: the bi-linear output."""

import keras
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense
from hrec_tf.layers.item_embedding import ItemEmbedding


@keras.saving.register_keras_serializable(package="hrec_tf")
class BilinearScores(keras.layers.Layer):
    """Logits of items: `o (W_emb W_B)ᵀ`, before any activation, without a bias.

    Source: Li et al., CIKM 2017, arXiv:1711.04725, Eq. 10; Song et al., AAAI 2019, Eq. 28;
    docs/equations.md G.8.

    Args:
        table: the `ItemEmbedding` that holds W_emb (num_items, item_dim).
        dim: size of o.
        pad_class: hold a vector of the padding id, from N(0, 0.1²), for `with_padding`: it is a
            class of the softmax in the authors' code of HCRNN, though no target.
        seed: of the initial values of W_B (item_dim, dim).

    Call:
        hidden: o, float (..., dim).
        item_ids: None for the whole catalogue, or int (..., candidates), whose leading axes
            are those of `hidden` without its last but one.
        Returns float (..., num_items), item id i in column i - 1; or, with `item_ids`,
        (..., rows, candidates) for hidden (..., rows, dim).
    """

    def __init__(
        self,
        table: ItemEmbedding,
        dim: int,
        *,
        pad_class: bool = False,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.items, self.pad_class, self.seed = table, pad_class, seed
        self.dim = checks.require_positive_int("dim", dim, mend="Pass the size of `hidden`.")

    def build(self, input_shape=None):
        if not self.items.built:
            self.items.build()
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.items.dim, self.dim),
            initializer=BlockGlorot(seed=self.seed),
        )
        self.padding_vector = None
        if self.pad_class:
            seed = None if self.seed is None else self.seed + 1
            normal = keras.initializers.RandomNormal(stddev=0.1, seed=seed)
            self.padding_vector = self.add_weight(
                name="padding_vector", shape=(1, self.items.dim), initializer=normal
            )

    def with_padding(self, hidden):
        """Returns logits (..., num_items + 1), the padding id's in the last column."""
        vectors = dense(hidden, ops.transpose(self.kernel))
        of_padding = dense(vectors, ops.transpose(self.padding_vector))
        return ops.concatenate([self.items.products(vectors), of_padding], axis=-1)

    def call(self, hidden, item_ids=None):
        # (o W_Bᵀ) W_embᵀ: the same, without a product as large as the catalogue.
        vectors = dense(hidden, ops.transpose(self.kernel))
        return self.items.products(vectors, item_ids)

    def get_config(self):
        raise ValueError(
            f"{self.name!r} shares its table with another layer, which a configuration of "
            "its own cannot say. Rebuild both in the model that ties them."
        )
