"""HM-RNN: layers of LSTM that learn where the segments of a user's history end."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells import HMLSTMCell
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.data.gaps import require_gap_moments
from hrec_tf.layers import ItemScores, Recurrence, log_gap
from hrec_tf.layers.dropout import Dropout
from hrec_tf.models.explanation import Explanation, flagged_history
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import (
    CONCATENATED,
    GAP,
    ITEM_IDS,
    PADDING_ID,
    SESSION_START,
    USER_START,
)

BOUNDARIES = ("learned", "given", "supervised")


@keras.saving.register_keras_serializable(package="hrec_tf")
class HMRNN(NextItemModel):
    """Next item in a user's whole history, whose segments are found by the model.

    `HMLSTMCell` holds the equations of h^1 to h^L and of z, the ends of segments. Then

        p^l = σ([h^1; ...; h^L] w_l);   e = relu(Σ_l p^l h^l W^e_l);   scores = e Eᵀ + b

    and with E[item] x is E[item], or [E[item]; δ~] with `use_gaps`, where δ = log(1 + Δ / 60),
    Δ the seconds since the event before, and δ~ = (δ - gap_mean) / gap_sd.

    In training the slope of z~ is a = min(`max_slope`, 1 + `slope_rate` · epoch), and to the mean
    loss of the next item are added the mean of `sparsity` · Σ_l z^l and, "supervised", the mean
    cross-entropy of σ(ζ^1) against the starts of sessions.

    Source: Chung, Ahn & Bengio, "Hierarchical Multiscale Recurrent Neural Networks",
    arXiv:1609.01704, a model of text; docs/equations.md F.1. On items it is ours: all of
    `boundaries`, `use_gaps`, `gap_weight`, `sparsity`, and the scores, are inferred. Differs from
    it: no layer normalisation.

    Args:
        num_items: N; ids run 1..N.
        item_dim: D, size of an item's vector, which is read and scored by.
        units, num_layers: H and L.
        boundaries: "learned" from the next items alone; "supervised", told besides in training
            which events begin a session; "given", z^1 is the start of a session.
        estimator: of z in training, see `HMLSTMCell`.
        use_gaps: read the time since the event before.
        gap_mean, gap_sd: of δ in the training histories, see `hrec_tf.data.gaps.gap_moments`.
        gap_weight: initial weight of δ~ in ζ^1. With 1, learning begins with segments that end
            at gaps longer than average; None draws it like all others.
        sparsity: what an ended segment costs.
        slope_rate, max_slope: of the slope.
        dropout: rate, of the items' vectors and of e.
        seed: of initial values and dropout.
    """

    layout = CONCATENATED
    explains_with_flags = True

    def __init__(
        self,
        *,
        num_items: int,
        item_dim: int = 100,
        units: int = 100,
        num_layers: int = 2,
        boundaries: str = "learned",
        estimator: str = "threshold",
        use_gaps: bool = False,
        gap_mean: float = 0.0,
        gap_sd: float = 1.0,
        gap_weight: float | None = None,
        sparsity: float = 0.0,
        slope_rate: float = 0.04,
        max_slope: float = 5.0,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        checks.require_positive_int("item_dim", item_dim, mend="Pass the vectors' size, e.g. 100.")
        checks.require_choice("boundaries", boundaries, BOUNDARIES)
        require_gap_moments(
            gap_mean,
            gap_sd,
            is_read=use_gaps,
            unread="use_gaps=False",
            mend="pass use_gaps=True",
        )
        checks.require_number("sparsity", sparsity, minimum=0, mend="Pass e.g. 0.01.")
        checks.require_number("slope_rate", slope_rate, minimum=0, mend="Pass e.g. 0.04.")
        checks.require_number("max_slope", max_slope, minimum=1, mend="Pass e.g. 5.")
        cell = HMLSTMCell(
            units,
            num_layers=num_layers,
            boundaries="given" if boundaries == "given" else "learned",
            estimator=estimator,
            seed=self._seed_of(1),
        )
        if gap_weight is not None:
            self._require_gap_weight(gap_weight, use_gaps, boundaries, num_layers)
        if not cell.learns_boundaries:
            self._refuse_ignored(num_layers, boundaries, sparsity, slope_rate, max_slope)
        self.reads_gaps = use_gaps
        self.own_arguments: dict[str, Any] = {
            "item_dim": item_dim,
            "units": units,
            "num_layers": num_layers,
            "boundaries": boundaries,
            "estimator": estimator,
            "use_gaps": use_gaps,
            "gap_mean": gap_mean,
            "gap_sd": gap_sd,
            "gap_weight": gap_weight,
            "sparsity": sparsity,
            "slope_rate": slope_rate,
            "max_slope": max_slope,
            "dropout": checks.require_rate("dropout", dropout),
        }
        self.boundaries, self.sparsity = boundaries, sparsity
        self.slope_rate, self.max_slope = slope_rate, max_slope
        self.gap_mean, self.gap_sd = gap_mean, gap_sd
        self.item_scores = ItemScores(
            num_items, item_dim, seed=self._seed_of(0), name="item_scores"
        )
        self.item_scores.build()
        self.recurrence = Recurrence(cell)
        self.recurrence.build((None, None, item_dim + use_gaps + 2))
        if gap_weight is not None:
            kernel = cell.kernels[0]
            kernel.assign(ops.slice_update(kernel, (item_dim, 4 * units), [[gap_weight]]))
        width = num_layers * units
        self.layer_gates = keras.layers.Dense(
            num_layers,
            activation="sigmoid",
            use_bias=False,
            kernel_initializer=BlockGlorot(blocks=num_layers, seed=self._seed_of(2)),
            name="layer_gates",
        )
        # Rows of all layers one below the other; every layer's W^e drawn by itself.
        self.output_map = keras.layers.Dense(
            item_dim,
            activation="relu",
            use_bias=False,
            kernel_initializer=keras.initializers.RandomUniform(
                *(sign * (6.0 / (units + item_dim)) ** 0.5 for sign in (-1, 1)),
                seed=self._seed_of(3),
            ),
            name="output",
        )
        for layer in (self.layer_gates, self.output_map):
            layer.build((None, width))
        self.drop_items = Dropout(dropout, seed=self._seed_of(4))
        self.drop_output = Dropout(dropout, seed=self._seed_of(5))
        self.built = True

    @staticmethod
    def _require_gap_weight(gap_weight, use_gaps, boundaries, num_layers):
        checks.require_number("gap_weight", gap_weight, minimum=0, mend="Pass e.g. 1.0, or None.")
        if not use_gaps or boundaries == "given" or num_layers == 1:
            raise ValueError(
                f"`gap_weight` was {gap_weight} with use_gaps={use_gaps}, boundaries="
                f"{boundaries!r} and num_layers={num_layers}, where no gap decides on a first "
                "segment. Leave it out, or pass use_gaps=True and learned boundaries."
            )

    @staticmethod
    def _refuse_ignored(num_layers, boundaries, sparsity, slope_rate, max_slope):
        if boundaries == "supervised":
            raise ValueError(
                f"`boundaries` was 'supervised' with num_layers={num_layers}, where no segment is "
                "looked for. Leave it out, or pass num_layers=2."
            )
        ignored = {"sparsity": (sparsity, 0.0), "slope_rate": (slope_rate, 0.04)}
        for name, (value, default) in (ignored | {"max_slope": (max_slope, 5.0)}).items():
            if value != default:
                raise ValueError(
                    f"`{name}` was {value} with num_layers={num_layers} and boundaries="
                    f"{boundaries!r}, where no boundary is learned. Leave it out."
                )

    @property
    def cell(self) -> HMLSTMCell:
        return self.recurrence.cell

    def begin_epoch(self, epoch: int) -> None:
        self.cell.slope.assign(min(self.max_slope, 1.0 + self.slope_rate * epoch))

    def initial_states(self, batch_size):
        return self.recurrence.initial_states(batch_size)

    def _read(self, events, states, training=False):
        """Returns h (batch, steps, L H), ζ and z (batch, steps, L - 1), and states."""
        x = [self.drop_items(self.item_scores.items(events[ITEM_IDS]), training=training)]
        if self.reads_gaps:
            x.append(((log_gap(events[GAP]) - self.gap_mean) / self.gap_sd)[..., None])
        x += [events[name][..., None] for name in (SESSION_START, USER_START)]
        outputs, states = self.recurrence(
            ops.concatenate([tf.cast(part, x[0].dtype) for part in x], axis=-1),
            initial_state=states,
            reset=events[USER_START],
            is_event=events[ITEM_IDS] != PADDING_ID,
            training=training,
        )
        layers, width = self.cell.num_layers, self.cell.num_layers * self.cell.units
        h, zeta, z = ops.split(outputs, [width, width + layers - 1], axis=-1)
        return h, zeta, z, states

    def _output(self, h, training=False):
        gated = ops.repeat(self.layer_gates(h), self.cell.units, axis=-1) * h
        return self.drop_output(self.output_map(gated), training=training)

    def encode(self, events, states, training=False):
        h, _, _, states = self._read(events, states, training)
        return self._output(h, training), states

    def encode_to_train(self, events, states):
        h, zeta, z, states = self._read(events, states, training=True)
        # Whether a segment ended before a user's first event is no question.
        asked = (events[ITEM_IDS] != PADDING_ID) & ~events[USER_START]
        weights, penalty = tf.cast(asked, tf.float32), tf.zeros((), tf.float32)

        def mean(values):
            total = tf.reduce_sum(weights * tf.cast(values, tf.float32))
            return tf.math.divide_no_nan(total, tf.reduce_sum(weights))

        if self.sparsity:
            penalty += self.sparsity * mean(tf.reduce_sum(z, axis=-1))
        if self.boundaries == "supervised":
            told = tf.cast(events[SESSION_START], zeta.dtype)
            penalty += mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels=told, logits=zeta[..., 0])
            )
        return self._output(h, training=True), states, penalty

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def explain(self, item_ids: Any, *, gaps: Any = None, session_start: Any = None) -> Explanation:
        """Shows the states of a history, and where the model has it end its segments.

        Args:
            item_ids: int (T,) or (1, T), ids 1..num_items, of one user from the first event on.
            gaps: int (T,), seconds since the event before; read with `use_gaps` alone.
            session_start: bool (T,); read where boundaries are given, alone.

        Returns:
            An `Explanation` with states "h1" to "hL" (T, units) and boundaries "z1" to "zL-1":
            z~, where the layer reads. A z1 that was given is left out.

        Raises:
            ValueError: not one history, or gaps or starts that are missing or do not fit.
        """
        item_ids, events = flagged_history(
            item_ids,
            num_items=self.num_items,
            gaps=gaps,
            session_start=session_start,
            needed=("gaps",) * self.reads_gaps + ("session_start",) * (self.boundaries == "given"),
        )
        h, zeta, z, _ = self._read(events, self.initial_states(1))
        soft = np.array(self.cell.hard_sigmoid(zeta[0], self.cell.slope), np.float32)
        soft[0] = 0.0
        ends = np.asarray(z[0])
        soft[:, 1:] *= ends[:, :-1]
        found = {f"z{number}": values for number, values in enumerate(soft.T, 1)}
        if self.boundaries == "given":
            del found["z1"]
        parts = np.split(np.asarray(h[0]), self.cell.num_layers, axis=-1)
        return Explanation(
            item_ids=item_ids,
            states={f"h{number}": part for number, part in enumerate(parts, 1)},
            boundaries=found,
        )

    def get_config(self):
        return super().get_config() | self.own_arguments
