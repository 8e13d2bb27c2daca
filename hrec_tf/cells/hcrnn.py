"""The hierarchical contexts of HCRNN, one event at a time."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import JointGlorot
from hrec_tf.cells.memory_attention import form_of, memory_energies
from hrec_tf.cells.protocol import dense

VERSIONS = (1, 2, 3)
THETAS = ("whole", "prefix")
SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="hrec_tf")
class HCRNNCell(keras.layers.Layer):
    """One event of HCRNN: a global memory, a local context c, a temporary context h.

        e_k = σ(h W_hα + (θ_k M_k) W_θα) vᵀ;  α = softmax(e)                     (Eq. 13)
        c~  = α M                                                                (Eq. 14)
        G^c = σ(x W_xl + h W_hl + c W_cl + b_l)                                  (Eq. 15)
        c'  = (1 - G^c) ⊙ c + G^c ⊙ c~                                           (Eq. 16)
        z   = σ(x W_xz + h W_hz + c' W_cz + b_z)                                 (Eq. 17)

        version 1:  g = r = σ(x W_xr + h W_hr + c' W_cr + b_r)                   (Eq. 18)
        version 2:  g = r = σ(x W_xr + h W_hr + (x ⊙ c') W_d + b_r)              (Eq. 21)
        version 3:  r = σ(x W_xr + h W_hr + b_r);  G^d = σ((x ⊙ c') W_d + b_d)
                    g = r ⊙ G^d                                             (Eq. 22-24)

        h~  = tanh((g ⊙ h) W_hh + x W_xh + b_h)                             (Eq. 19, 24)
        h'  = (1 - z) ⊙ h + z ⊙ h~                                               (Eq. 20)

    W_d >= 0: the more an item agrees with the context, the more of h is kept. x, c and the rows
    of M have one size D; h has size H. θ weighs the K rows of M for one user; where it comes
    from is `layers.GlobalContext`.

    Source: Song et al., AAAI 2019; docs/equations.md C.3. K = 50 is known from the authors' code
    alone. Differs from it: version 1's reset reads c' as the paper says, where the code reads c
    (`v1_reset_uses_prev`); W_d is projected to W_d >= 0 when it is made, where the code's first
    step meets negative values (`raw_drift_init`).

    Args:
        units: H.
        item_dim: D.
        num_contexts: K.
        version: 1, 2 or 3.
        theta: "whole" if θ is the same at every event of a row, "prefix" if it changes.
        v1_reset_uses_prev: version 1 only.
        raw_drift_init: versions 2 and 3 only.
        gate_bias: initial value of b_z, b_r and b_d; 1 with `zero_init=False` of the code.
        seed: of initial values.

    Call:
        inputs: float (batch, D + K): x, then θ.
        states: `[h (batch, H), c (batch, D)]`.
        Returns `(output (batch, H + D), [h', c'])`, output being h' and c' side by side.
    """

    def __init__(
        self,
        units: int = 100,
        *,
        item_dim: int = 100,
        num_contexts: int = 50,
        version: int = 3,
        theta: str = "whole",
        v1_reset_uses_prev: bool = False,
        raw_drift_init: bool = False,
        gate_bias: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, size in (
            ("units", units),
            ("item_dim", item_dim),
            ("num_contexts", num_contexts),
        ):
            checks.require_positive_int(name, size, mend="Pass a size, e.g. 100.")
        if version not in VERSIONS:
            raise ValueError(
                f"`version` must be 1, 2 or 3, but was {version!r}. Pass 3 for the paper's best."
            )
        checks.require_choice("theta", theta, THETAS)
        _refuse_ignored("v1_reset_uses_prev", v1_reset_uses_prev, version == 1, version)
        _refuse_ignored("raw_drift_init", raw_drift_init, version != 1, version)
        self.units, self.item_dim, self.num_contexts = units, item_dim, num_contexts
        self.version, self.theta, self.seed = version, theta, seed
        self.v1_reset_uses_prev, self.raw_drift_init = v1_reset_uses_prev, raw_drift_init
        self.gate_bias = checks.require_number(
            "gate_bias", gate_bias, mend="Pass 0, or 1 for gates that begin open."
        )
        self.state_size, self.output_size = [units, item_dim], units + item_dim

    def build(self, input_shape=None):
        H, D, K = self.units, self.item_dim, self.num_contexts
        # Blocks stand in the order of the names: l (G^c), z, r, h; α and the first three. But for
        # α, x's and h's rows are drawn as parts of one matrix, as in the code.
        self.x_kernel = self._glorot("x_kernel", D, (D, H, H, H), other_rows=H)
        self.h_kernel = self._glorot("h_kernel", H, (H, D, H, H), other_rows=(0, D, D, D))
        self.candidate_kernel = self._glorot("candidate_kernel", H, (H,), other_rows=D)
        self.bias = self.add_weight(name="bias", shape=(D + 3 * H,), initializer=self._biases)
        self.c_to_context = self._glorot("c_to_context", D, (D,))
        self.c_to_update = self._glorot("c_to_update", D, (H,))
        self.memory = self._glorot("memory", K, (D,))
        self.memory_kernel = self._glorot("memory_kernel", D, (H,))
        # As a row of the code's matrix [1, H].
        self.v = self._glorot("v", 1, (H,))
        self.c_to_reset = self.drift_kernel = self.drift_bias = None
        if self.version == 1:
            self.c_to_reset = self._glorot("c_to_reset", D, (H,))
        else:
            self.drift_kernel = self._glorot("drift_kernel", D, (H,), constraint=AtLeastZero())
            if not self.raw_drift_init:
                self.drift_kernel.assign(self.drift_kernel.constraint(self.drift_kernel))
        if self.version == 3:
            self.drift_bias = self.add_weight(
                name="drift_bias",
                shape=(H,),
                initializer=keras.initializers.Constant(self.gate_bias),
            )

    def _glorot(self, name, rows, blocks, other_rows=0, **options):
        seed = None if self.seed is None else self.seed + len(self.weights)
        return self.add_weight(
            name=name,
            shape=(rows, sum(blocks)),
            initializer=JointGlorot(other_rows=other_rows, widths=blocks, seed=seed),
            **options,
        )

    def _biases(self, shape, dtype=None):
        blocks = ((self.item_dim, 0.0), (2 * self.units, self.gate_bias), (self.units, 0.0))
        return ops.concatenate([ops.full((size,), value, dtype) for size, value in blocks])

    @property
    def step_weights(self):
        weights = [
            self.h_kernel,
            self.candidate_kernel,
            self.c_to_context,
            self.c_to_update,
            self.memory,
            self.c_to_reset,
            self.drift_kernel,
            self.drift_bias,
        ]
        return [weight for weight in weights if weight is not None]

    def project(self, inputs, training=False, dense=dense):
        """Returns x, `x W + b` of all gates, θ, and what the memory's energies are made of."""
        x, theta = ops.split(inputs, [self.item_dim], axis=-1)
        memory = dense(self.memory, self.memory_kernel)
        v = ops.convert_to_tensor(self.v)[0]
        projected = {
            "x": x,
            "gates": dense(x, self.x_kernel, self.bias),
            "theta": theta,
            "constants": {"memory": memory, "v": v},
        }
        if training:
            projected["cached"] = {"form": form_of(theta, memory)}
        return projected

    def step(self, projected, states, dense=dense):
        values = self.values(projected, states, dense)
        h, c = values["h"], values["c"]
        return ops.concatenate([h, c], axis=-1), [h, c]

    def values(self, projected, states, dense=dense):
        """Returns the values of a step by name: alpha, h, c and the gates."""
        h, c = states
        H, D = self.units, self.item_dim
        x, constants = projected["x"], projected["constants"]
        x_l, x_z, x_r, x_h = ops.split(projected["gates"], [D, D + H, D + 2 * H], axis=-1)
        h_alpha, h_l, h_z, h_r = ops.split(dense(h, self.h_kernel), [H, H + D, 2 * H + D], axis=-1)

        e = memory_energies(
            h_alpha,
            projected["theta"],
            constants["memory"],
            constants["v"],
            projected.get("cached", {}).get("form"),
        )
        alpha = tf.nn.softmax(e)  # that of Keras warns where K is 1
        proposed = dense(alpha, self.memory)
        context = ops.sigmoid(x_l + h_l + dense(c, self.c_to_context))
        before, c = c, (1 - context) * c + context * proposed

        z = ops.sigmoid(x_z + h_z + dense(c, self.c_to_update))
        drift = None
        if self.version == 1:
            read = before if self.v1_reset_uses_prev else c
            g = r = ops.sigmoid(x_r + h_r + dense(read, self.c_to_reset))
        elif self.version == 2:
            g = r = ops.sigmoid(x_r + h_r + dense(x * c, self.drift_kernel))
        else:
            r = ops.sigmoid(x_r + h_r)
            drift = ops.sigmoid(dense(x * c, self.drift_kernel, self.drift_bias))
            g = r * drift
        candidate = ops.tanh(dense(g * h, self.candidate_kernel) + x_h)
        h = (1 - z) * h + z * candidate
        gates = {"context": context, "update": z, "reset": r}
        return (
            gates | ({} if drift is None else {"drift": drift}) | {"alpha": alpha, "h": h, "c": c}
        )

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "item_dim": self.item_dim,
            "num_contexts": self.num_contexts,
            "version": self.version,
            "theta": self.theta,
            "v1_reset_uses_prev": self.v1_reset_uses_prev,
            "raw_drift_init": self.raw_drift_init,
            "gate_bias": self.gate_bias,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="hrec_tf")
class AtLeastZero(keras.constraints.Constraint):
    """Keeps every value at 1e-12 or above, as the authors' code does."""

    def __call__(self, w):
        return ops.maximum(w, SMALLEST)


def _refuse_ignored(name: str, is_set: bool, fits: bool, version: int) -> None:
    if is_set and not fits:
        raise ValueError(
            f"`{name}` was True with version={version}, which has no such weight and would "
            "ignore it. Leave it out, or choose another version."
        )
