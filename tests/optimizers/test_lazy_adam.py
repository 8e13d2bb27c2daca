import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.optimizers import LazyAdam

ROWS, DIM, STEPS = 6, 3, 4
NOISE = {"rtol": 2e-5, "atol": 2e-7}
SETTINGS = {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-5}


def table():
    return (0.3 * np.sin(np.arange(1.0, ROWS * DIM + 1))).reshape(ROWS, DIM).astype(np.float32)


def gradients(rows, seed=0):
    """Indices with repeats among `rows`, and values: one of each a step."""
    rng = np.random.default_rng(seed)
    indices = rng.choice(rows, (STEPS, 8)).astype(np.int32)
    return indices, rng.normal(size=(STEPS, 8, DIM)).astype(np.float32)


def lazy_loop(indices, values):
    """The equation one row at a time, in float64."""
    p, m, v = table().astype(np.float64), np.zeros((ROWS, DIM)), np.zeros((ROWS, DIM))
    lr, b1, b2, epsilon = SETTINGS.values()
    for t, (rows, given) in enumerate(zip(indices, values, strict=True), 1):
        for row in set(rows.tolist()):
            g = given[rows == row].astype(np.float64).sum(0)
            m[row] = b1 * m[row] + (1 - b1) * g
            v[row] = b2 * v[row] + (1 - b2) * g**2
            p[row] -= lr * np.sqrt(1 - b2**t) / (1 - b1**t) * m[row] / (np.sqrt(v[row]) + epsilon)
    return p


def trained(optimizer, indices, values, *, dense, jit_compile=False):
    variable = keras.Variable(table())
    optimizer.build([variable])

    @tf.function(jit_compile=jit_compile)
    def step(rows, given):
        if dense:
            gradient = tf.scatter_nd(rows[:, None], given, (ROWS, DIM))
        else:
            gradient = tf.IndexedSlices(given, rows, tf.constant([ROWS, DIM]))
        optimizer.apply([gradient], [variable])

    for rows, given in zip(indices, values, strict=True):
        step(tf.constant(rows), tf.constant(given))
    return variable.numpy()


def test_two_steps_golden():
    variable = keras.Variable([1.0])
    optimizer = LazyAdam(0.1, beta_1=0.5, beta_2=0.75, epsilon=1e-9)
    optimizer.apply([tf.constant([2.0])], [variable])
    # m = 1, v = 1; √(1 - .75) / (1 - .5) = 1: a step of 0.1.
    assert float(variable.numpy()[0]) == pytest.approx(0.9, abs=1e-6)
    optimizer.apply([tf.constant([-4.0])], [variable])
    # m = .5 - 2, v = .75 + 4: 0.9 + 0.1 √(1 - .5625) / .75 · 1.5 / √4.75
    expected = 0.9 + 0.1 * 0.6614378 / 0.75 * 1.5 / 2.1794495
    assert float(variable.numpy()[0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_row_sparse_steps_are_the_lazy_loop(jit_compile):
    indices, values = gradients([1, 2, 3, 4])
    ours = trained(LazyAdam(**SETTINGS), indices, values, dense=False, jit_compile=jit_compile)
    np.testing.assert_allclose(ours, lazy_loop(indices, values), **NOISE)
    np.testing.assert_array_equal(ours[[0, 5]], table()[[0, 5]])


def test_dense_steps_are_those_of_keras():
    indices, values = gradients(range(ROWS))
    ours = trained(LazyAdam(**SETTINGS), indices, values, dense=True)
    theirs = trained(keras.optimizers.Adam(**SETTINGS), indices, values, dense=True)
    np.testing.assert_allclose(ours, theirs, **NOISE)


def test_lazy_equals_dense_only_with_every_row_in_every_batch():
    everywhere = np.tile(np.array([0, 1, 2, 3, 4, 5, 5, 1], np.int32), (STEPS, 1))
    some, values = gradients([1, 2, 3], seed=3)
    for indices, are_equal in ((everywhere, True), (some, False)):
        lazy = trained(LazyAdam(**SETTINGS), indices, values, dense=False)
        dense = trained(LazyAdam(**SETTINGS), indices, values, dense=True)
        assert np.allclose(lazy, dense, **NOISE) is are_equal


def test_keras_own_sgd_leaves_other_rows_alone_and_sums_repeats():
    indices, values = gradients([1, 2, 3])
    lazy = trained(keras.optimizers.SGD(0.1), indices, values, dense=False)
    dense = trained(keras.optimizers.SGD(0.1), indices, values, dense=True)
    np.testing.assert_allclose(lazy, dense, **NOISE)
    np.testing.assert_array_equal(lazy[[0, 4, 5]], table()[[0, 4, 5]])


def test_configuration_round_trip():
    optimizer = LazyAdam(**SETTINGS, clipnorm=2.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is LazyAdam
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta_1": 1.0}, "`beta_1` was 1.0, but must be below 1"),
        ({"beta_2": -0.1}, "`beta_2` must be a finite number of at least 0"),
        ({"epsilon": 0.0}, "`epsilon` was 0, but must be above it"),
        ({"learning_rate": -1.0}, "Pass e.g. 0.001, or a schedule"),
        ({"weight_decay": 0.1}, "LazyAdam updates the rows of a batch alone"),
    ],
)
def test_bad_arguments_name_the_cure(options, message):
    with pytest.raises(ValueError, match=message):
        LazyAdam(**options)
