"""NARM: a GRU, and attention over its states."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.cells import ReferenceGRUCell
from hrec_tf.layers import (
    AdditiveAttention,
    BilinearScores,
    ItemEmbedding,
    Recurrence,
    at_positions,
    is_read_at,
)
from hrec_tf.layers.additive_attention import NORMALISERS
from hrec_tf.layers.dropout import Dropout
from hrec_tf.models.explanation import Explanation, one_history
from hrec_tf.models.prefix_model import PrefixModel
from hrec_tf.schema import ITEM_IDS, PADDING_ID, POSITIONS, PREFIXES


@keras.saving.register_keras_serializable(package="hrec_tf")
class NARM(PrefixModel):
    """Next item from the last state of a GRU and from an average of all its states.

        h_j = GRU(drop_e(W_emb[i_j]), h_{j-1}),   h_0 = 0
        w_j = attention of the query h_T to h_1..h_T            `AdditiveAttention`
        o   = drop_o([Σ_j w_j h_j; h_T])
        r̂   = o (W_emb W_B)ᵀ                                    W_B (item_dim, 2 units)

    At a target at position p, T stands for p.

    Source: Li et al., CIKM 2017, arXiv:1711.04725; docs/equations.md G.8. Defaults are those of
    Song et al., AAAI 2019, and of their code (gtshs2/HCRNN), which is NARM as they compare with
    it: weights by a softmax, W_emb from N(0, 0.1²), other matrices by Glorot's rule, and the GRU
    of TensorFlow 1. NARM's authors have item_dim 50 [C: lijingsdu/sessionRec_NARM]; their
    paper does not normalise the weights [R]. Differs from their code: it has hard sigmoids and
    other initial values, and of a longer prefix reads the first 19 events, not the latest.

    Args:
        num_items: N; ids run 1..N.
        item_dim: size of an item's vector.
        units: size of h.
        embed_dropout: rate of drop_e.
        output_dropout: rate of drop_o.
        attention: "masked_softmax" or "none", see `AdditiveAttention`.
        item_stddev: W_emb begins from N(0, item_stddev²); by Glorot's rule if None.
        initial_values: of the GRU, "tf1" or "block_glorot", see `ReferenceGRUCell`.
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
        item_dim: int = 100,
        units: int = 100,
        embed_dropout: float = 0.25,
        output_dropout: float = 0.5,
        attention: str = "masked_softmax",
        item_stddev: float | None = 0.1,
        initial_values: str = "tf1",
        layout: str = PREFIXES,
        max_length: int | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, max_length=max_length, seed=seed, **kwargs)
        self._take_layout(layout)
        self.item_dim = checks.require_positive_int(
            "item_dim", item_dim, mend="Pass the vectors' size, e.g. 100."
        )
        checks.require_stddev("item_stddev", item_stddev)
        checks.require_choice("attention", attention, NORMALISERS)
        self.embed_dropout = checks.require_rate("embed_dropout", embed_dropout)
        self.output_dropout = checks.require_rate("output_dropout", output_dropout)
        self.items = ItemEmbedding(
            num_items, item_dim, stddev=item_stddev, seed=self._seed_of(0), name="items"
        )
        self.items.build()
        self.drop_inputs = Dropout(embed_dropout, seed=self._seed_of(1))
        cell = ReferenceGRUCell(units, initial_values=initial_values, seed=self._seed_of(2))
        self.recurrence = Recurrence(cell, compile_steps=True)
        self.recurrence.build((None, None, item_dim))
        self.attention = AdditiveAttention(
            units, normalise=attention, seed=self._seed_of(3), name="attention"
        )
        self.attention.build((None, None, units), (None, None, units))
        self.drop_output = Dropout(output_dropout, seed=self._seed_of(4))
        self.item_scores = BilinearScores(
            self.items, 2 * units, seed=self._seed_of(5), name="item_scores"
        )
        self.item_scores.build()
        self.built = True

    def encode(self, events, states, training=False):
        """Returns o (batch, targets, 2 units), and no states."""
        output, _ = self._attend(events, self._read(events, training))
        return self.drop_output(output, training=training), []

    def _read(self, events, training=False):
        """Returns h after each event (batch, steps, units)."""
        item_ids = events[ITEM_IDS]
        vectors = self.drop_inputs(self.items(item_ids), training=training)
        hidden, _ = self.recurrence(vectors, is_event=item_ids != PADDING_ID, training=training)
        return hidden

    def _attend(self, events, hidden):
        """Returns o before its dropout, and the weights (batch, targets, steps)."""
        last = at_positions(hidden, events[POSITIONS])
        is_read = is_read_at(events[ITEM_IDS], events[POSITIONS])
        context, weights = self.attention(hidden, last, is_read)
        return tf.concat([context, last], axis=-1), weights

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def explain(self, item_ids: Any) -> Explanation:
        """Returns what the model did with one history, event by event.

        Args:
            item_ids: int (T,) or (1, T), ids 1..num_items.

        Returns:
            `Explanation` with attentions "attention", gates "reset" and "update" (r and z of
            `ReferenceGRUCell`: z is the share of new content), and states "h".

        Raises:
            ValueError: not one history of known items, or one longer than `max_length`.
        """
        history = one_history(item_ids, num_items=self.num_items, max_length=self.max_length)
        events = {ITEM_IDS: history[None], POSITIONS: np.arange(len(history), dtype=np.int32)[None]}
        events = {name: tf.constant(values) for name, values in events.items()}
        hidden = self._read(events)
        _, weights = self._attend(events, hidden)
        before = tf.pad(hidden[:, :-1], [[0, 0], [1, 0], [0, 0]])
        cell = self.recurrence.cell
        reset, update = cell.gates(cell.project(self.items(history[None])), before)
        return Explanation(
            item_ids=history,
            attentions={"attention": weights[0].numpy()},
            gates={"reset": reset[0].numpy(), "update": update[0].numpy()},
            states={"h": hidden[0].numpy()},
        )

    def get_config(self):
        return super().get_config() | {
            "item_dim": self.item_dim,
            "units": self.recurrence.cell.units,
            "embed_dropout": self.embed_dropout,
            "output_dropout": self.output_dropout,
            "attention": self.attention.normalise,
            "item_stddev": self.items.stddev,
            "initial_values": self.recurrence.cell.initial_values,
            "layout": self.layout,
        }
