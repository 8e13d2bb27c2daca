"""Attention by a sum of two projections: what of a history matters to a query."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense

NORMALISERS = ("masked_softmax", "none")
# Far below any score, yet finite: a target without a single event gives no NaN.
NOT_READ = -1e30


@keras.saving.register_keras_serializable(package="hrec_tf")
class AdditiveAttention(keras.layers.Layer):
    """Averages the events that a target knows of, weighed by how they go with its query q.

        e_j = σ(q A_1 + h_j A_2 [+ b]) vᵀ
        w_j = softmax_j(e_j), or e_j itself       over the events that are read; 0 elsewhere
        a   = Σ_j w_j h_j

    normalise:

    * "masked_softmax": the softmax over the events that are read. [C: gtshs2/HCRNN] The
      authors of NARM take the softmax over all steps, the scores of padding set to 0, then set
      their weights to 0 and divide by the sum: the same weights. [C: lijingsdu/sessionRec_NARM]
    * "none": w_j = e_j, as NARM's paper [R] and STAMP have it.

    Source: Li et al., CIKM 2017, arXiv:1711.04725, Eq. 7 and 8; docs/equations.md G.8.

    Args:
        units: width of A_1, A_2 and v.
        normalise: "masked_softmax" or "none".
        use_bias: whether there is b.
        stddev: weights begin from N(0, stddev²); by Glorot's rule if None.
        seed: of the initial values.

    Call:
        hidden: h, float (batch, steps, features).
        query: q, float (batch, targets, query_features).
        is_read: bool (batch, targets, steps).
        Returns `(context (batch, targets, features), weights (batch, targets, steps))`.
    """

    def __init__(
        self,
        units: int,
        *,
        normalise: str = "masked_softmax",
        use_bias: bool = False,
        stddev: float | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the width of the projections, e.g. 100."
        )
        self.normalise = checks.require_choice("normalise", normalise, NORMALISERS)
        self.stddev = checks.require_stddev("stddev", stddev)
        self.use_bias, self.seed = use_bias, seed

    def build(self, hidden_shape, query_shape):
        rows = {"query_kernel": query_shape[-1], "hidden_kernel": hidden_shape[-1]}
        for offset, (name, size) in enumerate(rows.items()):
            setattr(self, name, self._add(name, (size, self.units), offset))
        self.scorer = self._add("scorer", (self.units, 1), 2)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def _add(self, name, shape, offset):
        seed = None if self.seed is None else self.seed + offset
        initializer = BlockGlorot(seed=seed)
        if self.stddev is not None:
            initializer = keras.initializers.RandomNormal(stddev=self.stddev, seed=seed)
        return self.add_weight(name=name, shape=shape, initializer=initializer)

    def call(self, hidden, query, is_read):
        of_query = dense(query, self.query_kernel, self.bias)
        of_hidden = dense(hidden, self.hidden_kernel)
        # (batch, targets, 1, units) beside (batch, 1, steps, units).
        together = ops.sigmoid(of_query[:, :, None] + of_hidden[:, None])
        scores = dense(together, self.scorer)[..., 0]
        if self.normalise == "masked_softmax":
            scores = tf.nn.softmax(tf.where(is_read, scores, NOT_READ))
        weights = tf.where(is_read, scores, 0.0)
        return tf.matmul(weights, hidden), weights

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "normalise": self.normalise,
            "use_bias": self.use_bias,
            "stddev": self.stddev,
            "seed": self.seed,
        }
