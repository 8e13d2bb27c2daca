import keras
import numpy as np
import pytest

from hrec_tf.cells import LSTMCell
from tests.reference.recurrent import lstm_step, weights_of
from tests.reference.weights import fill_distinct

BATCH, STEPS, FEATURES, UNITS = 3, 6, 4, 5


@pytest.fixture
def cell():
    cell = LSTMCell(UNITS)
    cell.build((None, FEATURES))
    fill_distinct(cell)
    return cell


@pytest.fixture
def inputs():
    return np.random.default_rng(1).normal(size=(BATCH, STEPS, FEATURES)).astype("float32")


def test_equals_the_keras_lstm(cell, inputs):
    lstm = keras.layers.LSTM(UNITS, return_sequences=True)
    lstm.build((None, None, FEATURES))
    lstm.set_weights([np.asarray(w) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)])
    ours = keras.layers.RNN(cell, return_sequences=True)(inputs)
    np.testing.assert_allclose(ours, lstm(inputs), atol=1e-6)


def test_agrees_with_a_float64_loop(cell, inputs):
    weights = weights_of(cell)
    h, c = np.linspace(-0.5, 0.5, UNITS), np.linspace(0.4, -0.2, UNITS)
    states = [np.repeat(v[None], BATCH, axis=0).astype("float32") for v in (h, c)]
    for step in range(STEPS):
        _, states = cell(inputs[:, step], states)
        h, c = lstm_step(weights, inputs[0, step].astype(float), h, c)
    np.testing.assert_allclose(states[0][0], h, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(states[1][0], c, rtol=1e-5, atol=1e-6)


def test_golden_value_of_one_unit():
    """All weights 0, b = (i 0, f 1, c~ 2, o 0), c = 1.

    c' = σ(1) + tanh(2) / 2 = 0.731059 + 0.482014 = 1.213073; h' = tanh(c') / 2 = 0.418799.
    """
    cell = LSTMCell(1)
    cell.build((None, 1))
    for weight in (cell.kernel, cell.recurrent_kernel):
        weight.assign(np.zeros(weight.shape))
    cell.bias.assign([0.0, 1.0, 2.0, 0.0])
    h, (_, c) = cell(np.zeros((1, 1), "float32"), [np.zeros((1, 1)), np.ones((1, 1))])
    np.testing.assert_allclose(c, [[1.213073]], atol=1e-6)
    np.testing.assert_allclose(h, [[0.418799]], atol=1e-6)


def test_forget_bias_starts_at_one():
    cell = LSTMCell(3)
    cell.build((None, 2))
    np.testing.assert_array_equal(cell.bias, [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0])


def test_initial_values_of_tensorflow_1_are_drawn_of_x_and_h_together():
    """Glorot's rule for one matrix (in + H, 4 H); the bias begins as ever."""
    cell = LSTMCell(60, initial_values="tf1", seed=1)
    cell.build((None, 40))
    limit = np.sqrt(6 / (40 + 60 + 240))
    for weight in (cell.kernel, cell.recurrent_kernel):
        assert 0.98 * limit < np.abs(weight).max() <= limit
    np.testing.assert_array_equal(cell.bias, np.repeat([0, 1, 0, 0], 60))


def test_initial_values_of_tensorflow_1_are_of_vectors():
    with pytest.raises(ValueError, match=r"`initial_values` was 'tf1'.*num_items=9\. Leave"):
        LSTMCell(4, num_items=9, initial_values="tf1")


def test_config_round_trip():
    cell = LSTMCell(5, dropout=0.25, initial_values="tf1", seed=4)
    assert LSTMCell.from_config(cell.get_config()).get_config() == cell.get_config()
