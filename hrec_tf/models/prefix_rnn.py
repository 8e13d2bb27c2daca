"""A recurrent network over whole prefixes: GRU4REC and LSTM4REC as Song et al. have them."""

import keras

from hrec_tf import checks
from hrec_tf.cells import LSTMCell, ReferenceGRUCell
from hrec_tf.layers import ItemEmbedding, ItemScores, Recurrence, at_positions
from hrec_tf.layers.dropout import Dropout
from hrec_tf.models.prefix_model import PrefixModel
from hrec_tf.schema import ITEM_IDS, PADDING_ID, POSITIONS, PREFIXES

CELLS = {"gru": ReferenceGRUCell, "lstm": LSTMCell}


@keras.saving.register_keras_serializable(package="hrec_tf")
class PrefixRNN(PrefixModel):
    """Next item from the last state of a GRU or LSTM over a prefix.

        h_j = cell(drop_e(W_emb[i_j]), h_{j-1}),   h_0 = 0
        r̂   = drop_o(h_T) W_yᵀ + b_y                            W_y (num_items, units)

    At a target at position p, T stands for p. It is not the GRU4Rec of Hidasi et al.: prefixes
    are examples of their own, gradients go back to their first events, and items have a vector
    to be read by besides the one they are scored by.

    Source: GRU4REC of Song et al., AAAI 2019, as coded in gtshs2/HCRNN [C]; docs/equations.md
    C.7. Their LSTM4REC is not in that code: here it is the same with another cell (inferred).

    Args:
        num_items: N; ids run 1..N.
        cell: "gru" or "lstm".
        item_dim: size of an item's vector.
        units: size of h.
        embed_dropout: rate of drop_e.
        output_dropout: rate of drop_o.
        item_stddev: W_emb begins from N(0, item_stddev²); by Glorot's rule if None.
        initial_values: of the cell, "tf1" or "block_glorot", see `ReferenceGRUCell`.
        layout: "prefixes", or "sequences", a session's prefixes all in one row: the same
            predictions for less work, but each batch holds fewer sessions (our choice).
        max_length: events of a prefix that are read at the most, the latest; all if None. Only
            for layout "prefixes".
        seed: of initial values and dropout.
    """

    def __init__(
        self,
        *,
        num_items: int,
        cell: str = "gru",
        item_dim: int = 100,
        units: int = 100,
        embed_dropout: float = 0.25,
        output_dropout: float = 0.5,
        item_stddev: float | None = 0.1,
        initial_values: str = "tf1",
        layout: str = PREFIXES,
        max_length: int | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, max_length=max_length, seed=seed, **kwargs)
        self.cell_name = checks.require_choice("cell", cell, CELLS)
        self._take_layout(layout)
        self.item_dim = checks.require_positive_int(
            "item_dim", item_dim, mend="Pass the vectors' size, e.g. 100."
        )
        checks.require_stddev("item_stddev", item_stddev)
        self.embed_dropout = checks.require_rate("embed_dropout", embed_dropout)
        self.output_dropout = checks.require_rate("output_dropout", output_dropout)
        self.items = ItemEmbedding(
            num_items, item_dim, stddev=item_stddev, seed=self._seed_of(0), name="items"
        )
        self.items.build()
        self.drop_inputs = Dropout(embed_dropout, seed=self._seed_of(1))
        rnn_cell = CELLS[cell](units, initial_values=initial_values, seed=self._seed_of(2))
        self.recurrence = Recurrence(rnn_cell, compile_steps=True)
        self.recurrence.build((None, None, item_dim))
        self.drop_output = Dropout(output_dropout, seed=self._seed_of(3))
        self.item_scores = ItemScores(num_items, units, seed=self._seed_of(4), name="item_scores")
        self.item_scores.build()
        self.built = True

    def encode(self, events, states, training=False):
        """Returns h (batch, targets, units), and no states."""
        item_ids = events[ITEM_IDS]
        vectors = self.drop_inputs(self.items(item_ids), training=training)
        hidden, _ = self.recurrence(vectors, is_event=item_ids != PADDING_ID, training=training)
        last = at_positions(hidden, events[POSITIONS])
        return self.drop_output(last, training=training), []

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def get_config(self):
        return super().get_config() | {
            "cell": self.cell_name,
            "item_dim": self.item_dim,
            "units": self.recurrence.cell.units,
            "embed_dropout": self.embed_dropout,
            "output_dropout": self.output_dropout,
            "item_stddev": self.items.stddev,
            "initial_values": self.recurrence.cell.initial_values,
            "layout": self.layout,
        }
