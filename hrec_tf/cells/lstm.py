"""The LSTM, one event at a time."""

import keras
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot, JointGlorot
from hrec_tf.cells.protocol import INITIAL_VALUES, dense, drop, keep_mask, rows_of


@keras.saving.register_keras_serializable(package="hrec_tf")
class LSTMCell(keras.layers.Layer):
    """One event of an LSTM without peepholes, gates as in `keras.layers.LSTM`.

        i, f, o = σ(x W_i + h U_i + b_i), σ(x W_f + h U_f + b_f), σ(x W_o + h U_o + b_o)
        c~ = tanh(x W_c + h U_c + b_c)
        c' = f ⊙ c + i ⊙ c~
        h' = drop(o ⊙ tanh(c'))                 the dropped h is output AND carried

    b_f starts at 1, all other biases at 0.

    Source: docs/equations.md A.3; Hochreiter and Schmidhuber 1997. Differs from
    `keras.layers.LSTM`: block order i, f, c, o is the same; initial values are by block.

    Args:
        units: size H of both states.
        num_items: if given, the input is an item id and `x W` a row of a table
            (num_items + 1, 4 H). Id 0 reads zeros.
        dropout: rate of `drop`, a fresh mask at every event.
        initial_values: "block_glorot", every block by itself; or "tf1", as TensorFlow 1's cells
            do: W and U of all blocks drawn as one matrix.

    Call:
        inputs: float (batch, features), or int (batch, 1) item ids with `num_items`.
        states: `[h, c]`, each float (batch, units).
        Returns `(h', [h', c'])`.
    """

    def __init__(
        self,
        units: int,
        *,
        num_items: int | None = None,
        dropout: float = 0.0,
        initial_values: str = "block_glorot",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the size of the state, e.g. 100."
        )
        self.num_items, self.seed = num_items, seed
        self.dropout = checks.require_rate("dropout", dropout)
        self.initial_values = checks.require_choice(
            "initial_values", initial_values, INITIAL_VALUES
        )
        if initial_values == "tf1" and num_items is not None:
            raise ValueError(
                "`initial_values` was 'tf1', but TensorFlow 1's cells read vectors; num_items="
                f"{num_items}. Leave it out, or pass initial_values='block_glorot'."
            )
        self.state_size, self.output_size = [self.units, self.units], self.units
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        rows = input_shape[-1] if self.num_items is None else self.num_items + 1
        self.kernel = self.add_weight(
            name="kernel",
            shape=(rows, 4 * self.units),
            initializer=self._initializer(0, other_rows=self.units),
            autocast=self.num_items is None,  # rows of a table are cast where they are read
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, 4 * self.units),
            initializer=self._initializer(1, other_rows=rows),
        )
        self.bias = self.add_weight(
            name="bias", shape=(4 * self.units,), initializer=self._forget_bias
        )

    def _initializer(self, offset, other_rows):
        seed = None if self.seed is None else self.seed + offset
        if self.initial_values == "tf1":
            return JointGlorot(other_rows=other_rows, widths=(4 * self.units,), seed=seed)
        padding_row = offset == 0 and self.num_items is not None
        return BlockGlorot(blocks=4, padding_row=padding_row, seed=seed)

    def _forget_bias(self, shape, dtype=None):
        """Ones in the forget block, zeros elsewhere."""
        return ops.repeat(ops.convert_to_tensor([0.0, 1.0, 0.0, 0.0], dtype), self.units)

    @property
    def step_weights(self):
        return [self.recurrent_kernel]

    def project(self, inputs, training=False, dense=dense):
        """Returns `x W + b` of all gates, and the dropout mask of the new h."""
        if self.num_items is None:
            gates = dense(inputs, self.kernel, self.bias)
        else:
            gates = rows_of(self.kernel, inputs, self.compute_dtype) + self.bias
        projected = {"gates": gates}
        if training and self.dropout:
            projected["keep"] = keep_mask(gates, self.units, self.dropout, self.seed_generator)
        return projected

    def step(self, projected, states, dense=dense):
        h, c = states
        gates = projected["gates"] + dense(h, self.recurrent_kernel)
        i, f, candidate, o = ops.split(gates, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(candidate)
        h = drop(ops.sigmoid(o) * ops.tanh(c), projected, "keep")
        return h, [h, c]

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "num_items": self.num_items,
            "dropout": self.dropout,
            "initial_values": self.initial_values,
            "seed": self.seed,
        }
