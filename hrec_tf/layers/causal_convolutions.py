"""Dilated causal convolutions over streams: the TCN."""

import keras
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense, keep_mask
from hrec_tf.layers.steps import Window

CONVOLUTIONS = 2
"""Of a block."""


@keras.saving.register_keras_serializable(package="hrec_tf")
class CausalConvolutions(keras.layers.Layer):
    """Residual blocks of dilated causal convolutions (TCN), in place of a `Recurrence`.

    Block i, with x its input and d = 2^i:

        conv(x)_t = Σ_k x_{t - k d} W_k + b      k = 0..kernel_size - 1;  x is 0 before the user
        W         = g v / ‖v‖                    for each output by itself, over k and the inputs
        r         = drop(relu(conv_1(x)));  r <- drop(relu(conv_2(r)))
        y         = relu(r + x), or relu(r + x W_x + b_x) where the width changes

    An event sees 1 + 2 (kernel_size - 1) (2^num_blocks - 1) events: itself and those before it.

    Source: Bai, Kolter & Koltun 2018, arXiv:1803.01271, section 3; docs/equations.md D.3.
    Differs from it: v is drawn by Glorot's rule and g begins at 1, so that a convolution keeps
    the scale of its inputs. Ours: a user's start in the window, padding, states.

    Args:
        units: outputs of every convolution.
        num_blocks: residual blocks.
        kernel_size: taps of a convolution.
        dropout: rate on r; drops a channel in the whole window.
        seed: of initial values and dropout.

    Call:
        inputs, initial_state, reset, is_event: as of `Recurrence`. A state holds the last
            (kernel_size - 1) 2^i inputs of a convolution; where there were none, zeros.
        Returns `(outputs (batch, steps, units), states)`. At padding, the output is that of the
        last event before it in the window, or zeros.
    """

    def __init__(
        self,
        units: int,
        *,
        num_blocks: int = 2,
        kernel_size: int = 3,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int("units", units, mend="Pass a size, e.g. 100.")
        self.num_blocks = checks.require_positive_int(
            "num_blocks", num_blocks, mend="Pass the number of residual blocks, e.g. 2."
        )
        self.kernel_size = checks.require_positive_int(
            "kernel_size", kernel_size, mend="Pass the number of taps, e.g. 3."
        )
        self.dropout = checks.require_rate("dropout", dropout)
        self.seed = seed
        self.convolutions = [
            [
                _Convolution(units, kernel_size, 2**block, self._seed(3 * block + part))
                for part in range(CONVOLUTIONS)
            ]
            for block in range(num_blocks)
        ]
        self.seed_generator = keras.random.SeedGenerator(self._seed(3 * num_blocks))

    def _seed(self, part: int) -> int | None:
        return None if self.seed is None else self.seed + part

    def build(self, input_shape):
        width = input_shape[-1]
        for first, second in self.convolutions:
            first.build((None, None, width))
            second.build((None, None, self.units))
            width = self.units
        self.skip_kernel = self.skip_bias = None
        # Only the first block's width changes.
        if input_shape[-1] != self.units:
            self.skip_kernel = self.add_weight(
                name="skip_kernel",
                shape=(input_shape[-1], self.units),
                initializer=BlockGlorot(seed=self._seed(2)),
            )
            self.skip_bias = self.add_weight(
                name="skip_bias", shape=(self.units,), initializer="zeros"
            )

    @property
    def state_sizes(self) -> list[int]:
        """Sizes of the states, two for each block; known once the layer is built."""
        return [conv.num_carried * conv.width for block in self.convolutions for conv in block]

    def initial_states(self, batch_size) -> list[tf.Tensor]:
        """Returns zeros (batch_size, size) for each state: a new user."""
        return [tf.zeros((batch_size, size), self.compute_dtype) for size in self.state_sizes]

    def call(self, inputs, initial_state=None, reset=None, is_event=None, training=False):
        window = Window(inputs, reset, is_event)
        states = iter(self.initial_states(window.batch) if initial_state is None else initial_state)
        hidden, new_states = window.pack(inputs), []
        for block in self.convolutions:
            residual = hidden
            for convolve in block:
                residual, new_state = convolve(residual, next(states), window=window)
                residual = self._drop_channels(tf.nn.relu(residual), training)
                new_states.append(new_state)
            if hidden.shape[-1] != self.units:
                hidden = dense(hidden, self.skip_kernel, self.skip_bias)
            hidden = tf.nn.relu(residual + hidden)
        return window.unpack(hidden), new_states

    def _drop_channels(self, hidden, training):
        if not (training and self.dropout):
            return hidden
        return hidden * keep_mask(hidden[:, :1], self.units, self.dropout, self.seed_generator)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "num_blocks": self.num_blocks,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
            "seed": self.seed,
        }


class _Convolution(keras.layers.Layer):
    """One conv(x), its last inputs carried from window to window; see `CausalConvolutions`."""

    def __init__(self, units, kernel_size, dilation, seed):
        super().__init__()
        self.units, self.kernel_size, self.dilation, self.seed = units, kernel_size, dilation, seed
        self.num_carried = (kernel_size - 1) * dilation

    def build(self, input_shape):
        self.width = input_shape[-1]
        # The tap of the event itself stands last.
        self.direction = self.add_weight(
            name="direction",
            shape=(self.kernel_size, self.width, self.units),
            initializer=keras.initializers.GlorotUniform(seed=self.seed),
        )
        self.length = self.add_weight(name="length", shape=(self.units,), initializer="ones")
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs, state, window):
        rows, users = window.follow(state, inputs, self.num_carried)
        taps = []
        for k in range(self.kernel_size):
            there = slice(k * self.dilation, k * self.dilation + window.steps)
            is_own = users[:, there] == window.users
            taps.append(tf.where(is_own[..., None], rows[:, there], 0.0))
        kernel = self.length * tf.math.l2_normalize(self.direction.value, axis=(0, 1))
        kernel = tf.reshape(kernel, (self.kernel_size * self.width, self.units))
        outputs = dense(tf.concat(taps, axis=-1), kernel, self.bias)
        return outputs, window.carry(rows, users, self.num_carried)
