"""The energies of an attention over a memory, each a small network's output: σ(a + p) vᵀ."""

import functools

import numpy as np
import tensorflow as tf
from numpy.polynomial import Polynomial, chebyshev

from hrec_tf.precision import at_least_float32

SERIES = ((4, 1 / 5), (6, 1 / 2), (10, 1.0))
"""Degrees of the series, and up to which |p| each is exact to float32, its slope included."""

_MORE_TERMS = 7
"""Taylor's terms behind the degree: what is left of them no float32 holds."""


def memory_energies(a, theta, memory, v, form=None):
    """Returns e (batch, K), e_k = σ(a + p_k) vᵀ with p_k = θ_k P_k (Eq. 13 before the softmax).

    A share θ_k of many is small, and so is p_k. There e_k is a short series in p_k, whose terms
    are products of matrices in place of batch K H sigmoids:

        e_k = Σ_n θ_k^n (c_n(a) ⊙ v) (P_k^n)ᵀ

    c_n = σ^(n) / n! is Taylor's; the terms behind the last one are spread over the others by
    Chebyshev's polynomials, evenly over all |p| that occur.

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
    # A series loses in a half type what its higher terms are for.
    given = [at_least_float32(tensor) for tensor in (a, theta, memory, v)]
    return tf.cast(_fast_energies(*given, form), a.dtype)


def form_of(theta, memory):
    """Returns float32 (), the largest |p|, which decides on the form of the energies.

    Args:
        theta: (..., K), of all queries that the answer is used for.
        memory: P (K, H).
    """
    theta, memory = at_least_float32(theta), at_least_float32(memory)
    shares = tf.reduce_max(tf.abs(theta), axis=range(len(theta.shape) - 1))
    return tf.stop_gradient(tf.reduce_max(shares * tf.reduce_max(tf.abs(memory), axis=1)))


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


def _choose(form, series, exact):
    """Runs the shortest series that is exact, or `exact`."""
    place = tf.add_n([tf.cast(form > limit, tf.int32) for _, limit in SERIES])
    branches = [functools.partial(series, degree) for degree, _ in SERIES]
    return tf.switch_case(place, [*branches, exact])


# A trace for each shape: relaxed to suit two models, it would not know the number of contexts.
@tf.function(autograph=False, jit_compile=True)
def _forward(a, theta, memory, v, form):
    def series(degree):
        c = _coefficients(a, form, degree)
        e = tf.linalg.matvec(c[0], v)[:, None]
        for n in range(1, degree + 1):
            e += theta**n * tf.matmul(c[n] * v, memory**n, transpose_b=True)
        return e

    return _choose(form, series, lambda: _energies(a, theta, memory, v))


@tf.function(autograph=False, jit_compile=True)
def _gradient(a, theta, memory, v, form, e_gradient):
    def series(degree):
        c, slope = _coefficients(a, form, degree), _coefficients(a, form, degree, of_slope=True)
        by_a = by_v = tf.zeros_like(a)
        by_theta, by_memory = tf.zeros_like(theta), tf.zeros_like(memory)
        for n in range(degree + 1):
            given = e_gradient * theta**n
            term = tf.matmul(given, memory**n)
            by_a, by_v = by_a + slope[n] * term, by_v + c[n] * term
            # Of p, the slope's part: θ and P are one factor each before p^n.
            along_units = tf.matmul(slope[n] * v, memory ** (n + 1), transpose_b=True)
            by_theta += given * along_units
            by_memory += memory**n * tf.matmul(given * theta, slope[n] * v, transpose_a=True)
        return by_a * v, by_theta, by_memory, tf.reduce_sum(by_v, axis=0)

    def exact():
        s = tf.sigmoid(a[:, None, :] + theta[:, :, None] * memory)
        slope = e_gradient[:, :, None] * s * (1.0 - s) * v
        return (
            tf.reduce_sum(slope, axis=1),
            tf.reduce_sum(slope * memory, axis=2),
            tf.reduce_sum(slope * theta[:, :, None], axis=0),
            tf.reduce_sum(e_gradient[:, :, None] * s, axis=(0, 1)),
        )

    return _choose(form, series, exact)


def _coefficients(a, largest, degree, of_slope=False):
    """Returns c_0(a)..c_degree(a) of σ(a + p) or of σ'(a + p), for all |p| <= `largest`."""
    s = tf.sigmoid(a)
    u, table = s - 0.5, _table(degree, of_slope)
    scales = largest ** tf.range(table.shape[1], dtype=tf.float32)
    weights = tf.tensordot(tf.constant(table, tf.float32), scales, [[1], [0]])
    by_power = tf.unstack(weights[:, :, None, None], axis=1)
    value = by_power.pop() * tf.ones_like(u)
    while by_power:
        value = value * u + by_power.pop()
    first, *others = tf.unstack(value * (s * (1.0 - s)))
    return [first if of_slope else s + first, *others]


@functools.cache
def _table(degree, of_slope):
    """Coefficients (degree + 1, terms, powers) of the c_n but for their common factor σ'(a).

    c_n is the sum over them, times powers of the largest |p| and of u = σ(a) - 1/2; to c_0 of σ
    comes σ(a) itself, Taylor's first term.

    With x = p / largest, Taylor's term m is c_m largest^m x^m, and x^m is a sum of Chebyshev's
    polynomials, of which those above `degree` are left out. So c_n, the factor of p^n, has a part
    of each term m >= n: E[n, m] c_m largest^(m - n).
    """
    terms = degree + _MORE_TERMS
    taylor = _taylor(terms + of_slope)
    taylor = [m * term for m, term in enumerate(taylor)][1:] if of_slope else taylor
    powers = max(len(polynomial.coef) for polynomial in taylor)
    economy = np.zeros((degree + 1, terms + 1))
    for m in range(terms + 1):
        kept = chebyshev.poly2cheb(np.eye(terms + 1)[m][: m + 1])[: degree + 1]
        coefficients = chebyshev.cheb2poly(kept)
        economy[: len(coefficients), m] = coefficients
    table = np.zeros((degree + 1, terms + 1, powers))
    for n in range(degree + 1):
        for m in range(n, terms + 1):
            table[n, m - n, : len(taylor[m].coef)] = economy[n, m] * taylor[m].coef
    return table


def _taylor(terms):
    """σ^(m) / m! by σ', polynomials in u = σ - 1/2; 0 for m = 0, where σ is no multiple of it."""
    slope = Polynomial([0.25, 0.0, -1.0])  # σ' = u' = 1/4 - u²
    found, term = [Polynomial([0.0])], Polynomial([0.5, 1.0])
    for m in range(1, terms + 1):
        found.append(term.deriv() / m)
        term = found[-1] * slope
    return found
