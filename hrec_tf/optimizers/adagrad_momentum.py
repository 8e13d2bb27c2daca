"""AdaGrad with classical momentum, lazy on tables."""

from typing import Any

import keras
import tensorflow as tf

from hrec_tf.checks import require_number
from hrec_tf.optimizers.sparse_rows import RowMerger

EVERY_ROW = "it would read or write every row of every table at each step"
REFUSED_OPTIONS = {
    "weight_decay": (EVERY_ROW, "Add an L2 term of the looked-up rows to the loss instead."),
    "use_ema": (EVERY_ROW, "Average the weights of several checkpoints instead."),
    "gradient_accumulation_steps": (EVERY_ROW, "Use more lanes per batch instead."),
    "loss_scale_factor": (
        "Keras cannot divide row-sparse gradients by it",
        "Wrap the optimizer in keras.optimizers.LossScaleOptimizer instead.",
    ),
}


@keras.saving.register_keras_serializable(package="hrec_tf")
class AdagradMomentum(keras.optimizers.Optimizer):
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

    `clipnorm`, `global_clipnorm` and `clipvalue` act on the summed gradients. Options that act
    on whole tables at every step are refused: `weight_decay`, `use_ema`,
    `gradient_accumulation_steps`. So is `loss_scale_factor`, which Keras cannot apply to rows;
    `keras.optimizers.LossScaleOptimizer` around this optimizer can.

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
        for option, (trouble, cure) in REFUSED_OPTIONS.items():
            if kwargs.get(option):
                raise ValueError(
                    f"`{option}` was {kwargs[option]!r}, but {trouble}, and AdagradMomentum "
                    f"updates the rows of a batch alone. {cure}"
                )
        if isinstance(learning_rate, int | float):
            learning_rate = require_number(
                "learning_rate", learning_rate, minimum=0.0, mend="Pass e.g. 0.1, or a schedule."
            )
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
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, variables: list[Any]) -> None:
        """Makes acc, v (if mu > 0) and the scratch tables for `variables`."""
        if self.built:
            return
        super().build(variables)
        self._accumulators = self.add_optimizer_variables(variables, "accumulator")
        if self.momentum:
            self._velocities = self.add_optimizer_variables(variables, "velocity")
        self._mergers = [
            RowMerger(variable.shape[0]) if len(variable.shape) else None for variable in variables
        ]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates the variables by their gradients, dense tensors or `tf.IndexedSlices`."""
        if self.clipnorm or self.global_clipnorm or self.clipvalue:
            if not self.built:
                self.build(list(trainable_variables))
            variables = trainable_variables or self._trainable_variables
            grads = self._clip([*map(self._without_repeats, grads, variables)])
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One update of one variable, lazy where the gradient is row-sparse."""
        index = self._get_variable_index(variable)
        acc = self._accumulators[index].value
        v = self._velocities[index].value if self.momentum else None
        lr, gradient = tf.cast(learning_rate, variable.dtype), tf.cast(gradient, variable.dtype)

        if not isinstance(gradient, tf.IndexedSlices):
            acc.assign_add(tf.square(gradient))
            step = lr * gradient / tf.sqrt(acc + self.epsilon)
            if v is None:
                variable.assign_sub(step)
            else:
                move = self.momentum * v - step
                v.assign(move)
                variable.assign_add(move)
            return

        # All slots of a row hold the same sum, so they all write the same new row.
        merged, _ = self._mergers[index].merge(gradient)
        rows = merged.indices
        acc_rows = tf.gather(acc, rows) + tf.square(merged.values)
        acc.scatter_update(tf.IndexedSlices(acc_rows, rows))
        move = -lr * merged.values / tf.sqrt(acc_rows + self.epsilon)
        if v is not None:
            move += self.momentum * tf.gather(v, rows)
            v.scatter_update(tf.IndexedSlices(move, rows))
        variable.scatter_update(tf.IndexedSlices(tf.gather(variable, rows) + move, rows))

    def _without_repeats(self, gradient: Any, variable: Any) -> Any:
        """The same gradient with each row's sum in one slot and 0 in its other slots."""
        if not isinstance(gradient, tf.IndexedSlices):
            return gradient
        merged, speaks = self._mergers[self._get_variable_index(variable)].merge(gradient)
        speaks = tf.reshape(speaks, [-1] + [1] * (len(merged.values.shape) - 1))
        values = tf.where(speaks, merged.values, 0.0)
        return tf.IndexedSlices(values, merged.indices, merged.dense_shape)

    def _clip(self, grads: list[Any]) -> list[Any]:
        if self.global_clipnorm:
            return tf.clip_by_global_norm(grads, self.global_clipnorm)[0]
        if self.clipnorm:
            return [g if g is None else tf.clip_by_norm(g, self.clipnorm) for g in grads]
        low, high = -self.clipvalue, self.clipvalue
        return [g if g is None else tf.clip_by_value(g, low, high) for g in grads]

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        # Keras' own clipping, replaced by `apply`: it counts the repeats of a row one by one,
        # and for the global norm it turns rows into a whole table, which momentum would move.
        return grads

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"momentum": self.momentum, "epsilon": self.epsilon}
