"""An optimizer whose step on a table costs what the batch touches."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from hrec_tf.checks import require_number
from hrec_tf.optimizers.sparse_rows import RowMerger

EVERY_ROW = "it would read or write every row of every table at each step"
REFUSED_OPTIONS = {
    "weight_decay": (EVERY_ROW, "Add an L2 term of the looked-up rows to the loss instead."),
    "use_ema": (EVERY_ROW, "Pass hrec_tf.training.WeightAveraging to `fit` instead."),
    "gradient_accumulation_steps": (EVERY_ROW, "Use more lanes per batch instead."),
    "loss_scale_factor": (
        "Keras cannot divide row-sparse gradients by it",
        "Wrap the optimizer in keras.optimizers.LossScaleOptimizer instead.",
    ),
}


class RowSparseOptimizer(keras.optimizers.Optimizer):
    """Updates tables lazily, row by row, and other parameters whole, by one equation.

    A subclass names its slots, what it keeps beside each parameter, all of them 0 at first, and
    implements

        move(gradient, slots, learning_rate) -> (what is added to the parameter, new slots)

    on arrays of one shape: a whole parameter, or the rows that a batch touches. Tables are the
    parameters whose gradient comes as `tf.IndexedSlices`, as that of `tf.gather` does: only rows in
    the batch are read and written, so a step costs the same for any catalogue. The gradients of a
    row that occurs several times (in one look-up, or as input and as target) are summed first.

    `clipnorm`, `global_clipnorm` and `clipvalue` act on the summed gradients. Options that act
    on whole tables at every step are refused: `weight_decay`, `use_ema`,
    `gradient_accumulation_steps`. So is `loss_scale_factor`, which Keras cannot apply to rows;
    `keras.optimizers.LossScaleOptimizer` around this optimizer can.

    Args:
        learning_rate: a float or a Keras schedule.
        example: a usual learning rate, for messages.
        **kwargs: the rest of `keras.optimizers.Optimizer`'s options, at their defaults.
    """

    def __init__(self, learning_rate: Any, *, example: float, **kwargs: Any):
        for option, (trouble, cure) in REFUSED_OPTIONS.items():
            if kwargs.get(option):
                raise ValueError(
                    f"`{option}` was {kwargs[option]!r}, but {trouble}, and "
                    f"{type(self).__name__} updates the rows of a batch alone. {cure}"
                )
        if isinstance(learning_rate, int | float):
            learning_rate = require_number(
                "learning_rate",
                learning_rate,
                minimum=0.0,
                mend=f"Pass e.g. {example}, or a schedule.",
            )
        super().__init__(learning_rate=learning_rate, **kwargs)

    @property
    def slot_names(self) -> tuple[str, ...]:
        """What is kept beside each parameter."""
        raise NotImplementedError

    def move(
        self, gradient: tf.Tensor, slots: Sequence[tf.Tensor], learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The equation: what is added to the parameter, and the slots after it."""
        raise NotImplementedError

    def build(self, variables: list[Any]) -> None:
        """Makes the slots and the scratch tables for `variables`."""
        if self.built:
            return
        super().build(variables)
        self._slots = [self.add_optimizer_variables(variables, name) for name in self.slot_names]
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
        slots = [slot[index].value for slot in self._slots]
        lr, gradient = tf.cast(learning_rate, variable.dtype), tf.cast(gradient, variable.dtype)

        if not isinstance(gradient, tf.IndexedSlices):
            move, new = self.move(gradient, slots, lr)
            for slot, values in zip(slots, new, strict=True):
                slot.assign(values)
            variable.assign_add(move)
            return

        # All places of a row hold the same sum, so they all write the same new row.
        merged, _ = self._mergers[index].merge(gradient)
        rows = merged.indices
        move, new = self.move(merged.values, [tf.gather(slot, rows) for slot in slots], lr)
        for slot, values in zip(slots, new, strict=True):
            slot.scatter_update(tf.IndexedSlices(values, rows))
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
