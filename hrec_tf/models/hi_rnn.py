"""Hi-RNN: short and long times of a user's history, told apart by the gaps between events."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells import HiRNNCell
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.layers import ItemScores, Recurrence, log_gap
from hrec_tf.layers.dropout import Dropout
from hrec_tf.models.next_item_model import NextItemModel
from hrec_tf.schema import (
    CONCATENATED,
    GAP,
    ITEM_IDS,
    LARGEST_GAP,
    NEXT_GAP,
    PADDING_ID,
    SESSION_START,
    USER_START,
)

SEGMENTS = ("gap", "session")


@keras.saving.register_keras_serializable(package="hrec_tf")
class HiRNN(NextItemModel):
    """Next item in a user's whole history, from the items and the time between them.

    `HiRNNCell` holds the equations of s and l. It is told, with Δ the seconds since the event
    before (0 at a user's first),

        δ = log(1 + Δ / 60)        g = 1[Δ > segment_minutes], or a session starts there

    and the scores are

        r̂ = drop([s; l]) W_o + b_o;    scores = r̂ Eᵀ + b        x = drop(E[item])

    With `use_query_gap` they know Δ', the seconds from the event to the predicted one:

        δ' = log(1 + Δ' / 60);  r̂ = (drop([s; l]) ⊙ (1 + (δ' - gap_mean) / gap_sd · w_q)) W_o + b_o

    w_q begins with 0. A term beside [s; l] would move the scores after every history alike.

    Source: our reconstruction of Choe, Kang and Jung, "Hierarchical RNN-based recommendation with
    short and long times", 2021: two layers, order and time intervals are what is known of it;
    every equation is inferred; docs/equations.md E. The factor of `use_query_gap` is that of
    Beutel et al., "Latent Cross", WSDM 2018, doi:10.1145/3159652.3159727; without it the model
    compares with methods that are not told when they are asked.

    Args:
        num_items: N; ids run 1..N.
        item_dim: size of an item's vector, which is read and scored by.
        short_units, long_units: sizes of s and l.
        segments: what ends a segment: "gap", or "session", the sessions of the log.
        segment_minutes: gap that ends a segment, with "gap" only; a day if None. In a recipe
            "log:0.9" takes that quantile, see `hrec_tf.data.gaps.gap_quantile`.
        time_dim: size of what a gap becomes as an input; 0 reads no times.
        decay: let s decay with the gap.
        use_query_gap: tell the scores the gap to the predicted event. Such a model is trained and
            evaluated, but not exported.
        gap_mean, gap_sd: of δ in the training histories, see `hrec_tf.data.gaps.gap_moments`.
        dropout: rate of drop, of the items' vectors and of [s; l].
        seed: of initial values and dropout.
    """

    layout = CONCATENATED
    reads_gaps = True

    def __init__(
        self,
        *,
        num_items: int,
        item_dim: int = 100,
        short_units: int = 100,
        long_units: int = 100,
        segments: str = "gap",
        segment_minutes: float | None = None,
        time_dim: int = 8,
        decay: bool = True,
        use_query_gap: bool = False,
        gap_mean: float = 0.0,
        gap_sd: float = 1.0,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, seed=seed, **kwargs)
        checks.require_choice("segments", segments, SEGMENTS)
        if segment_minutes is not None:
            if segments == "session":
                raise ValueError(
                    f"`segment_minutes` was {segment_minutes} with segments='session', where the "
                    "log's sessions are the segments. Leave it out, or pass segments='gap'."
                )
            checks.require_number(
                "segment_minutes", segment_minutes, minimum=0, mend="Pass minutes, e.g. 1440."
            )
        if use_query_gap and not time_dim:
            raise ValueError(
                "`use_query_gap` was True with time_dim=0, where no times are read. Leave it out, "
                "or pass a time_dim, e.g. 8."
            )
        self.item_dim = checks.require_positive_int(
            "item_dim", item_dim, mend="Pass the vectors' size, e.g. 100."
        )
        self.segments, self.segment_minutes = segments, segment_minutes
        self.reads_next_gap, self.dropout = use_query_gap, checks.require_rate("dropout", dropout)
        self.cell_arguments: dict[str, Any] = {
            "short_units": short_units,
            "long_units": long_units,
            "time_dim": time_dim,
            "decay": decay,
            "gap_mean": gap_mean,
            "gap_sd": gap_sd,
        }
        self.item_scores = ItemScores(
            num_items, item_dim, seed=self._seed_of(0), name="item_scores"
        )
        self.item_scores.build()
        cell = HiRNNCell(seed=self._seed_of(1), **self.cell_arguments)
        self.recurrence = Recurrence(cell)
        self.recurrence.build((None, None, item_dim + 3))
        self.output_map = keras.layers.Dense(
            item_dim, kernel_initializer=BlockGlorot(seed=self._seed_of(2)), name="output"
        )
        self.output_map.build((None, cell.output_size))
        if use_query_gap:
            self.query_kernel = self.add_weight(
                name="query_kernel", shape=(cell.output_size,), initializer="zeros"
            )
        self.drop_items = Dropout(dropout, seed=self._seed_of(3))
        self.drop_output = Dropout(dropout, seed=self._seed_of(4))
        self.built = True

    def initial_states(self, batch_size):
        return self.recurrence.initial_states(batch_size)

    def encode(self, events, states, training=False):
        item_ids, gap = events[ITEM_IDS], events[GAP]
        # Flags and logarithms of gaps before anything is cast: seconds are no half numbers.
        if self.segments == "gap":
            minutes = 1440.0 if self.segment_minutes is None else self.segment_minutes
            # Rounded: 60 * (123 / 60) is a little below 123, and would be cut to 122.
            seconds = int(min(round(60 * minutes, 3), LARGEST_GAP))
            ends = gap > tf.constant(seconds, gap.dtype)
        else:
            ends = events[SESSION_START]
        delta = log_gap(gap)
        x = self.drop_items(self.item_scores.items(item_ids), training=training)
        told = [tf.cast(values, x.dtype) for values in (delta, ends, events[USER_START])]
        hidden, states = self.recurrence(
            ops.concatenate([x, ops.stack(told, axis=-1)], axis=-1),
            initial_state=states,
            is_event=item_ids != PADDING_ID,
            training=training,
        )
        hidden = self.drop_output(hidden, training=training)
        if self.reads_next_gap:
            cell = self.recurrence.cell
            standard = (log_gap(events[NEXT_GAP]) - cell.gap_mean) / cell.gap_sd
            asked = tf.cast(standard, hidden.dtype)[..., None]
            hidden *= 1.0 + asked * ops.cast(self.query_kernel, hidden.dtype)
        return self.output_map(hidden), states

    def score(self, hidden, item_ids=None):
        return self.item_scores(hidden, item_ids)

    def get_config(self):
        return (
            super().get_config()
            | self.cell_arguments
            | {
                "item_dim": self.item_dim,
                "segments": self.segments,
                "segment_minutes": self.segment_minutes,
                "use_query_gap": self.reads_next_gap,
                "dropout": self.dropout,
            }
        )
