import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import LayerNormGRUCell, ReferenceGRUCell
from hrec_tf.layers import Recurrence
from tests.reference.recurrent import layer_norm_gru_step, weights_of
from tests.reference.weights import fill_distinct

BATCH, STEPS, FEATURES, UNITS = 3, 7, 4, 5
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


def inputs():
    return np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype("float32")


def built(**arguments):
    cell = LayerNormGRUCell(UNITS, **arguments)
    cell.build((None, FEATURES))
    fill_distinct(cell)
    return cell


def run(cell, values, states=None):
    recurrence = Recurrence(cell)
    recurrence.build(values.shape)
    return recurrence(tf.constant(values), initial_state=states)


def test_agrees_with_a_float64_loop():
    cell, values = built(), inputs()
    w = weights_of(cell)
    h = np.linspace(-0.4, 0.5, BATCH * UNITS).reshape(BATCH, UNITS)
    outputs, (last,) = run(cell, values, [tf.constant(h, tf.float32)])
    for row in range(BATCH):
        state = h[row]
        for step in range(STEPS):
            state = layer_norm_gru_step(w, values[row, step].astype(np.float64), state)
            np.testing.assert_allclose(outputs[row, step], state, **FLOAT32_NOISE)
        np.testing.assert_allclose(last[row], state, **FLOAT32_NOISE)


def test_golden_value_of_two_units():
    """Products 3 and 1 have mean 2 and deviation 1, so that LN makes them 1 and -1.

    h = 0 makes every recurrent product 0; with gain 1 and shift 0, r and z are σ(±1) and the
    candidate tanh(±1).
    """
    cell = LayerNormGRUCell(2)
    cell.build((None, 1))
    cell.kernel.assign([[3.0, 1.0] * 3])
    h, _ = cell(tf.constant([[1.0]]), [tf.zeros((1, 2))])
    plus, minus = 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))
    np.testing.assert_allclose(h, [[plus * np.tanh(1), minus * np.tanh(-1)]], atol=1e-4)


def test_without_gains_only_biases_count():
    """equations H.3: gains 0."""
    cell = built()
    for gain in (cell.gain, cell.recurrent_gain):
        gain.assign(tf.zeros_like(gain))
    one, other = (run(cell, inputs() * scale)[0] for scale in (1.0, -3.0))
    np.testing.assert_array_equal(one, other)
    cell.bias.assign(cell.bias + 0.5)
    assert np.abs(run(cell, inputs())[0] - one).max() > 1e-2


def test_scaling_and_shifting_the_products_of_the_input_changes_nothing():
    cell = built()
    expected, _ = run(cell, inputs())
    cell.kernel.assign(7.0 * cell.kernel)
    found, _ = run(cell, inputs())
    # 1e-5 beside the variance counts less, the larger the products are.
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_without_layer_norm_it_is_the_gru_with_reset_after():
    cell = built(layer_norm=False)
    gru = ReferenceGRUCell(UNITS, reset_after=True)
    gru.build((None, FEATURES))
    for weight in gru.weights:
        if weight.dtype == "float32":
            weight.assign(tf.zeros_like(weight))
    gru.kernel.assign(cell.kernel)
    gru.bias.assign(cell.bias)
    gru.recurrent_gates.assign(cell.recurrent_kernel[:, : 2 * UNITS])
    gru.recurrent_candidate.assign(cell.recurrent_kernel[:, 2 * UNITS :])
    np.testing.assert_allclose(run(cell, inputs())[0], run(gru, inputs())[0], **FLOAT32_NOISE)


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`units` must be a positive int, but was 0\. Pass"):
        LayerNormGRUCell(0)
    with pytest.raises(ValueError, match=r"`dropout` must be a dropout rate"):
        LayerNormGRUCell(3, dropout=1.0)
