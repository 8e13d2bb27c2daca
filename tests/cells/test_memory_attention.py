import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.cells.memory_attention import SERIES, form_of, memory_energies
from tests.reference.recurrent import sigmoid

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
BATCH, CONTEXTS, UNITS = 3, 4, 2


def as_float32(*arrays):
    return [tf.constant(array, tf.float32) for array in arrays]


def random_arguments(scale=1.0, p=1.0, seed=0, batch=BATCH, contexts=CONTEXTS, units=UNITS):
    """a of the size of `scale`, θ and P whose largest |θ_k P_k| is `p`, and v."""
    generator = np.random.default_rng(seed)
    theta = generator.uniform(0.1, 1, (batch, contexts))
    memory = generator.uniform(-1, 1, (contexts, units))
    memory *= p / np.abs(theta[:, :, None] * memory).max()
    a, v = scale * generator.uniform(-1, 1, (batch, units)), generator.normal(size=units)
    return as_float32(a, theta, memory, v)


def fast_energies(a, theta, memory, v):
    return memory_energies(a, theta, memory, v, form_of(theta, memory))


def value_and_gradients(energies, arguments):
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        e = energies(*arguments)
        # A loss that weighs every energy differently.
        weights = np.linspace(1, 2, e.shape.num_elements()).reshape(e.shape)
        loss = tf.reduce_sum(tf.sin(e) * tf.cast(weights, e.dtype))
    return e, tape.gradient(loss, arguments)


def assert_fast_equals_plain(arguments):
    """Against the plain form in float64, whose gradient is autodiff's."""
    e, gradients = value_and_gradients(fast_energies, arguments)
    plain, expected = value_and_gradients(
        memory_energies, [tf.cast(array, tf.float64) for array in arguments]
    )
    np.testing.assert_allclose(e, plain, **FLOAT32_NOISE)
    for mine, other in zip(gradients, expected, strict=True):
        # Sums, whose terms are as large as their largest value.
        noise = 1e-5 * max(1.0, float(tf.reduce_max(tf.abs(other))))
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=noise)


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


@pytest.mark.integration
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 99), scale=st.floats(0, 80), p=st.floats(0, 3))
def test_the_fast_form_and_its_gradient_equal_autodiff(seed, scale, p):
    assert_fast_equals_plain(random_arguments(scale, p, seed))


@pytest.mark.integration
@pytest.mark.parametrize("limit", [limit for _, limit in SERIES])
def test_a_series_is_exact_to_float32_up_to_its_limit(limit):
    """Over all a and all |p| up to what this degree may meet: value, and slope in p."""
    a, p = np.linspace(-12, 12, 241), np.linspace(-limit, limit, 41)
    arguments = as_float32(a[:, None], np.ones((len(a), len(p))), p[:, None], [1.0])
    assert float(form_of(*arguments[1:3])) == pytest.approx(limit)
    with tf.GradientTape() as tape:
        tape.watch(arguments[0])
        e = fast_energies(*arguments)
        some = e[:, 0] + 3 * e[:, -1]
    exact = sigmoid(a[:, None] + p)
    np.testing.assert_allclose(e, exact, rtol=0, atol=4e-7)
    slope, ends = tape.gradient(some, arguments[0])[:, 0], exact * (1 - exact)
    np.testing.assert_allclose(slope, ends[:, 0] + 3 * ends[:, -1], rtol=0, atol=2e-6)


def test_the_form_follows_from_the_largest_product_of_a_share_and_a_row():
    memory = tf.constant([[1.0, -2.0], [0.5, 0.0]])
    within, beyond = [[0.1, 0.01]], [[0.01, 0.5]]
    assert float(form_of(tf.constant(within), memory)) == pytest.approx(0.2)
    assert float(form_of(tf.constant(beyond), memory)) == pytest.approx(0.25)
    # Of all steps and rows, the largest.
    steps = tf.constant([[[0.0, 0.0]], within, beyond])
    assert float(form_of(steps, memory)) == pytest.approx(0.25)


@pytest.mark.parametrize("p", [0.05, 1e30])
@pytest.mark.parametrize(("sign", "sigmoid_there"), [(1, 1.0), (-1, 0.0)])
def test_where_a_is_huge_a_sigmoid_is_zero_or_one(sign, sigmoid_there, p):
    a, p = sign * np.array([[300], [1e30]]), sign * np.array([[0], [p / 2], [p]])
    e, gradients = value_and_gradients(fast_energies, as_float32(a, np.ones((2, 3)), p, [0.75]))
    np.testing.assert_allclose(e, np.full((2, 3), 0.75 * sigmoid_there), atol=1e-12)
    by_a, by_theta, by_memory, _ = gradients
    for gradient in (by_a, by_theta, by_memory):
        np.testing.assert_allclose(gradient, np.zeros(gradient.shape), atol=1e-6)


def test_without_a_share_a_context_has_no_part():
    """θ = 0: every context has the energy σ(a) v."""
    a, theta, memory, v = random_arguments()
    expected = np.tile(tf.sigmoid(a) @ v[:, None], (1, CONTEXTS))
    for energies in (memory_energies, fast_energies):
        np.testing.assert_allclose(energies(a, 0 * theta, memory, v), expected, **FLOAT32_NOISE)


@pytest.mark.integration
def test_models_of_several_sizes_share_a_process():
    for batch, contexts, units in ((2, 3, 4), (3, 5, 6), (2, 3, 4)):
        assert_fast_equals_plain(random_arguments(batch=batch, contexts=contexts, units=units))


def test_the_batch_need_not_be_known_when_the_graph_is_made():
    arguments = random_arguments()
    shapes = ((None, UNITS), (None, CONTEXTS), (CONTEXTS, UNITS), (UNITS,))
    open_graph = tf.function(fast_energies, input_signature=[tf.TensorSpec(s) for s in shapes])
    assert tuple(open_graph.get_concrete_function().output_shapes) == (None, CONTEXTS)
    np.testing.assert_allclose(open_graph(*arguments), memory_energies(*arguments), **FLOAT32_NOISE)
