"""HS-LSTM's cell: an LSTM over the events of a segment inside an LSTM over segments."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.lstm import LSTMCell
from hrec_tf.cells.protocol import dense

BOUNDARIES = ("learned", "supervised", "given")


@keras.saving.register_keras_serializable(package="hrec_tf")
class HSLSTMCell(keras.layers.Layer):
    """One event of HS-LSTM: segments of a user's history, whose ends are actions of a policy.

    With b (0 or 1) whether a segment ended before this event, a whether the event is its user's
    first, and υ a bar that the policy has to pass:

        z = [c^p; h^p; c^w; h^w; x] w_π + b_π;  z' the same by w'_π, b'_π          the policy
        b = (1 - a) 1[z' > υ]
        c^p, h^p <- b LSTM_p(h^w, (c^p, h^p)) + (1 - b) (c^p, h^p)    the ended segment is read
        c^w, h^w <- LSTM_w(x, (1 - b) (c^w, h^w))                     read the item

    υ = 0 acts greedily, π = σ(z') > 1/2; logistic noise draws b from π, since
    P(υ < z') = σ(z'); and -inf or inf says what b is. With boundaries="given" there is no policy,
    and z' = 0. A new user's states are 0. The policy acts by w'_π, b'_π, which `follow` moves
    towards what it learns, w_π and b_π; no gradient of z flows into states or items, unless it
    is "supervised".

    Source: Zhang, Huang and Zhao, AAAI 2018, "Learning structured representation for text
    classification via reinforcement learning"; docs/equations.md F.2. Differs from it, both
    inferred: a segment's end is decided at the event after it, in place of its last, so that x
    may tell how long ago the event before was without looking ahead; and x is in the policy's
    state therefore. Both LSTMs are `LSTMCell`.

    Args:
        lower_units, upper_units: sizes of h^w and h^p.
        boundaries: "learned", "supervised" or "given".
        seed: of initial values.

    Call:
        inputs: (batch, item_dim + 2) floats: x, υ, and a.
        states: `[h^w, c^w, h^p, c^p]`, each (batch, units).
        Returns `([h^p; h^w; z; z'; b], states)`, and with "given" `([h^p; h^w], states)`.
    """

    def __init__(
        self,
        *,
        lower_units: int = 100,
        upper_units: int = 100,
        boundaries: str = "learned",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, size in (("lower_units", lower_units), ("upper_units", upper_units)):
            checks.require_positive_int(name, size, mend="Pass the size of the state, e.g. 100.")
        self.lower_units, self.upper_units, self.seed = lower_units, upper_units, seed
        self.boundaries = checks.require_choice("boundaries", boundaries, BOUNDARIES)
        self.lower_cell = LSTMCell(lower_units, seed=self._seed(0), name="lower")
        self.upper_cell = LSTMCell(upper_units, seed=self._seed(10), name="upper")
        self.state_size = [lower_units, lower_units, upper_units, upper_units]
        self.output_size = upper_units + lower_units + (0 if boundaries == "given" else 3)
        self.policy: list[keras.Variable] = []
        self.acting_policy: list[keras.Variable] = []

    def _seed(self, offset):
        return None if self.seed is None else self.seed + offset

    def build(self, input_shape):
        item_dim = input_shape[-1] - 2
        self.lower_cell.build((None, item_dim))
        self.upper_cell.build((None, self.lower_units))
        if self.boundaries != "given":
            rows = sum(self.state_size) + item_dim
            self.policy = self._linear("policy", rows, trainable=True)
            self.acting_policy = self._linear("acting_policy", rows, trainable=False)
            self.follow(1.0)

    def _linear(self, name, rows, trainable):
        initializer = BlockGlorot(seed=self._seed(20))
        return [
            self.add_weight(
                name=f"{name}_{part}", shape=shape, initializer=values, trainable=trainable
            )
            for part, shape, values in (
                ("kernel", (rows, 1), initializer),
                ("bias", (1,), "zeros"),
            )
        ]

    def follow(self, share: float) -> None:
        """Moves the policy that acts towards the one that learns: Θ' <- Θ' + share (Θ - Θ')."""
        for acting, learning in zip(self.acting_policy, self.policy, strict=True):
            acting.assign_add(share * (learning.value - acting.value))

    @property
    def step_weights(self):
        return [
            *self.lower_cell.step_weights,
            self.upper_cell.kernel,
            self.upper_cell.bias,
            *self.upper_cell.step_weights,
            *self.policy,
            *self.acting_policy,
        ]

    def project(self, inputs, training=False):
        """Returns the lower LSTM's projection, υ, a, and x for the policy."""
        width = inputs.shape[-1]
        x, bar, user_start = ops.split(inputs, [width - 2, width - 1], axis=-1)
        projected = {
            "lower": self.lower_cell.project(x, training=training),
            "bar": bar,
            "user_start": user_start > 0,
        }
        if self.policy:
            projected["x"] = self._seen(x)
        return projected

    def _seen(self, values):
        """What the policy sees of a state or of x: rewards must not change them."""
        return tf.stop_gradient(values) if self.boundaries == "learned" else values

    def step(self, projected, states, dense=dense):
        user_start = projected["user_start"]
        # A lane plays many users; without this the second inherits the first.
        states = [ops.where(user_start, 0.0, state) for state in states]
        h_w, c_w, h_p, c_p = states

        z = acting_z = ops.zeros_like(projected["bar"])
        if self.policy:
            seen = [self._seen(state) for state in (c_p, h_p, c_w, h_w)]
            seen = ops.concatenate([*seen, projected["x"]], axis=-1)
            z, acting_z = dense(seen, *self.policy), dense(seen, *self.acting_policy)
        ends = (acting_z > projected["bar"]) & ~user_start

        read = self.upper_cell.project(h_w, dense=dense)
        _, (new_h, new_c) = self.upper_cell.step(read, [h_p, c_p], dense=dense)
        h_p, c_p = ops.where(ends, new_h, h_p), ops.where(ends, new_c, c_p)
        h_w, c_w = ops.where(ends, 0.0, h_w), ops.where(ends, 0.0, c_w)
        _, (h_w, c_w) = self.lower_cell.step(projected["lower"], [h_w, c_w], dense=dense)

        output = [h_p, h_w]
        if self.policy:
            output += [z, acting_z, ops.cast(ends, z.dtype)]
        return ops.concatenate(output, axis=-1), [h_w, c_w, h_p, c_p]

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs, training=training), states)

    def get_config(self):
        return super().get_config() | {
            "lower_units": self.lower_units,
            "upper_units": self.upper_units,
            "boundaries": self.boundaries,
            "seed": self.seed,
        }
