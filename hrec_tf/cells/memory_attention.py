"""The energies of an attention over a memory, each a small network's output: σ(a + p) vᵀ."""

import functools

import numpy as np
import tensorflow as tf

SERIES = ((4, 1 / 16), (6, 3 / 16), (10, 9 / 16))
"""Degrees of the series, and up to which |p| each is exact to float32, its slope included.

The terms of σ(a + p) fall at least as 2 (p / π)^n / π, whatever a is.
"""


def memory_energies(a, theta, memory, v, form=None):
    """Returns e (batch, K), e_k = σ(a + p_k) vᵀ with p_k = θ_k P_k (Eq. 13 before the softmax).

    A share θ_k of many is small, and so is p_k. There e_k is a short Taylor series in p_k, whose
    terms are products of matrices in place of batch K H sigmoids:

        e_k = Σ_n θ_k^n (c_n(a) ⊙ v) (P_k^n)ᵀ,    c_n = σ^(n) / n!

    Args:
        a: (batch, H), the query's part, h W_hα.
        theta: (batch, K).
        memory: P (K, H), the memory's part, M W_θα.
        v: (H,).
        form: None for the equation as it stands, or `form_of(theta, memory)`, which takes the
            series where float32 cannot tell it from the equation; value and gradient are then
            compiled by XLA.
    """
    if form is None:
        return _energies(a, theta, memory, v)
    return _fast_energies(a, theta, memory, v, form)


def form_of(theta, memory):
    """Returns int32 (), which form of the energies is exact: a place in `SERIES`, or behind it.

    Args:
        theta: (..., K), of all queries that the answer is used for.
        memory: P (K, H).
    """
    shares = tf.reduce_max(tf.abs(theta), axis=range(len(theta.shape) - 1))
    largest = tf.reduce_max(shares * tf.reduce_max(tf.abs(memory), axis=1))
    fits = [tf.cast(largest > limit, tf.int32) for _, limit in SERIES]
    return tf.add_n(fits)


def _energies(a, theta, memory, v):
    s = tf.sigmoid(a[:, None, :] + theta[:, :, None] * memory)
    return tf.linalg.matvec(s, v)


@tf.custom_gradient
def _fast_energies(a, theta, memory, v, form):
    # Else a tape would have `_forward` return all that autodiff needs, which takes far longer.
    given = [tf.stop_gradient(tensor) for tensor in (a, theta, memory, v)]

    def gradient(e_gradient):
        return *_gradient(*given, form, tf.stop_gradient(e_gradient)), None

    return _forward(*given, form), gradient


# A trace for each shape: relaxed to suit two models, it would not know the number of contexts.
@tf.function(autograph=False, jit_compile=True)
def _forward(a, theta, memory, v, form):
    def series(degree):
        return functools.partial(_series, a, theta, memory, v, degree)

    exact = functools.partial(_energies, a, theta, memory, v)
    return tf.switch_case(form, [*(series(degree) for degree, _ in SERIES), exact])


@tf.function(autograph=False, jit_compile=True)
def _gradient(a, theta, memory, v, form, e_gradient):
    def series(degree):
        return functools.partial(_series_gradient, a, theta, memory, v, e_gradient, degree)

    exact = functools.partial(_exact_gradient, a, theta, memory, v, e_gradient)
    return tf.switch_case(form, [*(series(degree) for degree, _ in SERIES), exact])


def _series(a, theta, memory, v, degree):
    c = _coefficients(a, degree)
    e = tf.linalg.matvec(c[0], v)[:, None]
    for n in range(1, degree + 1):
        e += theta**n * tf.matmul(c[n] * v, memory**n, transpose_b=True)
    return e


def _series_gradient(a, theta, memory, v, e_gradient, degree):
    c = _coefficients(a, degree + 1)
    whole = tf.reduce_sum(e_gradient, axis=1, keepdims=True)
    by_a, by_v = c[1] * whole, c[0] * whole
    by_theta, by_memory = tf.zeros_like(theta), tf.zeros_like(memory)
    for n in range(1, degree + 1):
        given = e_gradient * theta**n
        term = tf.matmul(given, memory**n)
        by_a += (n + 1) * c[n + 1] * term
        by_v += c[n] * term
        product = tf.matmul(c[n] * v, memory**n, transpose_b=True)
        by_theta += n * theta ** (n - 1) * e_gradient * product
        by_memory += n * memory ** (n - 1) * tf.matmul(given, c[n] * v, transpose_a=True)
    return by_a * v, by_theta, by_memory, tf.reduce_sum(by_v, axis=0)


def _exact_gradient(a, theta, memory, v, e_gradient):
    s = tf.sigmoid(a[:, None, :] + theta[:, :, None] * memory)
    slope = e_gradient[:, :, None] * s * (1.0 - s) * v
    return (
        tf.reduce_sum(slope, axis=1),
        tf.reduce_sum(slope * memory, axis=2),
        tf.reduce_sum(slope * theta[:, :, None], axis=0),
        tf.reduce_sum(e_gradient[:, :, None] * s, axis=(0, 1)),
    )


def _coefficients(a, degree):
    """Returns c_0(a)..c_degree(a), polynomials in u = σ(a) - 1/2, since u' = 1/4 - u²."""
    u = tf.sigmoid(a) - 0.5
    found, polynomial = [], np.polynomial.Polynomial([0.5, 1.0])
    for n in range(degree + 1):
        found.append(_value(polynomial.coef, u))
        polynomial = polynomial.deriv() * np.polynomial.Polynomial([0.25, 0.0, -1.0]) / (n + 1)
    return found


def _value(coefficients, u):
    """Horner's rule; coefficients from the constant one up."""
    value = tf.fill(tf.shape(u), float(coefficients[-1]))
    for coefficient in coefficients[-2::-1]:
        value = value * u + float(coefficient)
    return value
