import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import ElmanCell
from hrec_tf.layers import Recurrence
from tests.reference.recurrent import elman_step, weights_of
from tests.reference.weights import fill_drawn

UNITS, FEATURES = 4, 3
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture
def cell():
    cell = ElmanCell(UNITS)
    cell.build((None, FEATURES))
    fill_drawn(cell)
    return cell


@pytest.fixture
def inputs():
    return np.random.default_rng(0).normal(size=(2, 5, FEATURES)).astype("float32")


def test_golden_value():
    """tanh(2 · 3 + 0.5 · (-4) - 3.5) = tanh(1/2)."""
    cell = ElmanCell(1)
    cell.build((None, 1))
    for weight, value in ((cell.kernel, 2.0), (cell.recurrent, -4.0), (cell.bias, -3.5)):
        weight.assign(tf.fill(weight.shape, value))
    h, _ = cell(tf.constant([[3.0]]), [tf.constant([[0.5]])])
    np.testing.assert_allclose(h, [[np.tanh(0.5)]], rtol=1e-6)


def test_agrees_with_a_float64_loop(cell, inputs):
    outputs, _ = Recurrence(cell)(tf.constant(inputs))
    weights = weights_of(cell)
    for row, events in enumerate(inputs):
        h = np.zeros(UNITS)
        for step, x in enumerate(events):
            h = elman_step(weights, x, h)
            np.testing.assert_allclose(outputs[row, step], h, **FLOAT32_NOISE)


def test_it_is_keras_simple_rnn(cell, inputs):
    rnn = keras.layers.SimpleRNN(UNITS, return_sequences=True)
    rnn.build(inputs.shape)
    rnn.set_weights([np.asarray(weight) for weight in (cell.kernel, cell.recurrent, cell.bias)])
    outputs, _ = Recurrence(cell)(tf.constant(inputs))
    np.testing.assert_allclose(outputs, rnn(inputs), **FLOAT32_NOISE)


def test_a_size_is_needed():
    with pytest.raises(ValueError, match=r"`units` must be a positive int, but was 0. Pass"):
        ElmanCell(0)
