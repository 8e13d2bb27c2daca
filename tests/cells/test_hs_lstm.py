import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import HSLSTMCell, LSTMCell
from hrec_tf.layers import Recurrence
from tests.reference.recurrent import hs_lstm_loop, sigmoid
from tests.reference.weights import fill_distinct, fill_drawn

BATCH, STEPS, FEATURES, LOWER, UPPER = 3, 6, 4, 5, 3
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


def built(**arguments):
    cell = HSLSTMCell(**{"lower_units": LOWER, "upper_units": UPPER} | arguments)
    cell.build((None, FEATURES + 2))
    fill_distinct(cell)
    for number, weight in enumerate(cell.acting_policy):
        size = int(np.prod(weight.shape))
        weight.assign(0.6 * np.cos(np.arange(1, size + 1) + number).reshape(weight.shape))
    return cell


def inputs_of(bar, user_start=None, seed=0):
    """(batch, steps, FEATURES + 2), with υ where `bar` is broadcast to."""
    generator = np.random.default_rng(seed)
    items = generator.normal(size=(BATCH, STEPS, FEATURES))
    if user_start is None:
        user_start = np.arange(STEPS) == 0
    told = [np.broadcast_to(values, (BATCH, STEPS)) for values in (bar, user_start)]
    return np.concatenate([items, np.stack(told, -1)], -1).astype("float32")


def run(cell, inputs, states=None):
    recurrence = Recurrence(cell)
    recurrence.build(inputs.shape)
    outputs, states = recurrence(tf.constant(inputs), initial_state=states)
    return np.asarray(outputs), states


def plain_lstm(cell, inputs, states=None):
    """Outputs of one of the two LSTMs alone."""
    lstm = LSTMCell(cell.units)
    lstm.build((None, inputs.shape[-1]))
    lstm.set_weights(cell.get_weights())
    return run(lstm, inputs, states)[0]


