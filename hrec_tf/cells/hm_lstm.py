"""HM-LSTM's cell: layers of LSTM that learn where the segments of their input end."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import JointGlorot
from hrec_tf.cells.protocol import dense, uniform_draw

BOUNDARIES = ("learned", "given")
ESTIMATORS = ("threshold", "bernoulli", "gumbel")


@keras.saving.register_keras_serializable(package="hrec_tf")
class HMLSTMCell(keras.layers.Layer):
    """One event of L layers; layer l reads a segment of layer l - 1 when that has ended.

    With v^1 = x, v^l = h^{l-1} before this event, r^1 = 1, and a the slope, from the bottom up

        [s^l, ζ^l] = h^l U^l + v^l W^l + b^l
        z~^l = hardsig(ζ^l) = clip((a ζ^l + 1) / 2, 0, 1)
        z^l  = r^l 1[z~^l > 0.5]         a segment of layer l ended before what it reads now
        r^{l+1} = z^l                    which is what layer l + 1 reads

    and from the top down, with h'^{l+1} new and z^L = 0

        f, i, o, g = σ, σ, σ, tanh of s^l + z^l h'^{l+1} V^l
        c'^l = (1 - r) c + r ((1 - z) f c + i g)         COPY: r = 0; UPDATE: z = 0; FLUSH: z = 1
        h'^l = (1 - r) h + r o tanh(c'^l)

    Backward, z passes its gradient to z~ (straight-through). No segment ends at a user's first
    event, where the states are to be 0.

    Source: Chung, Ahn & Bengio, "Hierarchical Multiscale Recurrent Neural Networks",
    arXiv:1609.01704; docs/equations.md F.1. Inferred: that a segment ended is decided at the
    event after it, which may tell by its gap or its session; so ζ reads no layer above, and a
    layer above reads the segment one event later, with nothing else changed for two layers. With
    more, a layer whose segment ended is flushed when it reads next, not before.

    Args:
        units: H, size of every c and h.
        num_layers: L; with 1 it is an LSTM.
        boundaries: "learned", or "given": z^1 is the start of a session.
        estimator: of z in training: "threshold" as above; "bernoulli", z ~ Bernoulli(z~);
            "gumbel", the threshold of z~ = σ(a (ζ + n)), n logistic (the binary Gumbel-softmax).
            Without training it is the threshold.

    Call:
        inputs: (batch, features + 2) floats: x, then whether a session and whether a user starts.
        states: `[c^1, h^1, ..., c^L, h^L]`, each (batch, units).
        Returns `([h^1; ...; h^L; ζ^1; ...; ζ^{L-1}; z^1; ...; z^{L-1}], states)`.
    """

    def __init__(
        self,
        units: int,
        *,
        num_layers: int = 2,
        boundaries: str = "learned",
        estimator: str = "threshold",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the size of a state, e.g. 100."
        )
        self.num_layers = checks.require_positive_int(
            "num_layers", num_layers, mend="Pass the number of layers, e.g. 2."
        )
        self.boundaries = checks.require_choice("boundaries", boundaries, BOUNDARIES)
        self.estimator = checks.require_choice("estimator", estimator, ESTIMATORS)
        if num_layers == 1 and boundaries == "given":
            raise ValueError(
                "`boundaries` was 'given' with num_layers=1, where no segment is looked for. "
                "Leave it out, or pass num_layers=2."
            )
        if not self.learns_boundaries and estimator != "threshold":
            raise ValueError(
                f"`estimator` was {estimator!r} with num_layers={num_layers} and "
                f"boundaries={boundaries!r}, where no boundary is learned. Leave it out."
            )
        self.seed = seed
        self.state_size = [units] * (2 * num_layers)
        self.output_size = num_layers * units + 2 * (num_layers - 1)
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def learns_boundaries(self) -> bool:
        """Whether any z is the cell's own."""
        return self.num_layers > (2 if self.boundaries == "given" else 1)

    def _kernel(self, name, rows, layer, *, with_boundary=True):
        """Draws gates f, i, o, g and ζ side by side, every block by itself."""
        widths = (self.units,) * 4 + (1,) * (with_boundary and layer < self.num_layers - 1)
        seed = None if self.seed is None else self.seed + len(self.weights)
        return self.add_weight(
            name=f"{name}_{layer + 1}",
            shape=(rows, sum(widths)),
            initializer=JointGlorot(other_rows=0, widths=widths, seed=seed),
        )

    def build(self, input_shape):
        self.kernels, self.recurrent_kernels, self.biases, self.top_kernels = [], [], [], []
        for layer in range(self.num_layers):
            rows = self.units if layer else input_shape[-1] - 2
            self.kernels.append(self._kernel("kernel", rows, layer))
            self.recurrent_kernels.append(self._kernel("recurrent_kernel", self.units, layer))
            width = self.kernels[-1].shape[1]
            self.biases.append(
                self.add_weight(name=f"bias_{layer + 1}", shape=(width,), initializer="zeros")
            )
            if layer < self.num_layers - 1:
                self.top_kernels.append(
                    self._kernel("top_kernel", self.units, layer, with_boundary=False)
                )
        self.slope = self.add_weight(name="slope", shape=(), initializer="ones", trainable=False)

    @property
    def step_weights(self):
        return [*self.recurrent_kernels, *self.top_kernels, *self.kernels[1:], *self.biases[1:]]

    def project(self, inputs, training=False):
        """Returns `x W + b` of layer 1, whether a segment may end, the slope, and draws."""
        features = inputs.shape[-1] - 2
        x, session_start, user_start = ops.split(inputs, [features, features + 1], axis=-1)
        projected = {
            "first": dense(x, self.kernels[0], self.biases[0]),
            "may_end": 1.0 - user_start,
            "constants": {"slope": tf.identity(ops.convert_to_tensor(self.slope))},
        }
        if self.boundaries == "given":
            projected["session_start"] = session_start
        if training and self.estimator != "threshold":
            projected["draws"] = uniform_draw(x, self.num_layers - 1, self.seed_generator)
        return projected

    def _ends(self, zeta, layer, projected):
        """Returns z of a layer that reads, 0 or 1, whose gradient is that of z~."""
        slope = projected["constants"]["slope"]
        if "draws" in projected:
            u = projected["draws"][:, layer : layer + 1]
        if "draws" in projected and self.estimator == "gumbel":
            soft, least = ops.sigmoid(slope * (zeta + ops.log(u) - ops.log(1.0 - u))), 0.5
        else:
            soft = self.hard_sigmoid(zeta, slope)
            least = u if "draws" in projected else 0.5
        hard = ops.cast(soft > least, soft.dtype)
        return hard + (soft - ops.stop_gradient(soft))

    @staticmethod
    def hard_sigmoid(zeta, slope):
        """Returns clip((a ζ + 1) / 2, 0, 1)."""
        return ops.clip((slope * zeta + 1.0) / 2.0, 0.0, 1.0)

    def step(self, projected, states, dense=dense):
        c, h = states[::2], states[1::2]
        r, seen = ops.ones_like(projected["may_end"]), []
        for layer in range(self.num_layers):
            s = dense(h[layer], self.recurrent_kernels[layer])
            if layer == 0:
                s = s + projected["first"]
            else:
                s = s + dense(h[layer - 1], self.kernels[layer], self.biases[layer])
            zeta, z = None, ops.zeros_like(r)
            if layer < self.num_layers - 1:
                s, zeta = ops.split(s, [4 * self.units], axis=-1)
                given = layer == 0 and self.boundaries == "given"
                z = projected["session_start"] if given else self._ends(zeta, layer, projected)
                z = r * z * projected["may_end"]
            seen.append((s, zeta, r, z))
            r = z

        above: Any = None
        new: list[Any] = []
        for layer in reversed(range(self.num_layers)):
            s, _, r, z = seen[layer]
            if above is not None:
                s = s + z * dense(above, self.top_kernels[layer])
            f, i, o, g = ops.split(s, 4, axis=-1)
            kept = (1.0 - z) * ops.sigmoid(f) * c[layer]
            read = kept + ops.sigmoid(i) * ops.tanh(g)
            c_new = (1.0 - r) * c[layer] + r * read
            above = (1.0 - r) * h[layer] + r * ops.sigmoid(o) * ops.tanh(c_new)
            new = [c_new, above, *new]
        zetas, ends = ([part[place] for part in seen[:-1]] for place in (1, 3))
        return ops.concatenate([*new[1::2], *zetas, *ends], axis=-1), new

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "num_layers": self.num_layers,
            "boundaries": self.boundaries,
            "estimator": self.estimator,
            "seed": self.seed,
        }
