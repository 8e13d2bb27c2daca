"""What layers promise that look back over a stream: exact wherever it is cut, or padded."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.layers.causal_attention import TOGETHER
from tests.reference.look_back import (
    BATCH,
    DRAW,
    FEATURES,
    INPUTS,
    IS_EVENT,
    RESET,
    STEPS,
    UNITS,
    attention,
    convolutions,
    random_states,
    run,
)

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-5}

flags = st.lists(st.booleans(), min_size=STEPS, max_size=STEPS)
of_both = pytest.mark.parametrize("make", [convolutions, attention])


@of_both
@settings(deadline=None, max_examples=10)
@given(reset=flags, is_event=flags, cuts=st.sets(st.integers(1, STEPS - 1), max_size=6))
def test_a_stream_may_be_cut_anywhere(make, reset, is_event, cuts):
    layer = make()
    reset, is_event = (np.tile(flag, (BATCH, 1)) for flag in (reset, is_event))
    reset[1], is_event[1] = False, True
    whole, last = run(layer, states=random_states(layer), reset=reset, is_event=is_event)
    states, edges = random_states(layer), [0, *sorted(cuts), STEPS]
    for begin, end in itertools.pairwise(edges):
        outputs, states = run(layer, slice(begin, end), states, reset, is_event)
        real = is_event[:, begin:end]
        np.testing.assert_allclose(outputs[real], whole[:, begin:end][real], **FLOAT32_NOISE)
    for mine, other in zip(states, last, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


@of_both
def test_a_state_of_zeros_is_a_new_user(make):
    layer, start = make(), np.zeros_like(RESET)
    start[:, 0] = True
    everywhere = np.ones_like(IS_EVENT)
    outputs, after = run(layer, reset=0 * RESET > 0, is_event=everywhere)
    begun, begun_after = run(layer, states=random_states(layer), reset=start, is_event=everywhere)
    np.testing.assert_array_equal(outputs, begun)
    for mine, other in zip(after, begun_after, strict=True):
        np.testing.assert_array_equal(mine, other)
    carried = run(layer, states=random_states(layer), reset=0 * RESET > 0, is_event=everywhere)
    assert np.abs(carried[0] - outputs)[:, 0].max() > 0.01


@of_both
def test_padding_moves_no_state_and_repeats_the_last_output(make):
    layer, states = make(), random_states(make())
    outputs, after = run(layer, states=states, is_event=np.zeros_like(IS_EVENT))
    np.testing.assert_array_equal(outputs, np.zeros((BATCH, STEPS, UNITS)))
    for before, state in zip(states, after, strict=True):
        np.testing.assert_array_equal(state, before)
    is_event = np.ones_like(IS_EVENT)
    is_event[:, 4:6] = False
    outputs, _ = run(layer, states=states, is_event=is_event)
    np.testing.assert_array_equal(outputs[:, 5], outputs[:, 3])


@of_both
def test_padding_moves_no_bit_of_what_comes_after(make):
    """In a graph, too, whose optimiser rewrites some operations."""
    layer, states = make(), random_states(make())
    is_event = np.ones_like(IS_EVENT)
    is_event[:, [1, 2]] = False
    real = is_event[0]
    graph = tf.function(lambda x, flags: layer(x, initial_state=states, is_event=flags))
    padded, after_padded = graph(tf.constant(INPUTS), tf.constant(is_event))
    outputs, after = graph(tf.constant(INPUTS[:, real]), tf.constant(is_event[:, real]))
    np.testing.assert_array_equal(padded.numpy()[:, real], outputs)
    for mine, other in zip(after, after_padded, strict=True):
        np.testing.assert_array_equal(mine, other)


@of_both
def test_no_event_sees_what_comes_later(make):
    layer, later = make(), INPUTS.copy()
    later[:, 7:] += DRAW.normal(size=FEATURES)
    outputs, other = layer(INPUTS)[0], layer(later)[0]
    np.testing.assert_array_equal(outputs[:, :7], other[:, :7])
    assert np.abs(outputs[:, 7:] - other[:, 7:]).max() > 0.1


@of_both
def test_nothing_before_a_reset_has_any_influence(make):
    layer, other_inputs = make(), INPUTS.copy()
    other_inputs[:, :5] *= -2
    reset = np.zeros_like(RESET)
    reset[:, 5] = True
    flags = {"reset": tf.constant(reset), "is_event": tf.constant(IS_EVENT | reset)}
    outputs, after = layer(INPUTS, initial_state=random_states(layer), **flags)
    other, other_after = layer(other_inputs, initial_state=random_states(layer, 2), **flags)
    np.testing.assert_array_equal(outputs[:, 5:], other[:, 5:])
    for mine, state in zip(after, other_after, strict=True):
        np.testing.assert_array_equal(mine, state)
    assert np.abs(outputs[:, :5] - other[:, :5]).max() > 0.1


@of_both
def test_a_reset_on_padding_does_not_count(make):
    layer, reset = make(), np.zeros_like(RESET)
    is_event = np.ones_like(IS_EVENT)
    is_event[:, 4] = False
    outputs, _ = run(layer, reset=reset, is_event=is_event)
    reset[:, 4] = True
    np.testing.assert_array_equal(run(layer, reset=reset, is_event=is_event)[0], outputs)


@pytest.mark.integration
@of_both
@pytest.mark.parametrize("jit_compile", [False, True])
def test_trains_inside_a_loop_in_a_graph(make, jit_compile):
    """Gradients reach every weight, and are those outside of a graph."""
    layer = make()

    def gradients(states):
        with tf.GradientTape() as tape:
            outputs, states = run(layer, states=states, training=True)
            loss = tf.reduce_sum(tf.sin(outputs))
        return tape.gradient(loss, [w.value for w in layer.trainable_weights]), states

    @tf.function(jit_compile=jit_compile, autograph=False)
    def two_windows():
        def body(index, states, total):
            found, states = gradients(states)
            return index + 1, states, [t + g for t, g in zip(total, found, strict=True)]

        zeros = [tf.zeros(w.shape) for w in layer.trainable_weights]
        start = (0, layer.initial_states(BATCH), zeros)
        return tf.while_loop(lambda index, *_: index < 2, body, start)[2]

    found, states = gradients(layer.initial_states(BATCH))
    more, _ = gradients(states)
    for weight, a, b, total in zip(
        layer.trainable_weights, found, more, two_windows(), strict=True
    ):
        assert np.abs(a).max() > 1e-4, weight.path
        np.testing.assert_allclose(total, a + b, rtol=1e-3, atol=1e-4)


@of_both
def test_batch_and_steps_need_not_be_known_when_the_graph_is_made(make):
    layer = make()

    def call(inputs, reset, is_event, *states):
        return layer(inputs, initial_state=list(states), reset=reset, is_event=is_event)

    spec = [tf.TensorSpec((None, None, FEATURES)), *[tf.TensorSpec((None, None), tf.bool)] * 2]
    spec += [tf.TensorSpec((None, size)) for size in layer.state_sizes]
    graph = tf.function(call, input_signature=spec)
    states = random_states(layer)
    for steps in (1, 5, TOGETHER, STEPS):
        outputs, _ = graph(INPUTS[:, :steps], RESET[:, :steps], IS_EVENT[:, :steps], *states)
        expected, _ = run(layer, slice(steps), states)
        np.testing.assert_allclose(outputs, expected, **FLOAT32_NOISE)
