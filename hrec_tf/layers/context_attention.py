"""Attention by the agreement of two contexts."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense
from hrec_tf.layers.additive_attention import NOT_READ


@keras.saving.register_keras_serializable(package="hrec_tf")
class ContextAttention(keras.layers.Layer):
    """Weighs events by how their context agrees with the query's (Song et al., Eq. 25).

        α_j = softmax_j((c_T W_1) · (c_j W_2) / sqrt(scale));  Σ_j α_j h_j        W_* (D, H)

    Source: Song et al., AAAI 2019; docs/equations.md C.4.

    Args:
        units: H.
        scale: the number under the root: H in the paper, D in the authors' code.
        seed: of initial values.

    Call:
        hidden: h, float (batch, steps, H): what is averaged.
        contexts: c, float (batch, steps, D).
        query: c_T, float (batch, targets, D).
        is_read: bool (batch, targets, steps), the events that each target may attend to.
        Returns `(average (batch, targets, H), weights (batch, targets, steps))`.
    """

    def __init__(self, units: int, *, scale: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int("units", units, mend="Pass a size, e.g. 100.")
        self.scale, self.seed = scale, seed

    def build(self, dim: int):
        for part, name in enumerate(("query_kernel", "context_kernel")):
            seed = None if self.seed is None else self.seed + part
            weight = self.add_weight(
                name=name, shape=(dim, self.units), initializer=BlockGlorot(seed=seed)
            )
            setattr(self, name, weight)

    def call(self, hidden, contexts, query, is_read):
        agreement = tf.matmul(
            dense(query, self.query_kernel), dense(contexts, self.context_kernel), transpose_b=True
        )
        energies = agreement / ops.sqrt(ops.cast(self.scale, agreement.dtype))
        weights = tf.nn.softmax(tf.where(is_read, energies, NOT_READ))
        return tf.matmul(weights, hidden), weights

    def get_config(self):
        return super().get_config() | {"units": self.units, "scale": self.scale, "seed": self.seed}
