"""The GRU of the papers, one event at a time."""

import keras
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot, JointGlorot
from hrec_tf.cells.protocol import INITIAL_VALUES, dense, drop, keep_mask, rows_of


@keras.saving.register_keras_serializable(package="hrec_tf")
class ReferenceGRUCell(keras.layers.Layer):
    """One event of the GRU that GRU4Rec, HRNN, NARM and HCRNN use.

        r  = σ(x W_r + h U_r + b_r)
        z  = σ(x W_z + h U_z + b_z)             z is the share of NEW content
        h~ = tanh(x W_h + (r ⊙ h) U_h + b_h)    reset BEFORE the recurrent product
        h' = (1 - z) ⊙ h + z ⊙ h~
        h' = drop(h')                           the dropped state is output AND carried

    With `reset_after=True`, as in PyTorch's GRUCell and the official GRU4Rec on PyTorch:

        r  = σ(x W_r + b_r + h U_r + c_r)
        z  = σ(x W_z + b_z + h U_z + c_z)
        h~ = tanh(x W_h + b_h + r ⊙ (h U_h + c_h))

    `keras.layers.GRU` keeps with z what this cell replaces: negate its z block to convert.

    Source: docs/equations.md 0.3, 0.4, 0.7; Cho et al. 2014; Hidasi et al. 2016.

    Args:
        units: size H of the state.
        num_items: if given, the input is an item id and `x W` a row of a table
            (num_items + 1, 3 H): the one-hot input of GRU4Rec and HRNN. Id 0 reads zeros.
        reset_after: apply r after the recurrent product; the products have biases c of their own.
        dropout: rate of `drop`, a fresh mask at every event.
        initial_values: "block_glorot", every gate by itself and biases 0; or "tf1", those of
            TensorFlow 1's GRUCell, which this cell is then in all but the name of z: W and U
            of a kind drawn as one matrix, b_r = 1, b_z = -1 (its u = 1 - z begins with 1).

    Call:
        inputs: float (batch, features), or int (batch, 1) item ids with `num_items`.
        states: `[h]`, h float (batch, units).
        Returns `(h', [h'])`.
    """

    def __init__(
        self,
        units: int,
        *,
        num_items: int | None = None,
        reset_after: bool = False,
        dropout: float = 0.0,
        initial_values: str = "block_glorot",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the size of the state, e.g. 100."
        )
        self.num_items, self.reset_after, self.seed = num_items, reset_after, seed
        self.dropout = checks.require_rate("dropout", dropout)
        self.initial_values = checks.require_choice(
            "initial_values", initial_values, INITIAL_VALUES
        )
        if initial_values == "tf1" and (num_items is not None or reset_after):
            raise ValueError(
                "`initial_values` was 'tf1', but TensorFlow 1's GRUCell reads vectors and resets "
                f"before the product; num_items={num_items}, reset_after={reset_after}. Leave both "
                "out, or pass initial_values='block_glorot'."
            )
        self.state_size, self.output_size = self.units, self.units
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        rows = input_shape[-1] if self.num_items is None else self.num_items + 1
        # Blocks stand in the order r, z, h.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(rows, 3 * self.units),
            initializer=self._initializer(3, 0, other_rows=self.units),
            autocast=self.num_items is None,  # rows of a table are cast where they are read
        )
        self.bias = self.add_weight(
            name="bias", shape=(3 * self.units,), initializer=self._initial_bias
        )
        self.recurrent_gates = self.add_weight(
            name="recurrent_gates",
            shape=(self.units, 2 * self.units),
            initializer=self._initializer(2, 1, other_rows=rows),
        )
        self.recurrent_candidate = self.add_weight(
            name="recurrent_candidate",
            shape=(self.units, self.units),
            initializer=self._initializer(1, 2, other_rows=rows),
        )
        self.recurrent_gates_bias = self.recurrent_candidate_bias = None
        if self.reset_after:
            self.recurrent_gates_bias = self.add_weight(
                name="recurrent_gates_bias", shape=(2 * self.units,), initializer="zeros"
            )
            self.recurrent_candidate_bias = self.add_weight(
                name="recurrent_candidate_bias", shape=(self.units,), initializer="zeros"
            )

    def _initializer(self, blocks, offset, other_rows):
        seed = None if self.seed is None else self.seed + offset
        if self.initial_values == "tf1":
            gates, candidate = (2 * self.units,), (self.units,)
            widths = {3: gates + candidate, 2: gates, 1: candidate}[blocks]
            return JointGlorot(other_rows=other_rows, widths=widths, seed=seed)
        padding_row = blocks == 3 and self.num_items is not None
        return BlockGlorot(blocks=blocks, padding_row=padding_row, seed=seed)

    def _initial_bias(self, shape, dtype=None):
        values = [1.0, -1.0, 0.0] if self.initial_values == "tf1" else [0.0, 0.0, 0.0]
        return ops.repeat(ops.convert_to_tensor(values, dtype), self.units)

    @property
    def project_weights(self):
        """Weights of the product in `project`, for a cell that calls it inside its own step."""
        return [self.kernel, self.bias]

    @property
    def step_weights(self):
        weights = [self.recurrent_gates, self.recurrent_candidate]
        biases = [self.recurrent_gates_bias, self.recurrent_candidate_bias]
        return [*weights, *biases] if self.reset_after else weights

    def project(self, inputs, training=False, dense=dense):
        """Returns `x W + b` of all gates, and the dropout mask of the new state."""
        if self.num_items is None:
            gates = dense(inputs, self.kernel, self.bias)
        else:
            gates = rows_of(self.kernel, inputs, self.compute_dtype) + self.bias
        projected = {"gates": gates}
        if training and self.dropout:
            projected["keep"] = keep_mask(gates, self.units, self.dropout, self.seed_generator)
        return projected

    def gates(self, projected, h, dense=dense):
        """Returns r and z of events whose state before is h."""
        x_rz = projected["gates"][..., : 2 * self.units]
        h_rz = dense(h, self.recurrent_gates, self.recurrent_gates_bias)
        return ops.split(ops.sigmoid(x_rz + h_rz), 2, axis=-1)

    def step(self, projected, states, dense=dense):
        (h,) = states
        r, z = self.gates(projected, h, dense=dense)
        x_h = projected["gates"][..., 2 * self.units :]
        if self.reset_after:
            recurrent = r * dense(h, self.recurrent_candidate, self.recurrent_candidate_bias)
        else:
            recurrent = dense(r * h, self.recurrent_candidate)
        candidate = ops.tanh(x_h + recurrent)
        h = drop((1 - z) * h + z * candidate, projected, "keep")
        return h, [h]

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "num_items": self.num_items,
            "reset_after": self.reset_after,
            "dropout": self.dropout,
            "initial_values": self.initial_values,
            "seed": self.seed,
        }
