"""A GRU whose products are normalised: layer normalisation, gate by gate."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense, drop, keep_mask

EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="hrec_tf")
class LayerNormGRUCell(keras.layers.Layer):
    """One event of a layer-normalised GRU.

        r  = σ(LN(x W_r) + LN(h U_r) + b_r)
        z  = σ(LN(x W_z) + LN(h U_z) + b_z)
        h~ = tanh(LN(x W_h) + r ⊙ LN(h U_h) + b_h)
        h  <- drop((1 - z) h + z h~)

        LN(v) = g ⊙ (v - mean v) / √(var v + 1e-5) + β    over the units; g, β of each product

    Source: Ba et al. 2016, arXiv:1607.06450, with the reset after the product (inferred to be the
    form of Villatel et al. 2018); docs/equations.md H.3. Without `layer_norm` it is
    `ReferenceGRUCell(reset_after=True)` whose recurrent biases are 0.

    Args:
        units: H, size of the state.
        layer_norm: False leaves LN out.
        dropout: rate of drop, on the new state.

    Call:
        inputs: (batch, features). states: `[h (batch, units)]`. Returns `(h, [h])`.
    """

    def __init__(
        self,
        units: int,
        *,
        layer_norm: bool = True,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the size of the state, e.g. 100."
        )
        self.layer_norm, self.seed = layer_norm, seed
        self.dropout = checks.require_rate("dropout", dropout)
        self.state_size, self.output_size = self.units, self.units
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        # Blocks stand in the order r, z, h.
        for offset, (name, rows) in enumerate(
            (("kernel", input_shape[-1]), ("recurrent_kernel", self.units))
        ):
            seed = None if self.seed is None else self.seed + offset
            drawn = BlockGlorot(blocks=3, seed=seed)
            weight = self.add_weight(name=name, shape=(rows, 3 * self.units), initializer=drawn)
            setattr(self, name, weight)
        self.bias = self.add_weight(name="bias", shape=(3 * self.units,), initializer="zeros")
        if self.layer_norm:
            shape = (3 * self.units,)
            self.gain = self.add_weight(name="gain", shape=shape, initializer="ones")
            self.shift = self.add_weight(name="shift", shape=shape, initializer="zeros")
            self.recurrent_gain = self.add_weight(
                name="recurrent_gain", shape=shape, initializer="ones"
            )
            self.recurrent_shift = self.add_weight(
                name="recurrent_shift", shape=shape, initializer="zeros"
            )

    @property
    def project_weights(self):
        """Weights of the product in `project`, for a cell that calls it inside its own step."""
        return [self.kernel]

    @property
    def step_weights(self):
        return [self.recurrent_kernel]

    def constants(self):
        """What is added to or multiplied with the products, as tensors that gradients flow to."""
        names = ["bias"]
        if self.layer_norm:
            names += ["gain", "shift", "recurrent_gain", "recurrent_shift"]
        return {name: tf.identity(ops.convert_to_tensor(getattr(self, name))) for name in names}

    def project(self, inputs, training=False, dense=dense, constants=None):
        """Returns the normalised `x W`, b added, and what the recurrent products are scaled by."""
        constants = self.constants() if constants is None else constants
        gates = dense(inputs, self.kernel)
        projected = {}
        if self.layer_norm:
            gates = self._normalised(gates, constants["gain"], constants["shift"])
            projected["constants"] = {
                "gain": constants["recurrent_gain"],
                "shift": constants["recurrent_shift"],
            }
        projected["gates"] = gates + constants["bias"]
        if training and self.dropout:
            projected["keep"] = keep_mask(gates, self.units, self.dropout, self.seed_generator)
        return projected

    def step(self, projected, states, dense=dense):
        (h,) = states
        recurrent = dense(h, self.recurrent_kernel)
        if self.layer_norm:
            constants = projected["constants"]
            recurrent = self._normalised(recurrent, constants["gain"], constants["shift"])
        x_r, x_z, x_h = ops.split(projected["gates"], 3, axis=-1)
        h_r, h_z, h_h = ops.split(recurrent, 3, axis=-1)
        r, z = ops.sigmoid(x_r + h_r), ops.sigmoid(x_z + h_z)
        candidate = ops.tanh(x_h + r * h_h)
        h = drop((1 - z) * h + z * candidate, projected, "keep")
        return h, [h]

    def _normalised(self, products, gain, shift):
        """LN of each of the three blocks."""
        blocks = ops.reshape(products, (*ops.shape(products)[:-1], 3, self.units))
        centred = blocks - ops.mean(blocks, axis=-1, keepdims=True)
        variance = ops.mean(centred * centred, axis=-1, keepdims=True)
        normal = centred * ops.rsqrt(variance + EPSILON)
        return ops.reshape(normal, ops.shape(products)) * gain + shift

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "layer_norm": self.layer_norm,
            "dropout": self.dropout,
            "seed": self.seed,
        }
