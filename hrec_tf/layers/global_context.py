"""Which of the global contexts a user's items speak for: θ, by an amortised variational network."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense
from hrec_tf.layers.dropout import Dropout
from hrec_tf.precision import at_least_float32

STDS = ("softplus", "exp")
SMALLEST_STD = 1e-6


@keras.saving.register_keras_serializable(package="hrec_tf")
class GlobalContext(keras.layers.Layer):
    """Shares θ of K global contexts in a bag of items (models of topics, logistic normal).

        u  = drop(Σ of the vectors of the items in the bag, repeated items once)
        f  = elu(u W_f + b_f)
        μ  = f W_q1 + b_q1;  s = softplus(f W_q2 + b_q2) + 1e-6  [std="exp": exp(f W_q2 + b_q2)]
        θ~ = μ + s ⊙ ε, ε ~ N(0, 1) in training, else μ;         θ = softmax(θ~)
        KL = ½ Σ_k (μ² + s² - log(s² + 1e-8) - 1), to the prior N(0, 1)

    Source: Song et al., AAAI 2019, Eq. 33-36; docs/equations.md C.2. The paper's network
    predicts log σ (std="exp"); f, the bag and the softplus are known from the authors' code.

    Args:
        num_contexts: K.
        dim: D, size of the items' vectors and of f.
        std: "softplus" or "exp".
        dropout: rate of drop.
        seed: of initial values, dropout and ε.

    Call:
        bags: float (..., D), see `bag_of_items`.
        Returns `(θ (..., K), KL (...))`.
    """

    def __init__(
        self,
        num_contexts: int = 50,
        *,
        dim: int = 100,
        std: str = "softplus",
        dropout: float = 0.25,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_contexts = checks.require_positive_int(
            "num_contexts", num_contexts, mend="Pass how many contexts there are, e.g. 50."
        )
        self.dim = checks.require_positive_int("dim", dim, mend="Pass the vectors' size, e.g. 100.")
        self.std = checks.require_choice("std", std, STDS)
        self.dropout, self.seed = checks.require_rate("dropout", dropout), seed
        self.drop = Dropout(dropout, seed=self._seed(10))
        self.seed_generator = keras.random.SeedGenerator(self._seed(11))

    def _seed(self, offset):
        return None if self.seed is None else self.seed + offset

    def build(self, input_shape=None):
        D, K = self.dim, self.num_contexts
        for part, (name, columns) in enumerate((("f", D), ("mean", K), ("std", K))):
            kernel = self.add_weight(
                name=f"{name}_kernel",
                shape=(D, columns),
                initializer=BlockGlorot(seed=self._seed(part)),
            )
            bias = self.add_weight(name=f"{name}_bias", shape=(columns,), initializer="zeros")
            setattr(self, f"{name}_kernel", kernel)
            setattr(self, f"{name}_bias", bias)

    def call(self, bags, training=False):
        f = ops.elu(dense(self.drop(bags, training=training), self.f_kernel, self.f_bias))
        mean = at_least_float32(dense(f, self.mean_kernel, self.mean_bias))
        std = at_least_float32(dense(f, self.std_kernel, self.std_bias))
        std = ops.exp(std) if self.std == "exp" else ops.softplus(std) + SMALLEST_STD
        variance = ops.square(std)
        kl = 0.5 * ops.sum(ops.square(mean) + variance - ops.log(variance + 1e-8) - 1, axis=-1)
        drawn = mean
        if training:
            noise = keras.random.normal(
                ops.shape(mean), dtype=mean.dtype.name, seed=self.seed_generator
            )
            drawn = mean + std * noise
        return tf.cast(tf.nn.softmax(drawn), bags.dtype), kl

    def get_config(self):
        return super().get_config() | {
            "num_contexts": self.num_contexts,
            "dim": self.dim,
            "std": self.std,
            "dropout": self.dropout,
            "seed": self.seed,
        }


def first_occurrences(item_ids: tf.Tensor, is_read: tf.Tensor) -> tf.Tensor:
    """Returns bool (batch, steps), true at read events whose item is not in the row before them.

    Example:
        >>> ids = tf.constant([[4, 7, 4, 0]])
        >>> first_occurrences(ids, ids > 0).numpy().tolist()
        [[True, True, False, False]]
    """
    steps = tf.range(tf.shape(item_ids)[1])
    is_earlier = steps[None, :] < steps[:, None]
    is_equal = item_ids[:, :, None] == item_ids[:, None, :]
    return is_read & ~tf.reduce_any(is_equal & is_earlier, axis=2)


def bag_of_items(
    item_ids: tf.Tensor, vectors: tf.Tensor, is_read: tf.Tensor, *, per_step: bool
) -> tf.Tensor:
    """Sums the vectors of the items in each row, repeated items once.

    Args:
        item_ids: int (batch, steps).
        vectors: float (batch, steps, D), of the items.
        is_read: bool (batch, steps).
        per_step: a bag for every step, of the events up to it; else one of all that are read.

    Returns:
        Float (batch, steps, D), or (batch, D).
    """
    is_first = first_occurrences(item_ids, is_read)
    counted = tf.where(is_first[:, :, None], vectors, tf.zeros_like(vectors))
    return tf.cumsum(counted, axis=1) if per_step else tf.reduce_sum(counted, axis=1)
