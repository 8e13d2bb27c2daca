"""What a cell offers beyond Keras' own contract, so that `layers.Recurrence` runs it fast.

A Keras RNN cell has `state_size`, `output_size` and `call(inputs, states, training)`. Ours
split `call` in two:

* `project(inputs, training)` does all that needs no state, for every step at once, and
  returns a dict of tensors (batch, steps, ...);
* `step(projected, states, dense)` does the rest for one step, on tensors (batch, ...). Every
  product with a weight goes through `dense(x, kernel, bias)`, and those weights are listed in
  `step_weights`. `Recurrence` passes its own `dense`, which is how it gathers the factors of
  each weight's gradient and multiplies them once, after the loop.
"""

import keras
import tensorflow as tf
from keras import ops


def dense(x, kernel, bias=None):
    """Returns `x kernel + bias`: (..., inputs) -> (..., outputs)."""
    product = ops.matmul(x, ops.convert_to_tensor(kernel))
    return product if bias is None else product + ops.convert_to_tensor(bias)


def is_projecting(cell: keras.layers.Layer) -> bool:
    """Whether a cell keeps the contract of this module."""
    # Of the class: before it is built, a cell cannot list its weights.
    return all(hasattr(type(cell), name) for name in ("project", "step", "step_weights"))


def keep_mask(like, units: int, rate: float, seed_generator):
    """Draws an inverted-dropout mask (..., units) with the leading axes of `like`.

    A value is 0 with probability `rate`, else `1 / (1 - rate)`. The draw compares random bits:
    `keras.random.uniform` costs fifty times as much under XLA.
    """
    bits = tf.random.stateless_uniform(
        (*ops.shape(like)[:-1], units),
        seed=tf.cast(seed_generator.next(), tf.int64),
        minval=None,
        maxval=None,
        dtype=tf.uint32,
        alg="philox",
    )
    return tf.cast(bits >= round(rate * 2**32), like.dtype) / (1.0 - rate)


def drop(state, projected, name: str):
    """Applies the dropout mask `name`, if one was drawn."""
    return state * projected[name] if name in projected else state