def some_states():
    sizes = LOWER, LOWER, UPPER, UPPER
    return [
        np.linspace(-0.4, 0.5 - 0.2 * place, BATCH * size).reshape(BATCH, size).astype("float32")
        for place, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("boundaries", ["learned", "supervised", "given"])
def test_agrees_with_a_float64_loop(boundaries):
    """equations F.2, greedily, by chance and told, from states that are not zero."""
    cell, states = built(boundaries=boundaries), some_states()
    generator = np.random.default_rng(1)
    bar = generator.choice([0.0, -np.inf, np.inf, 0.3, -0.7], (BATCH, STEPS))
    inputs = inputs_of(bar, generator.random((BATCH, STEPS)) < 0.2)
    expected, last = hs_lstm_loop(cell, inputs, states)
    outputs, after = run(cell, inputs, [tf.constant(state) for state in states])
    np.testing.assert_allclose(outputs, expected, **FLOAT32_NOISE)
    for mine, other in zip(after, last, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)
    if boundaries != "given":
        assert 0 < expected[..., -1].mean() < 1, "both actions are taken"


def test_golden_values_of_one_unit():
    """All weights 0 but those named; forget gates are σ(1) by their bias, the others 1/2.

    z' = 2 h^w + 0.1 = 1.1 > 1, so the segment ends: LSTM_p reads h^w = 0.5 by the candidate's
    weight 1, c^p = tanh(0.5) / 2. LSTM_w starts from 0 and reads x = 1: c^w = tanh(1) / 2.
    """
    cell = HSLSTMCell(lower_units=1, upper_units=1)
    cell.build((None, 3))
    for weight in cell.weights:
        weight.assign(tf.zeros_like(weight))
    cell.lower_cell.kernel.assign([[0.0, 0.0, 1.0, 0.0]])
    cell.upper_cell.kernel.assign([[0.0, 0.0, 1.0, 0.0]])
    kernel, bias = cell.acting_policy
    kernel.assign([[0.0], [0.0], [0.0], [2.0], [0.0]])
    bias.assign([0.1])
    states = [tf.constant([[value]]) for value in (0.5, 0.8, 0.0, 0.0)]
    output, (_, c_w, _, c_p) = cell(tf.constant([[1.0, 1.0, 0.0]]), states)
    expected_w, expected_p = np.tanh(1) / 2, np.tanh(0.5) / 2
    np.testing.assert_allclose([c_w[0, 0], c_p[0, 0]], [expected_w, expected_p], rtol=1e-6)
    expected = [np.tanh(expected_p) / 2, np.tanh(expected_w) / 2, 0.0, 1.1, 1.0]
    np.testing.assert_allclose(output[0], expected, rtol=1e-6)


def test_all_inside_is_a_plain_lstm():
    """F2-T1: the upper state stays 0."""
    cell, inputs = built(), inputs_of(np.inf)
    outputs, _ = run(cell, inputs)
    expected = plain_lstm(cell.lower_cell, inputs[..., :FEATURES])
    np.testing.assert_allclose(outputs[..., UPPER : UPPER + LOWER], expected, **FLOAT32_NOISE)
    assert not np.any(outputs[..., :UPPER])


def test_all_ends_is_an_lstm_over_codes_of_single_items():
    """F2-T2: the lower LSTM reads every item from zero, the upper one what came of each."""
    cell, inputs = built(), inputs_of(-np.inf)
    outputs, _ = run(cell, inputs)
    single = inputs[..., :FEATURES].reshape(BATCH * STEPS, 1, FEATURES)
    codes = plain_lstm(cell.lower_cell, single).reshape(BATCH, STEPS, LOWER)
    np.testing.assert_allclose(outputs[..., UPPER : UPPER + LOWER], codes, **FLOAT32_NOISE)
    # An item's own segment has not ended yet.
    over_codes = plain_lstm(cell.upper_cell, codes[:, :-1])
    np.testing.assert_allclose(outputs[:, 1:, :UPPER], over_codes, **FLOAT32_NOISE)


def test_given_sessions_make_two_levels_of_lstms():
    """F2-T5: as HRNN with LSTMs, but each session's LSTM starts from zero."""
    cell = built(boundaries="given")
    starts = np.array([True, False, False, True, False, True])
    inputs = inputs_of(np.where(starts, -np.inf, np.inf))
    outputs, _ = run(cell, inputs)
    items, ended = inputs[..., :FEATURES], []
    for first, last in ((0, 3), (3, 5), (5, 6)):
        session = plain_lstm(cell.lower_cell, items[:, first:last])
        over_sessions = np.zeros((BATCH, UPPER))
        if ended:
            over_sessions = plain_lstm(cell.upper_cell, np.stack(ended, axis=1))[:, -1]
        for step in range(first, last):
            expected = np.concatenate([over_sessions, session[:, step - first]], axis=-1)
            np.testing.assert_allclose(outputs[:, step], expected, **FLOAT32_NOISE)
        ended.append(session[:, -1])


def test_logistic_noise_ends_segments_as_often_as_the_policy_says():
    cell = built()
    draws = 20_000
    u = np.random.default_rng(0).random((draws, 1)).astype("float32")
    x = np.broadcast_to(np.array([0.5, -1.0, 0.3, 0.8], "float32"), (draws, FEATURES))
    inputs = np.concatenate([x, np.log(u / (1 - u)), np.zeros_like(u)], axis=-1)
    states = [np.broadcast_to(state[:1], (draws, state.shape[1])) for state in some_states()]
    output, _ = cell(tf.constant(inputs), [tf.constant(state) for state in states])
    _, acting_z, ends = np.asarray(output)[:, -3:].T
    pi = sigmoid(acting_z[0])
    assert abs(pi - 0.5) > 0.05
    np.testing.assert_allclose(ends.mean(), pi, atol=4 * np.sqrt(0.25 / draws))


def test_the_policy_that_acts_follows_the_one_that_learns():
    """Θ' <- 0.9 Θ' + 0.1 Θ; it begins as Θ and is not trained."""
    cell = HSLSTMCell(lower_units=2, upper_units=1)
    cell.build((None, 4))
    for acting, learning in zip(cell.acting_policy, cell.policy, strict=True):
        np.testing.assert_allclose(acting, learning, rtol=1e-6)
    fill_drawn(cell)
    (acting, _), (learning, _) = cell.acting_policy, cell.policy
    expected = 0.9 * acting.numpy() + 0.1 * learning.numpy()
    cell.follow(0.1)
    np.testing.assert_allclose(acting, expected, rtol=1e-5)
    trained = {id(weight) for weight in cell.trainable_weights}
    assert {id(w) for w in cell.policy} <= trained
    assert not {id(w) for w in cell.acting_policy} & trained


@pytest.mark.parametrize("boundaries", ["learned", "supervised"])
def test_the_policy_moves_nothing_but_itself_unless_it_is_told(boundaries):
    """Learnt, no gradient of z flows into states and items; those of the states do without it."""
    cell, inputs = built(boundaries=boundaries), tf.constant(inputs_of(0.0))
    recurrence = Recurrence(cell)
    recurrence.build(inputs.shape)
    others = [w for w in cell.trainable_weights if id(w) not in map(id, cell.policy)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs, _ = recurrence(inputs)
        z = tf.reduce_sum(tf.sin(outputs[..., -3]))
        o = tf.reduce_sum(tf.sin(outputs[..., :-3]))
    for weight in cell.policy:
        assert np.any(tape.gradient(z, weight.value))
        assert not np.any(tape.gradient(o, weight.value))
    for value in [inputs, *(weight.value for weight in others)]:
        gradient = tape.gradient(z, value)
        assert (gradient is not None and bool(np.any(gradient))) == (boundaries == "supervised")
        assert np.any(tape.gradient(o, value))


@pytest.mark.parametrize("boundaries", ["learned", "supervised"])
def test_gradients_equal_keras_rnn(boundaries):
    """By autodiff through Keras' own loop, weight by weight."""
    cell, inputs = built(boundaries=boundaries), tf.constant(inputs_of(0.0))
    recurrence = Recurrence(cell)
    recurrence.build(inputs.shape)
    rnn = keras.layers.RNN(cell, return_sequences=True)
    weights = [weight.value for weight in cell.trainable_weights]
    found = []
    for read in (lambda: recurrence(inputs)[0], lambda: rnn(inputs)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(read() * 3.0))
        found.append(tape.gradient(loss, weights))
    for weight, ours, theirs in zip(cell.trainable_weights, *found, strict=True):
        assert np.any(theirs), weight.path
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`boundaries` was 'give'.*Did you mean 'given'"):
        HSLSTMCell(boundaries="give")
    with pytest.raises(ValueError, match=r"`upper_units` must be a positive int, but was 0"):
        HSLSTMCell(upper_units=0)
