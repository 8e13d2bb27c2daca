"""HCRNN: hierarchical contexts for long sequences with interest drifts."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.cells import HCRNNCell
from hrec_tf.cells.protocol import dense
from hrec_tf.layers import (
    AdditiveAttention,
    BilinearScores,
    ContextAttention,
    GlobalContext,
    ItemEmbedding,
    Recurrence,
    at_positions,
    bag_of_items,
    is_read_at,
)
from hrec_tf.layers.dropout import Dropout
from hrec_tf.models.explanation import Explanation, one_history
from hrec_tf.models.prefix_model import PrefixModel
from hrec_tf.schema import ITEM_IDS, POSITIONS, PREFIXES, SEQUENCES

ATTENTIONS = ("single", "bi_channel")
SCALES = ("units", "item_dim")


@keras.saving.register_keras_serializable(package="hrec_tf")
class HCRNN(PrefixModel):
    """Next item of a long sequence, from a global, a local and a temporary context of it.

        θ   = GlobalContext(bag of x_1..x_T)            shares of the K rows of M
        h_t, c_t = HCRNNCell(x_t, θ)                    temporary and local context
        single:      o = [Σ w_j h_j; h_T]               w: `AdditiveAttention`
        bi_channel:  o = [h_T; Σ α^c_j h_j; Σ α^h_j h_j]                    (Eq. 25-27)
        logits = drop(o) (W_emb W_B)ᵀ                                       (Eq. 28)
        loss   = cross-entropy + β KL(θ~ || N(0, 1))

    "HCRNN-1", "-2", "-3" are `version` with the single attention, "HCRNN-3 + Bi" the third with
    `attention="bi_channel"`.

    θ of a prefix is made of all its events, so a row serves one target. With `theta="prefix"`
    θ_t is made of x_1..x_t alone: the model is causal, and one pass over a sequence gives what
    each of its prefixes gives. That is another function of a prefix, since its earlier events
    were read with the θ of their time: our choice (inferred).

    Source: Song et al., AAAI 2019; docs/equations.md C. The single attention, the bag, f and the
    numbers 50, 0.001 and 0.25/0.5 are known from the authors' code. Differs from that code:
    the options `two_phase` (two updates a batch: the network of θ, then the rest),
    `attention_scale="item_dim"` and `pad_class` are off. `tied=False` is our choice.

    Args:
        num_items: N; ids run 1..N.
        units: H.
        item_dim: D.
        num_contexts: K, rows of M.
        version: 1, 2 or 3, see `HCRNNCell`.
        attention: "single" or "bi_channel".
        theta: "whole" or "prefix".
        std: see `GlobalContext`.
        beta: β.
        beta_warmup_steps: steps of the optimizer, two a batch with `two_phase`, over which β
            rises from 0; 0 begins with β. Our choice.
        two_phase: move the network of θ first and all else by a second pass, as the code does.
        input_dropout: rate on x and on the bag.
        output_dropout: rate on o.
        attention_scale: under the root of Eq. 25, "units" (paper) or "item_dim" (code).
        pad_class: make the padding id a class of the softmax in training, as the code does; it is
            never ranked. Not with sampled negatives.
        tied: score by W_emb, the vectors that are read; False has a table of its own for the
            scores, of the same size.
        v1_reset_uses_prev, raw_drift_init, gate_bias: see `HCRNNCell`.
        max_length: see `PrefixModel`; not with theta="prefix".
        seed: of initial values, dropout and ε.
    """

    def __init__(
        self,
        *,
        num_items: int,
        units: int = 100,
        item_dim: int = 100,
        num_contexts: int = 50,
        version: int = 3,
        attention: str = "single",
        theta: str = "whole",
        std: str = "softplus",
        beta: float = 0.001,
        beta_warmup_steps: int = 0,
        two_phase: bool = False,
        input_dropout: float = 0.25,
        output_dropout: float = 0.5,
        attention_scale: str = "units",
        pad_class: bool = False,
        tied: bool = True,
        v1_reset_uses_prev: bool = False,
        raw_drift_init: bool = False,
        gate_bias: float = 0.0,
        max_length: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(num_items=num_items, max_length=max_length, seed=seed, **kwargs)
        checks.require_choice("attention", attention, ATTENTIONS)
        checks.require_choice("attention_scale", attention_scale, SCALES)
        checks.require_number("beta", beta, minimum=0, mend="Pass the code's 0.001, or 0.")
        checks.require_int_at_least(
            "beta_warmup_steps", beta_warmup_steps, minimum=0, mend="Pass 0 for no warm-up."
        )
        self._refuse_ignored(attention, attention_scale, theta, max_length)
        if beta_warmup_steps and not beta:
            raise ValueError(
                f"`beta_warmup_steps` was {beta_warmup_steps} with beta={beta}, to which nothing "
                "rises. Leave it out, or pass e.g. beta=0.001."
            )
        self.cell_arguments: dict[str, Any] = {
            "units": units,
            "item_dim": item_dim,
            "num_contexts": num_contexts,
            "version": version,
            "theta": theta,
            "v1_reset_uses_prev": v1_reset_uses_prev,
            "raw_drift_init": raw_drift_init,
            "gate_bias": gate_bias,
        }
        self.attention, self.attention_scale, self.std = attention, attention_scale, std
        self.beta, self.beta_warmup_steps, self.two_phase = beta, beta_warmup_steps, two_phase
        self.tied = tied
        self.input_dropout = checks.require_rate("input_dropout", input_dropout)
        self.output_dropout = checks.require_rate("output_dropout", output_dropout)
        self.layout = SEQUENCES if theta == "prefix" else PREFIXES

        # First, since it checks what it is given by the names it has here.
        cell = HCRNNCell(seed=self._seed_of(1), **self.cell_arguments)
        self.items = ItemEmbedding(num_items, item_dim, stddev=0.1, seed=self._seed_of(0))
        self.items.build()
        self.recurrence = Recurrence(cell, compile_steps=True)
        self.recurrence.build((None, None, item_dim + num_contexts))
        self.global_context = GlobalContext(
            num_contexts, dim=item_dim, std=std, dropout=input_dropout, seed=self._seed_of(2)
        )
        self.global_context.build()
        self.state_attention = AdditiveAttention(units, seed=self._seed_of(3))
        self.state_attention.build((None, None, units), (None, None, units))
        self.context_attention = None
        if attention == "bi_channel":
            scale = units if attention_scale == "units" else item_dim
            self.context_attention = ContextAttention(units, scale=scale, seed=self._seed_of(4))
            self.context_attention.build(item_dim)
        outputs = (3 if attention == "bi_channel" else 2) * units
        scored = self.items
        if not tied:
            scored = ItemEmbedding(num_items, item_dim, stddev=0.1, seed=self._seed_of(8))
        self.item_scores = BilinearScores(
            scored, outputs, pad_class=pad_class, seed=self._seed_of(5)
        )
        self.item_scores.build()
        self.drop_inputs = Dropout(input_dropout, seed=self._seed_of(6))
        self.drop_outputs = Dropout(output_dropout, seed=self._seed_of(7))
        self.built = True

    @staticmethod
    def _refuse_ignored(attention, attention_scale, theta, max_length) -> None:
        if attention_scale != "units" and attention == "single":
            raise ValueError(
                f"`attention_scale` was {attention_scale!r} with attention='single', which divides "
                "by nothing. Leave it out, or pass attention='bi_channel'."
            )
        if max_length is not None and theta == "prefix":
            raise ValueError(
                f"`max_length` was {max_length} with theta='prefix', which reads sequences from "
                "their first event on. Leave it out, or pass theta='whole'."
            )

    @property
    def cell(self) -> HCRNNCell:
        return self.recurrence.cell

    def encode(self, events, states, training=False):
        return self._read(events, training)[0], []

    def encode_to_train(self, events, states):
        hidden, kl, is_read = self._read(events, training=True)
        if self.layout == PREFIXES:
            is_read = tf.reduce_any(is_read, axis=1)
        rows = tf.cast(is_read, kl.dtype)
        mean_kl = tf.math.divide_no_nan(tf.reduce_sum(kl * rows), tf.reduce_sum(rows))
        return hidden, [], self._current_beta() * mean_kl

    def _current_beta(self):
        if not self.beta_warmup_steps:
            return self.beta
        done = tf.cast(self.optimizer.iterations, tf.float32) / self.beta_warmup_steps
        return self.beta * tf.minimum(done, 1.0)

    def _read(self, events, training):
        """Returns hidden (batch, targets, units of o), KL, and which events were read."""
        positions, is_read = events[POSITIONS], self.is_read(events)
        if self.layout == PREFIXES and positions.shape[1] not in (None, 1):
            raise ValueError(
                f"`positions` has {positions.shape[1]} targets a row, but θ of the whole row would "
                "tell each of them of later events. Pass one a row, or build the model with "
                "theta='prefix'."
            )
        inputs, kl = self._inputs(events[ITEM_IDS], is_read, training)
        outputs, _ = self.recurrence(inputs, is_event=is_read, training=training)
        h, c = tf.split(outputs, [self.cell.units, self.cell.item_dim], axis=-1)
        o, _ = self._attend(h, c, events[ITEM_IDS], positions)
        return self.drop_outputs(o, training=training), kl, is_read

    def _inputs(self, item_ids, is_read, training=False):
        """Returns x and θ of each step side by side, and KL."""
        vectors, per_step = self.items(item_ids), self.layout == SEQUENCES
        bags = bag_of_items(item_ids, vectors, is_read, per_step=per_step)
        theta, kl = self.global_context(bags, training=training)
        if not per_step:
            shape = tf.concat([tf.shape(item_ids), [self.cell.num_contexts]], 0)
            theta = tf.broadcast_to(theta[:, None], shape)
        return tf.concat([self.drop_inputs(vectors, training=training), theta], axis=-1), kl

    def _attend(self, h, c, item_ids, positions):
        """Returns o (batch, targets, …), and the weights of each attention by name."""
        is_seen = is_read_at(item_ids, positions)
        h_last = at_positions(h, positions)
        from_state, by_state = self.state_attention(h, h_last, is_seen)
        if self.context_attention is None:
            return tf.concat([from_state, h_last], axis=-1), {"attention": by_state}
        c_last = at_positions(c, positions)
        from_context, by_context = self.context_attention(h, c, c_last, is_seen)
        o = tf.concat([h_last, from_context, from_state], axis=-1)
        return o, {"context_attention": by_context, "state_attention": by_state}

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def score_to_train(self, hidden, item_ids=None):
        if self.item_scores.pad_class:
            return self.item_scores.with_padding(hidden)
        return self.score(hidden, item_ids)

    def compile(self, *args, negatives=None, **kwargs):
        """Sets how the model is trained and measured; see `NextItemModel.compile`."""
        if negatives is not None and self.item_scores.pad_class:
            raise ValueError(
                f"`negatives` was {negatives!r} with pad_class=True, which is a class of the "
                "softmax over the whole catalogue. Pass negatives=None, or pad_class=False."
            )
        super().compile(*args, negatives=negatives, **kwargs)

    def update_groups(self):
        if not self.two_phase:
            return super().update_groups()
        first = self.global_context.trainable_variables
        ids = {id(variable) for variable in first}
        return [first, [v for v in self.trainable_variables if id(v) not in ids]]

    @property
    def global_contexts(self) -> np.ndarray:
        """M, float32 (K, D): in the space of the local context, beside the items' vectors."""
        return self.cell.memory.numpy()

    @property
    def item_vectors(self) -> np.ndarray:
        """W_emb, float32 (num_items, D); item id i in row i - 1."""
        return self.items.table.numpy()[1:]

    def explain(self, item_ids) -> Explanation:
        """Returns the gates, contexts and attentions of one history.

        θ is that of the whole history with theta="whole", also at its earlier events, whose
        attentions are those of the same pass.

        Args:
            item_ids: int (events,), each in 1..num_items.

        Raises:
            ValueError: no event, or an item that is not known.
        """
        history = one_history(item_ids, num_items=self.num_items, max_length=self.max_length)
        ids = tf.constant(history[None])
        is_read = tf.ones(ids.shape, bool)
        inputs, _ = self._inputs(ids, is_read)
        projected = self.cell.project(inputs)
        constants = projected.pop("constants")
        states, steps = self.recurrence.initial_states(1), []
        for t in range(ids.shape[1]):
            here = {name: values[:, t] for name, values in projected.items()}
            values = self.cell.values(here | {"constants": constants}, states, dense)
            states = [values["h"], values["c"]]
            steps.append(values)
        found = {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
        positions = tf.range(ids.shape[1])[None]
        _, attentions = self._attend(found["h"][None], found["c"][None], ids, positions)
        return Explanation(
            item_ids=history,
            attentions={name: weights.numpy()[0] for name, weights in attentions.items()},
            gates={
                name: found[name]
                for name in ("update", "reset", "drift", "context")
                if name in found
            },
            states={"h": found["h"], "c": found["c"]},
            memory_attention=found["alpha"],
            topics=projected["theta"].numpy()[0, -1],
        )

    def get_config(self):
        return (
            super().get_config()
            | self.cell_arguments
            | {
                "attention": self.attention,
                "std": self.std,
                "beta": self.beta,
                "beta_warmup_steps": self.beta_warmup_steps,
                "two_phase": self.two_phase,
                "input_dropout": self.input_dropout,
                "output_dropout": self.output_dropout,
                "attention_scale": self.attention_scale,
                "pad_class": self.item_scores.pad_class,
                "tied": self.tied,
            }
        )
