import json

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers.causal_convolutions import CausalConvolutions
from tests.reference.look_back import BATCH, FEATURES, INPUTS, IS_EVENT, RESET, STEPS, UNITS
from tests.reference.look_back import convolutions as make

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-5}


def by_loop(layer, user):
    """The outputs of one user's events (events, features), float64, one event at a time."""

    def convolve(weights, dilation, x, t):
        direction, length, bias = (np.asarray(w, np.float64) for w in weights.weights)
        total = np.array(bias)
        for k in range(layer.kernel_size):
            before = t - k * dilation
            if before >= 0:
                v = direction[layer.kernel_size - 1 - k]
                total += x[before] @ (length * v / np.sqrt((direction**2).sum(axis=(0, 1))))
        return total

    x = np.asarray(user, np.float64)
    for block, convolutions in enumerate(layer.convolutions):
        residual = x
        for weights in convolutions:
            rows = [convolve(weights, 2**block, residual, t) for t in range(len(x))]
            residual = np.maximum(rows, 0)
        if x.shape[1] != layer.units:
            skip = [np.asarray(w, np.float64) for w in (layer.skip_kernel, layer.skip_bias)]
            x = x @ skip[0] + skip[1]
        x = np.maximum(residual + x, 0)
    return x


def test_golden_values():
    """W_1 = 5 (3, 4) / 5 and W_2 = √2 (1, 1) / √2, older tap first; inputs are 1 and 2.

    Their first convolution is 4 and 3 + 8; the second one 4 and 4 + 11; with the input 5 and 17.
    """
    layer = CausalConvolutions(1, num_blocks=1, kernel_size=2)
    layer.build((None, None, 1))
    first, second = layer.convolutions[0]
    first.direction.assign([[[3.0]], [[4.0]]])
    first.length.assign([5.0])
    second.direction.assign([[[1.0]], [[1.0]]])
    second.length.assign([2**0.5])
    outputs, states = layer(tf.constant([[[1.0], [2.0]]]))
    np.testing.assert_allclose(outputs, [[[5.0], [17.0]]], rtol=1e-6)
    np.testing.assert_allclose(states, [[[2.0]], [[11.0]]], rtol=1e-6)


@pytest.mark.parametrize("sizes", [(2, 3), (3, 2), (1, 4)])
@pytest.mark.parametrize("features", [FEATURES, UNITS])
def test_agrees_with_a_float64_loop_over_each_users_events(sizes, features):
    num_blocks, kernel_size = sizes
    layer = make(features, num_blocks=num_blocks, kernel_size=kernel_size)
    inputs = np.random.default_rng(3).normal(size=(BATCH, STEPS, features)).astype(np.float32)
    outputs, _ = layer(inputs, reset=tf.constant(RESET), is_event=tf.constant(IS_EVENT))
    users = np.cumsum(RESET & IS_EVENT, axis=1)
    for row in range(BATCH):
        for user in np.unique(users[row, IS_EVENT[row]]):
            mine = (users[row] == user) & IS_EVENT[row]
            expected = by_loop(layer, inputs[row, mine])
            np.testing.assert_allclose(outputs[row][mine], expected, **FLOAT32_NOISE)


def test_an_event_sees_as_many_as_the_docstring_says():
    """1 + 2 (kernel_size - 1) (2^num_blocks - 1) = 7."""
    layer, inputs = make(1, 1, num_blocks=2, kernel_size=2), np.full((1, STEPS, 1), 1.0)
    for weight in layer.trainable_weights:
        weight.assign(np.ones(weight.shape))
    with tf.GradientTape() as tape:
        inputs = tf.constant(inputs, tf.float32)
        tape.watch(inputs)
        last = layer(inputs)[0][:, -1]
    gradient = tape.gradient(last, inputs)[0, :, 0]
    np.testing.assert_array_equal(gradient != 0, np.arange(STEPS) >= STEPS - 7)


def test_with_a_kernel_of_one_it_is_a_network_of_each_step():
    layer = make(kernel_size=1, num_blocks=1)
    first, second = layer.convolutions[0]
    outputs, states = layer(INPUTS)
    x = INPUTS
    for weights in (first, second):
        v = weights.direction.numpy()[0]
        w = weights.length.numpy() * v / np.linalg.norm(v, axis=0)
        x = np.maximum(x @ w + weights.bias.numpy(), 0)
    skip = INPUTS @ layer.skip_kernel.numpy() + layer.skip_bias.numpy()
    np.testing.assert_allclose(outputs, np.maximum(x + skip, 0), **FLOAT32_NOISE)
    assert [state.shape for state in states] == [(BATCH, 0)] * 2


def test_dropout_takes_whole_channels_in_training_only():
    layer = make(UNITS, num_blocks=1, dropout=0.5, seed=3)
    inputs = tf.zeros((200, 5, UNITS))
    # Constants above 0 behind each convolution; the second's inputs do not count.
    for convolution in layer.convolutions[0]:
        convolution.length.assign(np.zeros(UNITS))
        convolution.bias.assign(np.arange(1.0, UNITS + 1))
    outputs, _ = layer(inputs, training=True)
    np.testing.assert_array_equal(outputs, np.repeat(outputs[:, :1], 5, axis=1))
    assert set(np.unique(outputs / np.arange(1.0, UNITS + 1))) == {0.0, 2.0}
    assert 0.4 < np.mean(outputs == 0) < 0.6
    outputs, _ = layer(inputs)
    np.testing.assert_array_equal(outputs, np.tile(np.arange(1.0, UNITS + 1), (200, 5, 1)))


def test_every_weight_has_its_own_draw():
    layer = CausalConvolutions(UNITS, seed=5)
    again = CausalConvolutions(UNITS, seed=5)
    for made in (layer, again):
        made.build((None, None, FEATURES))
    first_values = [w.numpy().ravel()[0] for w in layer.trainable_weights if np.std(w) > 0]
    assert len(set(first_values)) == len(first_values) == 5
    for mine, other in zip(layer.weights, again.weights, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_config_round_trip():
    arguments = {"units": 5, "num_blocks": 3, "kernel_size": 2, "dropout": 0.25, "seed": 4}
    config = json.loads(json.dumps(CausalConvolutions(**arguments).get_config()))
    assert {name: config[name] for name in arguments} == arguments
    assert CausalConvolutions.from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be a positive int, but was 0. Pass a size"),
        ({"num_blocks": 0}, "`num_blocks` must be a positive int, but was 0. Pass the number"),
        ({"kernel_size": 1.5}, "`kernel_size` must be a positive int, but was 1.5. Pass"),
        ({"dropout": 1.0}, "`dropout` must be a dropout rate in .*, but was 1.0. Pass"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        CausalConvolutions(**{"units": 4} | arguments)
