import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers.causal_attention import CausalAttention
from tests.reference.look_back import (
    BATCH,
    CONTEXT,
    FEATURES,
    INPUTS,
    IS_EVENT,
    RESET,
    STEPS,
    UNITS,
    run,
)
from tests.reference.look_back import attention as make

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-5}


def normed(norm, x):
    gamma, beta = (np.asarray(w, np.float64) for w in norm.weights)
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def by_loop(layer, user):
    """The outputs of one user's events (events, features), float64, by one event and head."""
    number = lambda weight: np.asarray(weight, np.float64)  # noqa: E731
    x = np.asarray(user, np.float64) @ number(layer.kernel) + number(layer.bias)
    size = layer.units // layer.num_heads
    for block in layer.blocks:
        projected = normed(block.norms[0], x) @ number(block.query_key_value_kernel)
        q, k, v = np.split(projected, 3, axis=1)
        attended = np.zeros_like(x)
        for t, head in np.ndindex(len(x), layer.num_heads):
            mine = slice(head * size, (head + 1) * size)
            read = range(max(0, t - layer.context + 1), t + 1)
            terms = number(block.relative)[head]
            logits = [q[t, mine] @ k[j, mine] / size**0.5 + terms[t - j] for j in read]
            weights = np.exp(logits) / np.exp(logits).sum()
            attended[t, mine] = weights @ v[read, mine]
        x = x + attended @ number(block.output_kernel)
        inner = normed(block.norms[1], x) @ number(block.expand_kernel) + number(block.expand_bias)
        x = x + np.maximum(inner, 0) @ number(block.contract_kernel) + number(block.contract_bias)
    return normed(layer.last_norm, x)


def test_golden_values():
    """Queries and keys are 0, so that p alone weighs: 3/4 for the event, 1/4 for the one before.

    Norms leave (1, -1, 1, -1) and (1, 1, -1, -1) as they are. The values are 2 and 2 in the same
    directions, so that the second event becomes b + (3 b + a) / 2 = (3, 2, -2, -3), with variance
    (9 + 4) / 2. The third event sees the second and itself, not the first.
    """
    a, b = np.array([1.0, -1, 1, -1]), np.array([1.0, 1, -1, -1])
    layer = CausalAttention(4, num_blocks=1, num_heads=1, context=2)
    layer.build((None, None, 4))
    block, same = layer.blocks[0], np.eye(4)
    layer.kernel.assign(same)
    block.query_key_value_kernel.assign(np.concatenate([0 * same, 0 * same, 2 * same], axis=1))
    block.output_kernel.assign(same)
    block.contract_kernel.assign(np.zeros((16, 4)))
    block.relative.assign([[np.log(3.0), 0.0]])
    outputs, _ = layer(tf.constant([[a, b, b]], tf.float32))
    expected = [a, np.array([3.0, 2, -2, -3]) / 6.5**0.5, b]
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"num_heads": 1, "context": 3}, {"num_heads": 4, "num_blocks": 1, "context": 40}],
    ids=str,
)
def test_agrees_with_a_float64_loop_over_each_users_events(arguments):
    layer = make(**arguments)
    outputs, _ = run(layer)
    users = np.cumsum(RESET & IS_EVENT, axis=1)
    for row in range(BATCH):
        for user in np.unique(users[row, IS_EVENT[row]]):
            mine = (users[row] == user) & IS_EVENT[row]
            expected = by_loop(layer, INPUTS[row, mine])
            np.testing.assert_allclose(outputs[row][mine], expected, rtol=1e-4, atol=1e-5)


def test_an_event_sees_its_context_and_no_more():
    layer, inputs = make(num_blocks=1), tf.constant(INPUTS)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        last = tf.reduce_sum(tf.sin(layer(inputs)[0][:, -1]))
    seen = np.abs(tape.gradient(last, inputs)).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(seen, np.arange(STEPS) >= STEPS - CONTEXT)


def test_with_a_context_of_one_it_is_a_network_of_each_events_value():
    """The only weight is 1, so that queries, keys and p have no part."""
    layer = make(context=1, num_blocks=1)
    block = layer.blocks[0]
    outputs, states = layer(INPUTS)
    x = INPUTS @ layer.kernel.numpy() + layer.bias.numpy()
    value_kernel = block.query_key_value_kernel.numpy()[:, -UNITS:]
    x = x + block.norms[0](x).numpy() @ value_kernel @ block.output_kernel.numpy()
    inner = block.norms[1](x).numpy() @ block.expand_kernel.numpy() + block.expand_bias.numpy()
    x = x + np.maximum(inner, 0) @ block.contract_kernel.numpy() + block.contract_bias.numpy()
    np.testing.assert_allclose(outputs, layer.last_norm(x), rtol=1e-4, atol=1e-5)
    assert [state.shape for state in states] == [(BATCH, 0)]


def test_dropout_is_of_what_a_block_adds_in_training_only():
    """One block that adds 0 or twice its constant: x is 1 + 0 or 8, before the last norm."""
    layer = make(num_blocks=1, dropout=0.5, seed=3)
    for weight in layer.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    layer.bias.assign([1.0, 2.0, 3.0, 4.0])
    layer.blocks[0].contract_bias.assign([4.0] * UNITS)
    layer.last_norm.gamma.assign([1.0] * UNITS)
    kept = layer(INPUTS, training=True)[0]
    added = np.array(list(itertools.product([0.0, 8.0], repeat=UNITS)))
    possible = normed(layer.last_norm, added + np.array([1.0, 2.0, 3.0, 4.0]))
    distance = np.abs(kept.numpy()[:, :, None] - possible).max(axis=-1)
    assert distance.min(axis=-1).max() < 1e-5
    assert len(set(distance.argmin(axis=-1).ravel())) > 8
    expected = normed(layer.last_norm, np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(layer(INPUTS)[0], np.tile(expected, (BATCH, STEPS, 1)), atol=1e-5)


def test_every_weight_has_its_own_draw():
    layer, again = (CausalAttention(UNITS, context=3, seed=5) for _ in range(2))
    for made in (layer, again):
        made.build((None, None, FEATURES))
    first_values = [w.numpy().ravel()[0] for w in layer.trainable_weights if np.std(w) > 0]
    assert len(set(first_values)) == len(first_values) == 9
    for mine, other in zip(layer.weights, again.weights, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_config_round_trip():
    arguments = {"units": 6, "num_blocks": 3, "num_heads": 3, "context": 7}
    arguments |= {"dropout": 0.25, "seed": 4}
    config = json.loads(json.dumps(CausalAttention(**arguments).get_config()))
    assert {name: config[name] for name in arguments} == arguments
    assert CausalAttention.from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be a positive int, but was 0. Pass a size"),
        ({"num_blocks": 0}, "`num_blocks` must be a positive int, but was 0. Pass the number"),
        ({"num_heads": True}, "`num_heads` must be a positive int, but was True. Pass the number"),
        ({"num_heads": 3}, "`units` was 4 with 3 heads, but each .* Pass a multiple"),
        ({"context": 0}, "`context` must be a positive int, but was 0. Pass the number"),
        ({"dropout": -0.1}, "`dropout` must be a dropout rate in .*, but was -0.1. Pass"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        CausalAttention(**{"units": 4} | arguments)
