"""AdaGrad with classical momentum, lazy on tables."""

from typing import Any

import keras
import tensorflow as tf

from hrec_tf.checks import require_number
from hrec_tf.optimizers.row_sparse import RowSparseOptimizer


@keras.saving.register_keras_serializable(package="hrec_tf")
class AdagradMomentum(RowSparseOptimizer):
    """AdaGrad with momentum, as GRU4Rec and HRNN train with it.

    For a parameter p with gradient g; acc and v start at 0:

        acc += g^2
        step = lr * g / sqrt(acc + 1e-6)
        v    = mu * v - step         (only if mu > 0)
        p   += v                     (p -= step when mu = 0)

    The momentum is the classical one, whatever the docstrings of its sources say. It differs
    from `keras.optimizers.Adagrad`, whose accumulator starts at 0.1 and which has no momentum.

    Tables (parameters whose gradient comes as `tf.IndexedSlices`, as that of `tf.gather` does)
    are updated lazily: only rows in the batch are read and written, and v of the others neither
    decays nor moves them, so a step costs the same for any catalogue. For mu = 0 that equals a
    dense update; for mu > 0 a dense one would keep moving rows that the batch did not touch.
    The gradients of a row that occurs several times (in one look-up, or as input and as target)
    are summed first, g = Σ g_i, as in the official PyTorch code. Not built: the Theano code
    (acc takes the last g_i^2, all increments are added) and the official TensorFlow code (acc
    takes Σ g_i^2, each g_i then makes a step of its own).

    A row whose gradient has always been 0 stays where it is, also when it is in the batch: so
    stays the padding row 0 of a table, whose gradient the layers keep at 0.

    `RowSparseOptimizer` says what is refused, and what clipping acts on.

    Source: `docs/equations.md` 0.5, after the authors' code (hgru4rec, GRU4Rec); AdaGrad: Duchi
    et al., JMLR 2011.

    Args:
        learning_rate: lr; a float or a Keras schedule.
        momentum: mu, in [0, 1).
        epsilon: the 1e-6 under the root.
        clipnorm: see `keras.optimizers.Optimizer`; likewise `clipvalue`, `global_clipnorm`
            and `name`.
        **kwargs: the rest of `keras.optimizers.Optimizer`'s options, at their defaults.

    Example:
        >>> weights = keras.Variable([1.0, 1.0])
        >>> AdagradMomentum(0.1).apply([tf.constant([2.0, -4.0])], [weights])
        >>> [round(float(w), 4) for w in weights.numpy()]  # 1 - 0.1 * 2 / 2, 1 + 0.1 * 4 / 4
        [0.9, 1.1]
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        *,
        momentum: float = 0.0,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ):
        mend = "Pass 0.0 for none, e.g. 0.2."
        momentum = require_number("momentum", momentum, minimum=0.0, mend=mend)
        if momentum >= 1:
            raise ValueError(
                f"`momentum` was {momentum}, but must be below 1, or v would never decay. {mend}"
            )
        mend = "Pass the papers' 1e-6."
        epsilon = require_number("epsilon", epsilon, minimum=0.0, mend=mend)
        if epsilon == 0:
            raise ValueError(
                f"`epsilon` was 0, but must be above it, or a gradient of 0 gives 0 / 0. {mend}"
            )
        super().__init__(learning_rate, example=0.1, **kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("accumulator", "velocity") if self.momentum else ("accumulator",)

    def move(self, gradient, slots, learning_rate):
        acc = slots[0] + tf.square(gradient)
        step = learning_rate * gradient / tf.sqrt(acc + self.epsilon)
        if not self.momentum:
            return -step, [acc]
        v = self.momentum * slots[1] - step
        return v, [acc, v]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"momentum": self.momentum, "epsilon": self.epsilon}
