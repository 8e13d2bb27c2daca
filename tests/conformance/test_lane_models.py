"""What models promise that are trained in lanes: states are carried, and belong to one lane."""

import numpy as np
import tensorflow as tf

from hrec_tf.schema import SESSION_START, USER_START
from tests.conformance.cases import CASES, cyclic_histories, distinct, for_each

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
LANES, STEPS = 3, 5

every_model_of_lanes = for_each(CASES)


def random_states(model, seed=1):
    generator = np.random.default_rng(seed)
    return [
        tf.constant(generator.uniform(-0.8, 0.8, state.shape), tf.float32)
        for state in model.initial_states(LANES)
    ]


@every_model_of_lanes
def test_lanes_do_not_know_of_each_other(case):
    """B-T5: whatever happens in lane 1, the other lanes' outputs keep every bit."""
    model, encode = distinct(case)
    events, states = case.events(rows=LANES, steps=STEPS), random_states(model)
    other_events = {
        name: tf.tensor_scatter_nd_update(
            values, [[1]], case.events(rows=LANES, steps=STEPS, seed=9)[name][1:2]
        )
        for name, values in events.items()
    }
    other_states = [
        tf.tensor_scatter_nd_update(state, [[1]], new[1:2])
        for state, new in zip(states, random_states(model, seed=8), strict=True)
    ]
    hidden, after = encode(events, states)
    other_hidden, other_after = encode(other_events, other_states)
    for lane in (0, 2):
        np.testing.assert_array_equal(hidden[lane], other_hidden[lane])
        for mine, other in zip(after, other_after, strict=True):
            np.testing.assert_array_equal(mine[lane], other[lane])
    assert np.abs(hidden[1] - other_hidden[1]).max() > 1e-3


@every_model_of_lanes
def test_a_stream_may_be_cut_anywhere(case):
    """An epoch in windows of 1, 2 and 5 events: the same hidden at every pair."""
    model, encode = distinct(case)

    def hidden_of_epoch(steps):
        states, parts, weights = model.initial_states(LANES), [], []
        stream = case.stream(cyclic_histories(), rows=LANES, steps=steps, order="given")
        for events, _, window_weights in stream:
            hidden, states = encode(events, states)
            parts.append(hidden)
            weights.append(window_weights)
        hidden, weights = np.concatenate(parts, axis=1), np.concatenate(weights, axis=1)
        return [lane[is_pair > 0] for lane, is_pair in zip(hidden, weights, strict=True)]

    whole = hidden_of_epoch(1)
    for steps in (2, 5):
        for mine, other in zip(whole, hidden_of_epoch(steps), strict=True):
            np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


@every_model_of_lanes
def test_padding_in_mid_stream_moves_nothing(case):
    """The states after events with padding between them are those without it."""
    model, encode = distinct(case)
    events, states = case.events(rows=LANES, steps=3), random_states(model)
    # Without a start, which would forget what padding did.
    events |= {flag: tf.zeros((LANES, 3), bool) for flag in (SESSION_START, USER_START)}
    with_padding = {}
    for name, values in events.items():
        idle = tf.zeros_like(values[:, :1])
        with_padding[name] = tf.concat([values[:, :1], idle, idle, values[:, 1:]], axis=1)
    hidden, after = encode(events, states)
    padded_hidden, padded_after = encode(with_padding, states)
    # Products of more rows may round otherwise.
    read = tf.gather(padded_hidden, [0, 3, 4], axis=1)
    np.testing.assert_allclose(read, hidden, **FLOAT32_NOISE)
    for mine, other in zip(padded_after, after, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)
    _, left = encode({name: tf.zeros_like(values) for name, values in events.items()}, states)
    for mine, other in zip(left, states, strict=True):
        np.testing.assert_array_equal(mine, other)


@every_model_of_lanes
def test_a_user_start_forgets_whatever_the_lane_held(case):
    """B-T10; pitfalls 1.2: the first event of a user gives the same in any lane."""
    model, encode = distinct(case)
    events = {name: values[:, :1] for name, values in case.events(rows=LANES, steps=STEPS).items()}
    start = tf.ones((LANES, 1), bool)
    events |= {SESSION_START: start, USER_START: start}
    fresh, fresh_states = encode(events, model.initial_states(LANES))
    used, used_states = encode(events, random_states(model))
    np.testing.assert_array_equal(used, fresh)
    for mine, other in zip(used_states, fresh_states, strict=True):
        np.testing.assert_array_equal(mine, other)
