"""What a cell offers beyond Keras' own contract, so that `layers.Recurrence` runs it fast.

A Keras RNN cell has `state_size`, `output_size` and `call(inputs, states, training)`. Ours
split `call` in two:

* `project(inputs, training)` does all that needs no state, for every step at once, and
  returns a dict of tensors (batch, steps, ...). Two of its keys may hold dicts of tensors that
  are the same at every step: "constants", through which gradients flow, and "cached", what
  follows from the constants but would cost to be computed at each step; no gradient flows
  through it, so whoever uses it gives the gradient of the constants. A third key, "shortcuts",
  may list cheaper ways to do all steps, each with a condition under which it is exact:
  `[(bool scalar, dict of tensors)]`. `Recurrence` takes the first one whose condition holds, and
  passes its dict to `step` as "shortcut", cut into steps like the rest;
* `step(projected, states, dense)` does the rest for one step, on tensors (batch, ...). Every
  product with a weight goes through `dense(x, kernel, bias)`, and those weights are listed in
  `step_weights`. `Recurrence` passes its own `dense`, which is how it gathers the factors of
  each weight's gradient and multiplies them once, after the loop.
"""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf.schema import PADDING_ID

INITIAL_VALUES = ("block_glorot", "tf1")
"""Rules by which a GRU's or LSTM's weights are drawn; the cells' docstrings have them."""


def dense(x, kernel, bias=None):
    """Returns `x kernel + bias`: (..., inputs) -> (..., outputs)."""
    product = ops.matmul(x, ops.convert_to_tensor(kernel))
    return product if bias is None else product + ops.convert_to_tensor(bias)


def is_projecting(cell: keras.layers.Layer) -> bool:
    """Whether a cell keeps the contract of this module."""
    # Of the class: before it is built, a cell cannot list its weights.
    return all(hasattr(type(cell), name) for name in ("project", "step", "step_weights"))


def rows_of(table, item_ids, dtype):
    """Returns the rows of a cell's item table, ids (..., 1) -> (..., columns).

    Zeros for id 0, whose row no gradient reaches: an event may be read as one of no item.
    """
    rows = tf.cast(tf.gather(table.value, item_ids[..., 0]), dtype)
    return tf.where(item_ids == PADDING_ID, tf.zeros((), dtype), rows)


def keep_mask(like, units: int, rate: float, seed_generator):
    """Draws an inverted-dropout mask (..., units) with the leading axes of `like`.

    A value is 0 with probability `rate`, else `1 / (1 - rate)`.
    """
    kept = _random_bits(like, units, seed_generator) >= tf.constant(round(rate * 2**32), tf.uint32)
    return tf.cast(kept, like.dtype) / (1.0 - rate)


def uniform_draw(like, units: int, seed_generator):
    """Draws numbers (..., units) between 0 and 1, neither of them, with `like`'s leading axes."""
    bits = tf.bitwise.right_shift(
        _random_bits(like, units, seed_generator), tf.constant(9, tf.uint32)
    )
    # 23 bits, and a half: a float32 holds them exactly.
    return tf.cast((tf.cast(bits, tf.float32) + 0.5) / 2**23, like.dtype)


def _random_bits(like, units, seed_generator):
    shape = (*ops.shape(like)[:-1], units)
    position = tf.range(tf.math.reduce_prod(tf.stack(shape)), dtype=tf.int32)
    seed, count = tf.unstack(tf.cast(seed_generator.next(), tf.uint32))
    bits = hash_bits(tf.cast(position, tf.uint32) + hash_bits(count + hash_bits(seed)))
    return tf.reshape(bits, shape)


def hash_bits(x: tf.Tensor) -> tf.Tensor:
    """Scrambles uint32 values: distinct inputs give distinct, random-looking outputs.

    Dropout needs a fair coin per position and no more. TensorFlow's generators make a good
    one too, but under XLA on a CPU they cost more than the rest of a GRU step.

    Source: the 32-bit finalizer "lowbias32" found by C. Wellons (2018, public domain).
    """
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.uint32)))
        x = x * tf.constant(factor, tf.uint32)
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(16, tf.uint32)))


def drop(state, projected, name: str):
    """Applies the dropout mask `name`, if one was drawn."""
    return state * projected[name] if name in projected else state
