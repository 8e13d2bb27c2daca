"""The seal of a state: a hash over all of it, by which a changed one is known."""

import tensorflow as tf

NUMBER = 3
"""The column of `state_info` that holds the model's number, and on the way the seal in its place.
It is 0 of a user of whom nothing is known, and only of such a one."""


def seal_of(state: tf.Tensor, state_info: tf.Tensor, model_number: int) -> tf.Tensor:
    """Returns int64 (batch,), which another state, count, time or model has not.

    It tells what was damaged on the way or edited; it is no signature against those who have the
    artefact, and with it the model's number.

    Args:
        state: float32 (batch, state_size).
        state_info: int64 (batch, info_size), whatever stands in the place of the seal.
        model_number: of the artefact.
    """
    batch = tf.shape(state)[0]
    number = tf.fill([batch, 1], tf.constant(model_number, tf.int64))
    info = tf.concat([state_info[:, :NUMBER], number, state_info[:, NUMBER + 1 :]], axis=1)
    parts = [
        tf.reshape(tf.bitcast(part, tf.uint8), [batch, part.shape[1] * part.dtype.size])
        for part in (state, info)
    ]
    hashed = tf.raw_ops.Fingerprint(data=tf.concat(parts, axis=1), method="farmhash64")
    # 0 is that nobody is known.
    return tf.maximum(tf.abs(tf.bitcast(hashed, tf.int64)), 1)


def sealed(state: tf.Tensor, state_info: tf.Tensor, model_number: int) -> tf.Tensor:
    """Returns `state_info` with the seal in the place of the model's number."""
    return _with(state_info, seal_of(state, state_info, model_number))


def opened(state_info: tf.Tensor, model_number: int) -> tf.Tensor:
    """Returns `state_info` with the model's number in the place of the seal."""
    return _with(state_info, tf.constant(model_number, tf.int64))


def _with(state_info: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Puts a number into the rows that have one."""
    held = state_info[:, NUMBER]
    column = tf.where(held == 0, tf.zeros_like(held), number)[:, None]
    return tf.concat([state_info[:, :NUMBER], column, state_info[:, NUMBER + 1 :]], axis=1)
