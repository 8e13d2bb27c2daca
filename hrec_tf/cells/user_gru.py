"""User-based GRUs: a user's vector inside the gates."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense

INTEGRATIONS = ("linear", "rectified", "attentional")


@keras.saving.register_keras_serializable(package="hrec_tf")
class UserGRUCell(keras.layers.Layer):
    """One event of a GRU that is told whose event it is.

        r  = σ(x W_r + h U_r + u V_r + b_r);  z alike
        ξ  = σ(x W_ξ + h U_ξ + u V_ξ + b_ξ)                       not for "linear"
        h~ = tanh(x W_h + u V_h + (r ⊙ h) U_h + b_h)                       "linear"
             tanh(x W_h + ξ ⊙ (u V_h) + (r ⊙ h) U_h + b_h)                 "rectified"
             tanh((1 - ξ) ⊙ (x W_h) + ξ ⊙ (u V_h) + (r ⊙ h) U_h + b_h)     "attentional"
        h  <- (1 - z) h + z h~

    Source: the three ways to integrate a user of Donkers, Loepp & Ziegler, RecSys 2017,
    doi:10.1145/3109859.3109877; the equations are reconstructed (inferred) from their idea;
    docs/equations.md H.1. "linear" is a GRU on [x; u]; with V = 0 it is `ReferenceGRUCell`.

    Args:
        units: H, size of the state.
        user_dim: D_u, the last features of an event.
        integration: "linear", "rectified" or "attentional".

    Call:
        inputs: (batch, D + D_u), [x; u]. states: `[h (batch, units)]`. Returns `(h, [h])`.
    """

    def __init__(
        self,
        units: int,
        *,
        user_dim: int,
        integration: str = "attentional",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the size of the state, e.g. 100."
        )
        self.user_dim = checks.require_positive_int(
            "user_dim", user_dim, mend="Pass the size of a user's vector, e.g. 50."
        )
        self.integration = checks.require_choice("integration", integration, INTEGRATIONS)
        self.seed = seed
        self.state_size, self.output_size = self.units, self.units

    @property
    def has_user_gate(self) -> bool:
        """Whether there is a ξ."""
        return self.integration != "linear"

    def _kernel(self, name, rows, blocks, offset):
        seed = None if self.seed is None else self.seed + offset
        shape = (rows, blocks * self.units)
        drawn = BlockGlorot(blocks=blocks, seed=seed)
        return self.add_weight(name=name, shape=shape, initializer=drawn)

    def build(self, input_shape):
        # Blocks stand in the order r, z, h, and ξ where there is one.
        blocks = 4 if self.has_user_gate else 3
        self.kernel = self._kernel("kernel", input_shape[-1] - self.user_dim, blocks, 0)
        self.user_kernel = self._kernel("user_kernel", self.user_dim, blocks, 1)
        self.recurrent_gates = self._kernel("recurrent_gates", self.units, blocks - 1, 2)
        self.recurrent_candidate = self._kernel("recurrent_candidate", self.units, 1, 3)
        self.bias = self.add_weight(name="bias", shape=(blocks * self.units,), initializer="zeros")

    @property
    def step_weights(self):
        return [self.recurrent_gates, self.recurrent_candidate]

    def project(self, inputs, training=False):
        """Returns what x, u and b give to the gates, and x W_h, u V_h apart."""
        x, u = ops.split(inputs, [inputs.shape[-1] - self.user_dim], axis=-1)
        from_x, from_u = dense(x, self.kernel), dense(u, self.user_kernel)
        x_r, x_z, x_h, *x_xi = ops.split(from_x, from_x.shape[-1] // self.units, axis=-1)
        u_r, u_z, u_h, *u_xi = ops.split(from_u, from_u.shape[-1] // self.units, axis=-1)
        bias = tf.identity(ops.convert_to_tensor(self.bias))
        b_r, b_z, b_h, *b_xi = ops.split(bias, self.bias.shape[0] // self.units)
        gates = [x_r + u_r + b_r, x_z + u_z + b_z]
        if self.has_user_gate:
            gates.append(x_xi[0] + u_xi[0] + b_xi[0])
        return {
            "gates": ops.concatenate(gates, axis=-1),
            "x": x_h,
            "u": u_h,
            "constants": {"b": b_h},
        }

    def step(self, projected, states, dense=dense):
        (h,) = states
        gates = ops.sigmoid(projected["gates"] + dense(h, self.recurrent_gates))
        r, z, *xi = ops.split(gates, gates.shape[-1] // self.units, axis=-1)
        x, u = projected["x"], projected["u"]
        if self.integration == "rectified":
            u = xi[0] * u
        elif self.integration == "attentional":
            x, u = (1 - xi[0]) * x, xi[0] * u
        recurrent = dense(r * h, self.recurrent_candidate)
        candidate = ops.tanh(x + u + recurrent + projected["constants"]["b"])
        h = (1 - z) * h + z * candidate
        return h, [h]

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "user_dim": self.user_dim,
            "integration": self.integration,
            "seed": self.seed,
        }
