"""Adam, lazy on tables."""

from typing import Any

import keras
import tensorflow as tf

from hrec_tf.checks import require_number
from hrec_tf.optimizers.row_sparse import RowSparseOptimizer


@keras.saving.register_keras_serializable(package="hrec_tf")
class LazyAdam(RowSparseOptimizer):
    """Adam whose step on a table does not grow with the catalogue.

    For a parameter p with gradient g at step t = 1, 2, …; m and v start at 0:

        m  = β1 m + (1 - β1) g
        v  = β2 v + (1 - β2) g^2
        p -= lr √(1 - β2^t) / (1 - β1^t) · m / (√v + ε)

    Parameters with a dense gradient move as by `keras.optimizers.Adam`. Tables (parameters whose
    gradient comes as `tf.IndexedSlices`) are updated lazily: m and v of rows that the batch does
    not touch neither decay nor move them, as a dense update would have it, and t counts all steps,
    not those of a row. With every row in every batch the two are equal. The gradients of a row
    that occurs several times are summed first.

    `RowSparseOptimizer` says what is refused, and what clipping acts on.

    Source: Kingma & Ba, ICLR 2015, arXiv:1412.6980, in the order of its section 2's last
    paragraph, as Keras has it; lazy rows as in TensorFlow's `LazyAdamOptimizer`.

    Args:
        learning_rate: lr; a float or a Keras schedule.
        beta_1, beta_2: β1 and β2, in [0, 1).
        epsilon: ε, above 0.
        **kwargs: the rest of `keras.optimizers.Optimizer`'s options, at their defaults.

    Example:
        >>> weights = keras.Variable([1.0, 1.0])
        >>> LazyAdam(0.1).apply([tf.constant([2.0, -4.0])], [weights])
        >>> [round(float(w), 4) for w in weights.numpy()]  # a first step is lr long
        [0.9, 1.1]
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ):
        for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            mend = "Leave it out for Adam's own."
            if require_number(name, beta, minimum=0.0, mend=mend) >= 1:
                raise ValueError(
                    f"`{name}` was {beta}, but must be below 1, or no gradient counts. {mend}"
                )
        if require_number("epsilon", epsilon, minimum=0.0, mend="Pass e.g. 1e-7.") == 0:
            raise ValueError(
                "`epsilon` was 0, but must be above it, or a gradient of 0 gives 0 / 0. "
                "Pass e.g. 1e-7."
            )
        super().__init__(learning_rate, example=0.001, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = float(beta_1), float(beta_2), float(epsilon)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("momentum", "velocity")

    def move(self, gradient, slots, learning_rate):
        t = tf.cast(self.iterations.value + 1, gradient.dtype)
        m = self.beta_1 * slots[0] + (1.0 - self.beta_1) * gradient
        v = self.beta_2 * slots[1] + (1.0 - self.beta_2) * tf.square(gradient)
        unbiased = tf.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        return -learning_rate * unbiased * m / (tf.sqrt(v) + self.epsilon), [m, v]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return super().get_config() | config
