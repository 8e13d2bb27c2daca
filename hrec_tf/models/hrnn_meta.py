"""HRNN-meta: sessions as inputs, features in the decoder, feedback and user features."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.cells import HierarchicalGRUCell, LSTMCell, ReferenceGRUCell
from hrec_tf.layers import (
    CausalAttention,
    CausalConvolutions,
    ControlSignals,
    FeatureDecoder,
    ItemEmbedding,
    ItemScores,
    Recurrence,
    pack_events,
)
from hrec_tf.layers.dropout import Dropout
from hrec_tf.layers.feature_decoder import require_share
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import (
    ALIGNED,
    FEEDBACK,
    IS_STEP,
    ITEM_IDS,
    NEXT_GAP,
    NEXT_ITEM,
    NEXT_RATING,
    NEXT_SESSION_START,
    PADDING_ID,
    SESSION_START,
    USER_FEATURES,
    USER_START,
)

SEQUENCE_MODELS = ("gru", "lstm", "hrnn", "tcn", "tcn-gru", "transformer")
CONTROLS = ("gap", "session")
MIXES = ("batch", "example")


@keras.saving.register_keras_serializable(package="hrec_tf")
class HRNNMeta(NextItemModel):
    """Next item from one recurrence over a user's whole history, told of sessions and features.

        x_k = [E_a[a_k]; E_q[q_k]; v_k W_v + b_v; g W_g]
        h_k = Seq(x_1..x_k)
        φ~  = FeatureDecoder(h_k), or w_j · h_k + b_j without item features

    a is the item of an event, v its feedback, g the user's features, and q the level of the gap
    to the event that is predicted (`ControlSignals`). A user's first event, if it is predicted, is
    told by a start vector in place of E_a and a level of its own. With `rating_weight`, the rating
    of the next event is predicted, too, by tables of its own:

        r_k  = μ + w'_j · h_k + b'_j        j the next item; with item features mixed as φ~
        loss = rank_weight · CE + rating_weight · mean (v_{k+1} - r_k)²

    Feedback and user features are
    numbers encoded by a `FeatureSchema`; one-hot feedback makes W_v a table of embeddings.

    Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders"; docs/equations.md
    D. The paper gives no sizes: all defaults are inferred. With `sequence_model="hrnn"` the same
    inputs run through the cell of HRNN Init (Quadrana et al. 2017): the paper's "HGRU".

    Args:
        num_items: N; ids run 1..N.
        units: H.
        num_layers: recurrent layers, 1 for "hrnn"; blocks of a TCN or a Transformer.
        item_dim: D of E_a.
        sequence_model: "gru", "lstm", "hrnn", "tcn" (`CausalConvolutions`), "tcn-gru" (a GRU behind
            a TCN; the paper says that they may be combined, the order is inferred), or
            "transformer" (`CausalAttention`).
        control: "gap" (levels of time), "session" (whether the next event starts one) or None.
        thresholds: seconds, see `ControlSignals`; for control="gap".
        control_dim: size of E_q's rows.
        num_feedback, feedback_dim: width of v, and of what it becomes; 0 reads no feedback.
        num_user_features, user_dim: width of g, and of what it becomes; 0 reads none.
        num_item_features: F of the decoder; 0 scores items by what was learnt of each alone. Set
            their values by `set_item_features`.
        decoder_hidden: see `FeatureDecoder`.
        mix: λ in training; None draws it from U(0, 1).
        mix_by: "batch" draws one λ for all, "example" one for each row.
        eval_mix: λ outside training.
        tied: score by the vectors of E_a; H and D must be equal.
        rating_weight: of the loss of ratings; 0 has no such loss. A rating is the first number of
            the histories' feedback, read or not. Its error is not in the loss that `fit` logs.
        rank_weight: of the loss of the next item; 0 trains on ratings alone.
        first_events: also predict a user's first event. Streams must be made with the same value.
        input_dropout, hidden_dropout: rates on x, and on the output of each layer.
        seed: of initial values, dropout and λ.
    """

    layout = ALIGNED
    # An event is read when the time of the next one is known: `step` needs more than an event.
    incremental = False

    def __init__(
        self,
        *,
        num_items: int,
        units: int = 128,
        num_layers: int = 2,
        item_dim: int = 128,
        sequence_model: str = "gru",
        control: str | None = "gap",
        thresholds: Sequence[int] = (60, 3_600, 86_400),
        control_dim: int = 8,
        num_feedback: int = 0,
        feedback_dim: int = 8,
        num_user_features: int = 0,
        user_dim: int = 8,
        num_item_features: int = 0,
        decoder_hidden: Sequence[int] = (),
        mix: float | None = None,
        mix_by: str = "batch",
        eval_mix: float = 0.5,
        tied: bool = True,
        rating_weight: float = 0.0,
        rank_weight: float = 1.0,
        first_events: bool = False,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.2,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        checks.require_choice("sequence_model", sequence_model, SEQUENCE_MODELS)
        if control is not None:
            checks.require_choice("control", control, CONTROLS)
        checks.require_choice("mix_by", mix_by, MIXES)
        for name, size in (
            ("units", units),
            ("num_layers", num_layers),
            ("item_dim", item_dim),
            ("control_dim", control_dim),
            ("feedback_dim", feedback_dim),
            ("user_dim", user_dim),
        ):
            checks.require_positive_int(name, size, mend="Leave it out for the default.")
        for name, size in (
            ("num_feedback", num_feedback),
            ("num_user_features", num_user_features),
            ("num_item_features", num_item_features),
        ):
            checks.require_int_at_least(name, size, minimum=0, mend="Pass 0 if there are none.")
        if mix is not None:
            mix = require_share("mix", mix)
        self.units, self.num_layers, self.item_dim = units, num_layers, item_dim
        self.sequence_model, self.control = sequence_model, control
        self.thresholds = tuple(thresholds)
        self.control_dim = control_dim
        self.num_feedback, self.feedback_dim = num_feedback, feedback_dim
        self.num_user_features, self.user_dim = num_user_features, user_dim
        self.num_item_features, self.decoder_hidden = num_item_features, tuple(decoder_hidden)
        self.mix, self.mix_by, self.eval_mix = mix, mix_by, require_share("eval_mix", eval_mix)
        self.tied, self.first_events = tied, first_events
        self.rating_weight, self.rank_weight = (
            checks.require_number(name, value, minimum=0, mend="Pass a weight, e.g. 1.")
            for name, value in (("rating_weight", rating_weight), ("rank_weight", rank_weight))
        )
        self.input_dropout = checks.require_rate("input_dropout", input_dropout)
        self.hidden_dropout = checks.require_rate("hidden_dropout", hidden_dropout)
        self._check_combinations()

        self.items = ItemEmbedding(num_items, item_dim, stddev=0.1, seed=self._seed_of(0))
        self.items.build()
        self.start_vector = None
        if first_events:
            start = keras.initializers.RandomNormal(stddev=0.1, seed=self._seed_of(1))
            self.start_vector = self.add_weight(
                name="start_vector", shape=(item_dim,), initializer=start
            )
        self.control_signals = None
        if control is not None:
            # "session" is a gap of 0 or 1 session starts.
            levels = thresholds if control == "gap" else (1,)
            self.control_signals = ControlSignals(
                control_dim, thresholds=levels, seed=self._seed_of(2)
            )
            self.control_signals.build()
        self.feedback_map = self._map("feedback", num_feedback, feedback_dim, 3)
        self.user_map = self._map("user", num_user_features, user_dim, 4)
        self.drop_inputs = Dropout(input_dropout, seed=self._seed_of(5))
        features = item_dim + (control_dim if control else 0)
        features += (feedback_dim if num_feedback else 0) + (user_dim if num_user_features else 0)
        self.recurrences: list[Any] = []
        for layer in self._sequence_layers():
            layer.build((None, None, features + 2 * (sequence_model == "hrnn")))
            self.recurrences.append(layer)
            features = units
        self.decoder = self._decoder("decoder", 6, table=self.items if tied else None)
        self.rating_decoder = None
        if self.rating_weight:
            self.rating_decoder = self._decoder("rating_decoder", 8)
            self.mean_rating = self.add_weight(name="mean_rating", shape=(1,), initializer="zeros")
        self.draw_mix = keras.random.SeedGenerator(self._seed_of(7))
        self.built = True

    def _check_combinations(self) -> None:
        if self.tied and self.units != self.item_dim:
            raise ValueError(
                f"`units` was {self.units} and `item_dim` {self.item_dim} with tied=True, where "
                "one table reads and scores. Pass equal sizes, or tied=False."
            )
        if not self.rating_weight and not self.rank_weight:
            raise ValueError(
                "`rating_weight` and `rank_weight` were both 0, so there is no loss. Pass one of "
                "them above 0."
            )
        if self.sequence_model == "hrnn" and self.num_layers != 1:
            raise ValueError(
                f"`num_layers` was {self.num_layers} with sequence_model='hrnn', which has one "
                "layer a level. Pass num_layers=1."
            )
        self._refuse_ignored()

    def _refuse_ignored(self) -> None:
        """Refuses options that are set but would have no effect."""
        without_features = not self.num_item_features and "num_item_features is 0"
        ignored = {
            "thresholds": self.control != "gap" and f"control is {self.control!r}",
            "control_dim": self.control is None and "control is None",
            "feedback_dim": not self.num_feedback and "num_feedback is 0",
            "user_dim": not self.num_user_features and "num_user_features is 0",
            "decoder_hidden": without_features,
            "mix": without_features,
            "mix_by": without_features or (self.mix is not None and "mix is not drawn"),
            "eval_mix": without_features,
        }
        parameters = inspect.signature(HRNNMeta.__init__).parameters
        for name, reason in ignored.items():
            value = getattr(self, name)
            value = tuple(value) if isinstance(value, Sequence) and name != "mix_by" else value
            if reason and value != parameters[name].default:
                raise ValueError(
                    f"`{name}` was {value!r}, but {reason}, so it would be ignored. Leave it out, "
                    "or set what it belongs to."
                )

    def _decoder(self, name: str, part: int, table: ItemEmbedding | None = None) -> Any:
        """A decoder by features, if the model has item features."""
        seed, sizes = self._seed_of(part), (self.num_items, self.units)
        if self.num_item_features:
            layer: Any = FeatureDecoder(
                *sizes,
                self.num_item_features,
                hidden=self.decoder_hidden,
                eval_mix=self.eval_mix,
                table=table,
                seed=seed,
                name=name,
            )
        else:
            part_of = {"seed": seed} if table is None else {"table": table}
            layer = ItemScores(*sizes, name=name, **part_of)
        layer.build()
        return layer

    def _map(self, name: str, width: int, size: int, part: int) -> Any:
        if not width:
            return None
        initializer = keras.initializers.GlorotUniform(seed=self._seed_of(part))
        layer = keras.layers.Dense(size, kernel_initializer=initializer, name=f"{name}_map")
        layer.build((None, None, width))
        return layer

    def _sequence_layers(self) -> Iterator[Any]:
        """The layers of Seq, each called as a `Recurrence` is."""
        sizes: dict[str, Any] = {"dropout": self.hidden_dropout, "seed": self._seed_of(9)}
        if self.sequence_model == "transformer":
            yield CausalAttention(self.units, num_blocks=self.num_layers, **sizes)
            return
        if self.sequence_model in ("tcn", "tcn-gru"):
            yield CausalConvolutions(self.units, num_blocks=self.num_layers, **sizes)
        if self.sequence_model == "tcn":
            return
        if self.sequence_model == "hrnn":
            cell: Any = HierarchicalGRUCell(
                session_units=self.units,
                user_units=self.units,
                session_dropout=self.hidden_dropout,
                seed=self._seed_of(10),
            )
            yield Recurrence(cell)
            return
        kind = LSTMCell if self.sequence_model == "lstm" else ReferenceGRUCell
        # What a TCN reads needs one GRU behind it.
        for layer in range(1 if self.sequence_model == "tcn-gru" else self.num_layers):
            seed = self._seed_of(10 + layer)
            yield Recurrence(kind(self.units, dropout=self.hidden_dropout, seed=seed))

    def set_item_features(self, values, *, is_cold=None) -> None:
        """Sets the items' features; see `FeatureDecoder.set_features`.

        Raises:
            ValueError: a model without item features, or values that do not fit.
        """
        if not self.num_item_features:
            raise ValueError(
                "`set_item_features` was called on a model with num_item_features=0, whose decoder "
                "reads none. Build it with their width."
            )
        for decoder in (self.decoder, self.rating_decoder):
            if decoder is not None:
                decoder.set_features(values, is_cold=is_cold)

    def with_items(self, values) -> "HRNNMeta":
        """Returns this model with more items, of which only the features are known.

        They are cold: scored by their features alone. Scores of the old items stay as they are.
        Where one table reads and scores, a cold item is read by the vector that its features
        give, else by zeros. (Ours; the paper says nothing of reading them.)

        Args:
            values: float (new items, num_item_features).

        Raises:
            ValueError: a model without item features, or values that do not fit.
        """
        values = np.asarray(values, np.float32)
        if not self.num_item_features or values.shape[1:] != (self.num_item_features,):
            raise ValueError(
                f"`values` has shape {values.shape}, but this model reads {self.num_item_features} "
                "features of an item. Encode a table by the schema that it was trained with."
            )
        before, more = self.num_items, len(values)
        config = self.get_config() | {"num_items": before + more}
        grown = type(self).from_config(config)
        for old, new in zip(self.weights, grown.weights, strict=True):
            if new.shape == old.shape:
                new.assign(old)
            else:
                rows = np.zeros((more, *old.shape[1:]), np.float32)
                new.assign(np.concatenate([old.numpy(), rows]))
        is_cold = np.r_[self.decoder.is_cold.numpy()[1:, 0] > 0, np.ones(more, bool)]
        features = np.concatenate([self.decoder.features.numpy(), values])
        grown.set_item_features(features, is_cold=is_cold)
        if self.tied:
            table = grown.items.table.numpy().copy()
            vectors, _ = grown.decoder.by_features(np.arange(before + 1, before + more + 1))
            table[before + 1 :] = vectors
            grown.items.table.assign(table)
        return grown

    def initial_states(self, batch_size):
        return [s for layer in self.recurrences for s in layer.initial_states(batch_size)]

    def encode(self, events, states, training=False):
        item_ids = events[ITEM_IDS]
        is_step = events.get(IS_STEP, item_ids != PADDING_ID)
        user_start = events[USER_START]
        hidden = self._inputs(events, is_step, training)
        states, new_states = iter(states), []
        reset: Any = user_start
        if self.sequence_model == "hrnn":
            hidden, reset = pack_events(hidden, events[SESSION_START], user_start), None
        for recurrence in self.recurrences:
            hidden, new = recurrence(
                hidden,
                initial_state=[next(states) for _ in recurrence.state_sizes],
                reset=reset,
                is_event=is_step,
                training=training,
            )
            new_states += new
        return hidden, new_states

    def _inputs(self, events, is_step, training):
        """Returns x (batch, steps, features)."""
        item_ids = events[ITEM_IDS]
        is_first = is_step & (item_ids == PADDING_ID)
        vectors = self.items(item_ids)
        if self.start_vector is not None:
            start_vector = tf.cast(self.start_vector.value, vectors.dtype)
            vectors = tf.where(is_first[..., None], start_vector, vectors)
        parts = [vectors]
        if self.control_signals is not None:
            name = NEXT_GAP if self.control == "gap" else NEXT_SESSION_START
            gaps = tf.cast(self._required(events, name), tf.int32)
            parts.append(self.control_signals(gaps, is_first))
        if self.feedback_map is not None:
            told = self.feedback_map(self._required(events, FEEDBACK))
            parts.append(tf.where(is_first[..., None], tf.zeros_like(told), told))
        if self.user_map is not None:
            parts.append(self.user_map(self._required(events, USER_FEATURES)))
        return self.drop_inputs(tf.concat(parts, axis=-1), training=training)

    def _required(self, events, name: str) -> tf.Tensor:
        if name not in events:
            raise ValueError(
                f"`events` holds {', '.join(events)}, but this model also reads {name!r}. Make the "
                "stream of histories that have it, or build the model without it."
            )
        return events[name]

    def encode_to_train(self, events, states):
        hidden, states = self.encode(events, states, training=True)
        mix = self._drawn_mix(hidden) if self.num_item_features else None
        penalty = tf.zeros((), tf.float32)
        if self.rating_decoder is not None:
            ratings = self._required(events, NEXT_RATING)
            is_rated = tf.math.is_finite(ratings)
            rated = self.rate(hidden, events[NEXT_ITEM], mix=mix)
            errors = tf.cast(rated, ratings.dtype) - ratings
            squares = tf.where(is_rated, tf.square(tf.where(is_rated, errors, 0.0)), 0.0)
            num_rated = tf.reduce_sum(tf.cast(is_rated, tf.float32))
            mean = tf.math.divide_no_nan(tf.reduce_sum(squares), num_rated)
            penalty = self.rating_weight * mean
        if mix is not None:
            hidden = tf.concat([hidden, tf.cast(mix, hidden.dtype)], axis=-1)
        return hidden, states, penalty

    def rate(self, hidden, item_ids, *, mix=None):
        """Returns the ratings of items, standardised as the feedback is.

        Args:
            hidden: float (..., units).
            item_ids: int (...), an item for each.
            mix: λ; None outside training.

        Raises:
            ValueError: a model without `rating_weight`.
        """
        if self.rating_decoder is None:
            raise ValueError(
                "`rate` was called on a model with rating_weight=0, which has not learnt ratings. "
                "Build it with rating_weight=1.0."
            )
        more = {} if mix is None else {"mix": mix[..., None]}
        rated = self.rating_decoder(hidden[..., None, :], item_ids[..., None], **more)
        return tf.cast(self.mean_rating.value[0], rated.dtype) + rated[..., 0, 0]

    def _drawn_mix(self, hidden):
        """λ of each step, (batch, steps, 1): it goes with the state to where it is scored."""
        shape = tf.concat([tf.shape(hidden)[:2], [1]], 0)
        if self.mix is not None:
            return tf.fill(shape, self.mix)
        rows = 1 if self.mix_by == "batch" else tf.shape(hidden)[0]
        drawn = keras.random.uniform((rows, 1, 1), seed=self.draw_mix)
        return tf.broadcast_to(drawn, shape)

    def score_to_train(self, hidden, item_ids=None):
        if not self.num_item_features:
            return self.score(hidden, item_ids)
        hidden, mix = hidden[..., :-1], hidden[..., -1:]
        return self.decoder(hidden, item_ids, mix=mix)

    def score(self, hidden, item_ids=None):
        return self.decoder(hidden, item_ids)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "num_layers": self.num_layers,
            "item_dim": self.item_dim,
            "sequence_model": self.sequence_model,
            "control": self.control,
            "thresholds": list(self.thresholds),
            "control_dim": self.control_dim,
            "num_feedback": self.num_feedback,
            "feedback_dim": self.feedback_dim,
            "num_user_features": self.num_user_features,
            "user_dim": self.user_dim,
            "num_item_features": self.num_item_features,
            "decoder_hidden": list(self.decoder_hidden),
            "mix": self.mix,
            "mix_by": self.mix_by,
            "eval_mix": self.eval_mix,
            "tied": self.tied,
            "rating_weight": self.rating_weight,
            "rank_weight": self.rank_weight,
            "first_events": self.first_events,
            "input_dropout": self.input_dropout,
            "hidden_dropout": self.hidden_dropout,
        }
