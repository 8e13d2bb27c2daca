import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.cells.memory_attention import exp_minus_projection, memory_energies
from tests.reference.recurrent import sigmoid

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
# θ's gradient is a sum with P as factors: at P = 86 its terms, and their errors, are as large.
GRADIENT_NOISE = {"rtol": 1e-5, "atol": 2e-5}
BATCH, CONTEXTS, UNITS = 3, 4, 2


def as_float32(*arrays):
    return [tf.constant(array, tf.float32) for array in arrays]


def random_arguments(scale=1.0, seed=0, batch=BATCH, contexts=CONTEXTS, units=UNITS):
    """a, θ, P and v; a and P are of the size of `scale`."""
    generator = np.random.default_rng(seed)
    return as_float32(
        scale * generator.uniform(-1, 1, (batch, units)),
        generator.uniform(0.1, 1, (batch, contexts)),
        scale * generator.uniform(-1, 1, (contexts, units)),
        generator.normal(size=units),
    )


def fast_energies(a, theta, memory, v):
    return memory_energies(a, theta, memory, v, exp_minus_projection(theta, memory))


def value_and_gradients(energies, arguments):
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        e = energies(*arguments)
        # A loss that weighs every energy differently.
        weights = np.linspace(1, 2, e.shape.num_elements()).reshape(e.shape).astype("float32")
        loss = tf.reduce_sum(tf.sin(e) * weights)
    return e, tape.gradient(loss, arguments)


def assert_fast_equals_plain(arguments):
    e, gradients = value_and_gradients(fast_energies, arguments)
    plain, expected = value_and_gradients(memory_energies, arguments)
    np.testing.assert_allclose(e, plain, **FLOAT32_NOISE)
    for mine, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(mine, other, **GRADIENT_NOISE)


@pytest.mark.parametrize("energies", [memory_energies, fast_energies])
def test_golden_energies(energies):
    """Eq. 13 with σ(0) = 1/2, σ(log 3) = 3/4 and σ(-log 3) = 1/4.

    a = (0, log 3), θ = (1, 1/2), P = ((0, 0), (2 log 3, -4 log 3)), v = (8, 16):
    e_1 = 8/2 + 16 · 3/4 = 16;  e_2 = 8 σ(log 3) + 16 σ(log 3 - 2 log 3) = 6 + 4 = 10.
    """
    log3 = np.log(3)
    arguments = as_float32([[0, log3]], [[1, 0.5]], [[0, 0], [2 * log3, -4 * log3]], [8, 16])
    np.testing.assert_allclose(energies(*arguments), [[16.0, 10.0]], rtol=1e-6)


@pytest.mark.parametrize("energies", [memory_energies, fast_energies])
def test_agrees_with_a_float64_loop(energies):
    arguments = random_arguments()
    a, theta, memory, v = (np.asarray(array, np.float64) for array in arguments)
    expected = [
        [
            sum(sigmoid(a[b, h] + theta[b, k] * memory[k, h]) * v[h] for h in range(UNITS))
            for k in range(CONTEXTS)
        ]
        for b in range(BATCH)
    ]
    np.testing.assert_allclose(energies(*arguments), expected, **FLOAT32_NOISE)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 99), scale=st.floats(0, 80))
def test_the_fast_form_and_its_gradient_equal_autodiff(seed, scale):
    assert_fast_equals_plain(random_arguments(scale, seed))


def test_the_fast_form_equals_the_plain_one_at_extreme_values():
    """Factors e^-a and e^-p of which one is huge and the other tiny, and their product about 1."""
    a, p = [-86, -60.5, -41, 0, 40.5, 61, 86.5], [-86.5, -61.5, -40, 1, 41, 60, 86]
    assert_fast_equals_plain(as_float32(np.c_[a], np.ones((len(a), len(p))), np.c_[p], [0.75]))


@pytest.mark.parametrize(("sign", "sigmoid_there"), [(1, 1.0), (-1, 0.0)])
def test_where_even_the_exponentials_overflow_a_sigmoid_is_zero_or_one(sign, sigmoid_there):
    """Both of one sign, or one alone: what is cut off could not have moved the sigmoid."""
    a, p = sign * np.array([[300], [1e30]]), sign * np.array([[0], [300], [1e30]])
    e, gradients = value_and_gradients(fast_energies, as_float32(a, np.ones((2, 3)), p, [0.75]))
    np.testing.assert_allclose(e, np.full((2, 3), 0.75 * sigmoid_there), atol=1e-30)
    by_a, by_theta, by_memory, _ = gradients
    for gradient in (by_a, by_theta, by_memory):
        np.testing.assert_allclose(gradient, np.zeros(gradient.shape), atol=1e-6)


def test_without_a_share_a_context_has_no_part():
    """θ = 0: every context has the energy σ(a) v."""
    a, theta, memory, v = random_arguments()
    expected = np.tile(tf.sigmoid(a) @ v[:, None], (1, CONTEXTS))
    for energies in (memory_energies, fast_energies):
        np.testing.assert_allclose(energies(a, 0 * theta, memory, v), expected, **FLOAT32_NOISE)


def test_no_gradient_flows_through_what_is_cached():
    _, theta, memory, _ = random_arguments()
    with tf.GradientTape() as tape:
        tape.watch([theta, memory])
        cached = exp_minus_projection(theta, memory)
    assert tape.gradient(cached, [theta, memory]) == [None, None]
    expected = np.exp(-np.asarray(theta)[:, :, None] * np.asarray(memory))
    np.testing.assert_allclose(cached, expected, **FLOAT32_NOISE)


def test_models_of_several_sizes_share_a_process():
    for batch, contexts, units in ((2, 3, 4), (2, 5, 4), (3, 2, 6), (2, 3, 4)):
        assert_fast_equals_plain(random_arguments(batch=batch, contexts=contexts, units=units))


def test_the_batch_need_not_be_known_when_the_graph_is_made():
    arguments = random_arguments()
    shapes = ((None, UNITS), (None, CONTEXTS), (CONTEXTS, UNITS), (UNITS,))
    open_graph = tf.function(fast_energies, input_signature=[tf.TensorSpec(s) for s in shapes])
    assert tuple(open_graph.get_concrete_function().output_shapes) == (None, CONTEXTS)
    np.testing.assert_allclose(open_graph(*arguments), memory_energies(*arguments), **FLOAT32_NOISE)
