"""Hi-RNN's cell: a GRU over the events of a segment inside a GRU over the segments of a user."""

import keras
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.gru import ReferenceGRUCell
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense
from hrec_tf.data.gaps import require_gap_moments


@keras.saving.register_keras_serializable(package="hrec_tf")
class HiRNNCell(keras.layers.Layer):
    """One event of Hi-RNN: short and long times of a user's history.

    With δ the logarithm of the time since the event before, δ~ the same standardised, and g (0 or
    1) whether a segment ends before this event; s the short state, l the long one:

        l <- g GRU_l([s; δ~ w_l + b_l], l) + (1 - g) l        the ended segment informs l
        s <- g tanh(l W_i + b_i) + (1 - g) γ(δ) ⊙ s           a segment starts from l, or s decays
        s <- GRU_s([x; δ~ w_δ + b_δ], s)                      read the item
        γ(δ) = exp(-relu(δ w_γ + b_γ))

    A new user's s and l are 0, and no segment ends there. Both GRUs are `ReferenceGRUCell`.

    Source: our reconstruction of Choe, Kang and Jung, 2021, of whose equations none is known;
    everything here is inferred; docs/equations.md E. With g the starts of sessions, γ = 1 and no
    times it is `HierarchicalGRUCell` as HRNN Init.

    Args:
        short_units, long_units: sizes of s and l.
        time_dim: size of δ~ w + b beside the item and beside s; 0 reads no times.
        decay: False keeps γ = 1.
        gap_mean, gap_sd: of δ, by which δ~ = (δ - gap_mean) / gap_sd.

    Call:
        inputs: (batch, item_dim + 3) floats: the item's vector, then δ, g, and whether the event
            is its user's first.
        states: `[s (batch, short_units), l (batch, long_units)]`.
        Returns `([s; l], [s, l])`.
    """

    def __init__(
        self,
        *,
        short_units: int = 100,
        long_units: int = 100,
        time_dim: int = 8,
        decay: bool = True,
        gap_mean: float = 0.0,
        gap_sd: float = 1.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, size in (("short_units", short_units), ("long_units", long_units)):
            checks.require_positive_int(name, size, mend="Pass the size of the state, e.g. 100.")
        checks.require_int_at_least(
            "time_dim", time_dim, minimum=0, mend="Pass a size, e.g. 8, or 0 to read no times."
        )
        require_gap_moments(
            gap_mean,
            gap_sd,
            is_read=bool(time_dim),
            unread="time_dim=0",
            mend="pass a time_dim, e.g. 8",
        )
        self.short_units, self.long_units, self.time_dim = short_units, long_units, time_dim
        self.decay, self.gap_mean, self.gap_sd, self.seed = decay, gap_mean, gap_sd, seed
        self.short_cell = ReferenceGRUCell(short_units, seed=self._seed(0), name="short")
        self.long_cell = ReferenceGRUCell(long_units, seed=self._seed(10), name="long")
        self.state_size = [short_units, long_units]
        self.output_size = short_units + long_units

    def _seed(self, offset):
        return None if self.seed is None else self.seed + offset

    def _linear(self, name, rows, columns, offset):
        kernel = self.add_weight(
            name=f"{name}_kernel",
            shape=(rows, columns),
            initializer=BlockGlorot(seed=self._seed(offset)),
        )
        return kernel, self.add_weight(name=f"{name}_bias", shape=(columns,), initializer="zeros")

    def build(self, input_shape):
        item_dim = input_shape[-1] - 3
        self.short_cell.build((None, item_dim + self.time_dim))
        self.long_cell.build((None, self.short_units + self.time_dim))
        self.init_kernel, self.init_bias = self._linear(
            "init", self.long_units, self.short_units, 20
        )
        if self.time_dim:
            self.event_time = self._linear("event_time", 1, self.time_dim, 21)
            self.segment_time = self._linear("segment_time", 1, self.time_dim, 22)
        if self.decay:
            self.decay_kernel, self.decay_bias = self._linear("decay", 1, self.short_units, 23)

    @property
    def step_weights(self):
        return [
            *self.short_cell.step_weights,
            self.long_cell.kernel,
            self.long_cell.bias,
            *self.long_cell.step_weights,
            self.init_kernel,
            self.init_bias,
        ]

    def project(self, inputs, training=False):
        """Returns the short GRU's projection, the flags, and what the times become."""
        width = inputs.shape[-1]
        x, delta, segment_start, user_start = ops.split(
            inputs, [width - 3, width - 2, width - 1], axis=-1
        )
        projected = {
            "segment_start": (segment_start > 0) & ~(user_start > 0),
            "user_start": user_start > 0,
        }
        if self.time_dim:
            standard = (delta - self.gap_mean) / self.gap_sd
            x = ops.concatenate([x, dense(standard, *self.event_time)], axis=-1)
            projected["segment_time"] = dense(standard, *self.segment_time)
        if self.decay:
            rate = dense(delta, self.decay_kernel, self.decay_bias)
            projected["decay"] = ops.exp(-ops.relu(rate))
        projected["short"] = self.short_cell.project(x, training=training)
        return projected

    def step(self, projected, states, dense=dense):
        user_start, segment_start = projected["user_start"], projected["segment_start"]
        # A lane plays many users; without this the second inherits the first.
        s, l = (ops.where(user_start, 0.0, state) for state in states)  # noqa: E741

        segment = s
        if "segment_time" in projected:
            segment = ops.concatenate([s, projected["segment_time"]], axis=-1)
        ended, _ = self.long_cell.step(
            self.long_cell.project(segment, dense=dense), [l], dense=dense
        )
        l = ops.where(segment_start, ended, l)  # noqa: E741
        started = ops.tanh(dense(l, self.init_kernel, self.init_bias))
        kept = projected["decay"] * s if "decay" in projected else s
        s = ops.where(segment_start, started, kept)
        s, _ = self.short_cell.step(projected["short"], [s], dense=dense)
        return ops.concatenate([s, l], axis=-1), [s, l]

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "short_units": self.short_units,
            "long_units": self.long_units,
            "time_dim": self.time_dim,
            "decay": self.decay,
            "gap_mean": self.gap_mean,
            "gap_sd": self.gap_sd,
            "seed": self.seed,
        }
