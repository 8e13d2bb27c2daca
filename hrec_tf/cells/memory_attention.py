"""The energies of an attention over a memory, each a small network's output: σ(a + p) vᵀ."""

import tensorflow as tf

_LARGEST = 87.0
"""Up to it e^x and e^-x are normal float32 numbers, neither infinite nor flushed to zero."""


def memory_energies(a, theta, memory, v, exp_minus_p=None):
    """Returns e (batch, K), e_k = σ(a + θ_k P_k) vᵀ (Eq. 13 before the softmax).

    Args:
        a: (batch, H), the query's part, h W_hα.
        theta: (batch, K).
        memory: P (K, H), the memory's part, M W_θα.
        v: (H,).
        exp_minus_p: None, or `exp_minus_projection(theta, memory)`, computed once for many
            queries. Then σ costs a division and no exponential, and value and gradient are
            compiled by XLA, which never writes what lies between to memory. The gradient of
            theta and memory is given all the same. Of a and θ_k P_k what lies beyond ±87 is
            cut off, which tells only where they are of opposite signs.
    """
    if exp_minus_p is None:
        s = tf.sigmoid(a[:, None, :] + theta[:, :, None] * memory)
        return tf.linalg.matvec(s, v)
    return _fast_energies(a, theta, memory, v, exp_minus_p)


def exp_minus_projection(theta, memory):
    """Returns exp(-θ_k P_k) (batch, K, H), through which no gradient flows."""
    projection = theta[:, :, None] * memory
    return tf.stop_gradient(tf.exp(-tf.clip_by_value(projection, -_LARGEST, _LARGEST)))


@tf.custom_gradient
def _fast_energies(a, theta, memory, v, exp_minus_p):
    def gradient(e_gradient):
        given = _gradient(a, theta, memory, v, exp_minus_p, e_gradient)
        return *given, None

    return _forward(a, v, exp_minus_p), gradient


def _sigmoid(a, exp_minus_p):
    """σ(a + p) = 1 / (1 + e^-a e^-p); where the product overflows it is 1 / inf = 0."""
    exp_minus_a = tf.exp(-tf.clip_by_value(a, -_LARGEST, _LARGEST))
    return 1.0 / (1.0 + exp_minus_a[:, None, :] * exp_minus_p)


# A trace for each shape: relaxed to suit two models, it would not know the number of contexts.
@tf.function(autograph=False, jit_compile=True)
def _forward(a, v, exp_minus_p):
    s = _sigmoid(a, exp_minus_p)
    _, contexts, units = s.shape
    return tf.reshape(tf.linalg.matvec(tf.reshape(s, (-1, units)), v), (-1, contexts))


@tf.function(autograph=False, jit_compile=True)
def _gradient(a, theta, memory, v, exp_minus_p, e_gradient):
    s = _sigmoid(a, exp_minus_p)
    slope = s * (1.0 - s)
    _, contexts, units = s.shape
    by_unit = tf.matmul(e_gradient[:, None, :], slope)[:, 0]
    # XLA sums along the last axis one number after the other; a product with ones is faster.
    along_units = tf.reshape(slope * (v * memory), (-1, units))
    by_context = tf.reshape(tf.linalg.matvec(along_units, tf.ones((units,))), (-1, contexts))
    by_memory = tf.reduce_sum(slope * (e_gradient * theta)[:, :, None], axis=0)
    v_gradient = tf.linalg.matvec(
        tf.reshape(s, (-1, units)), tf.reshape(e_gradient, (-1,)), transpose_a=True
    )
    return by_unit * v, e_gradient * by_context, v * by_memory, v_gradient
