"""What a recurrence reads of an event's item: its id, or a vector of it."""

import keras
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.cells.protocol import keep_mask
from hrec_tf.layers.dropout import Dropout
from hrec_tf.schema import PADDING_ID

INPUTS = ("one_hot", "embedding", "constrained")
"""An id whose row the cell's own table holds; a vector of a table; one of the scores' table."""


@keras.saving.register_keras_serializable(package="hrec_tf")
class ItemInputs(keras.layers.Layer):
    """The inputs x of a recurrence, of item ids.

        x = drop_e(k E[item])               k = 0 or 1, drawn for each event in training

    E is an item table of its own ("embedding") or the W_y of the scores ("constrained"). Without
    a table ("one_hot") x is the id, of which the cell reads a row; the id is 0 where k = 0, which
    reads zeros. An event with k = 0 is one of no item: it moves the states, its flags count, and
    its item stays a target. Those that are kept are not scaled up.

    Source: Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847, but for k; docs/equations.md A.1.
    k is the word dropout of Bowman et al., CoNLL 2016, arXiv:1511.06349, with zeros in the place
    of their vector of an unknown word.

    Args:
        embed_dropout: rate of drop_e.
        item_dropout: share of events with k = 0.

    Call:
        item_ids: int (batch, steps).
        table: an `ItemEmbedding`, or None.
        Returns float (batch, steps, dim) of the table, or int (batch, steps, 1).
    """

    def __init__(
        self,
        *,
        embed_dropout: float = 0.0,
        item_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.embed_dropout = checks.require_rate("embed_dropout", embed_dropout)
        self.item_dropout = checks.require_rate("item_dropout", item_dropout)
        self.seed = seed
        self.drop = Dropout(embed_dropout, seed=seed)
        self.seed_generator = None
        if item_dropout:
            self.seed_generator = keras.random.SeedGenerator(None if seed is None else seed + 1)

    def call(self, item_ids, table=None, training=False):
        if training and self.item_dropout:
            like = tf.zeros_like(item_ids, tf.float32)[..., None]
            k = keep_mask(like, 1, self.item_dropout, self.seed_generator)[..., 0]
            item_ids = tf.where(k > 0, item_ids, PADDING_ID)
        if table is None:
            return item_ids[..., None]
        return self.drop(table(item_ids), training=training)

    def get_config(self):
        return super().get_config() | {
            "embed_dropout": self.embed_dropout,
            "item_dropout": self.item_dropout,
            "seed": self.seed,
        }


def require_inputs(inputs: str, *, item_dim: int | None, embed_dropout: float) -> None:
    """Raises if a model's `inputs` are none of `INPUTS`, or leave out what else was passed."""
    checks.require_choice("inputs", inputs, INPUTS)
    if item_dim is not None:
        checks.require_positive_int(
            "item_dim", item_dim, mend="Leave it out to have the size of the state that reads it."
        )
        if inputs != "embedding":
            raise ValueError(
                f"`item_dim` was {item_dim} with inputs={inputs!r}, which has no item table of its "
                "own. Leave it out, or pass inputs='embedding'."
            )
    if embed_dropout and inputs == "one_hot":
        raise ValueError(
            f"`embed_dropout` was {embed_dropout} with inputs='one_hot', where there is no "
            "embedding to drop. Leave it out, or pass inputs='embedding' or 'constrained'."
        )
