"""The simple recurrent network, one event at a time."""

import keras
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense


@keras.saving.register_keras_serializable(package="hrec_tf")
class ElmanCell(keras.layers.Layer):
    """One event of a network without gates.

        h' = tanh(x W + h U + b)

    Source: Elman, Cognitive Science 1990; initial values as of `ReferenceGRUCell` (our choice).

    Args:
        units: H, size of the state.

    Call:
        inputs: (batch, features). states: `[h (batch, units)]`. Returns `(h', [h'])`.
    """

    def __init__(self, units: int, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the size of the state, e.g. 100."
        )
        self.seed = seed
        self.state_size, self.output_size = self.units, self.units

    def build(self, input_shape):
        for name, rows, offset in (("kernel", input_shape[-1], 0), ("recurrent", self.units, 1)):
            drawn = BlockGlorot(seed=None if self.seed is None else self.seed + offset)
            shape = (rows, self.units)
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=drawn))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    @property
    def step_weights(self):
        return [self.recurrent]

    def project(self, inputs, training=False):
        return {"x": dense(inputs, self.kernel, self.bias)}

    def step(self, projected, states, dense=dense):
        (h,) = states
        h = ops.tanh(projected["x"] + dense(h, self.recurrent))
        return h, [h]

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {"units": self.units, "seed": self.seed}
