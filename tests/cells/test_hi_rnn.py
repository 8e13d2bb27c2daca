import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import HierarchicalGRUCell, HiRNNCell, ReferenceGRUCell
from hrec_tf.layers import Recurrence, pack_events
from tests.reference.recurrent import gru_step, hi_rnn_loop, weights_of
from tests.reference.weights import fill_distinct

BATCH, STEPS, FEATURES, SHORT, LONG, TIME = 3, 6, 4, 5, 3, 2
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


def built(**arguments):
    sizes = {"short_units": SHORT, "long_units": LONG, "time_dim": TIME}
    cell = HiRNNCell(**sizes | arguments)
    cell.build((None, FEATURES + 3))
    fill_distinct(cell)
    return cell


def random_inputs(seed=0, delta=None, ends=None):
    """(batch, steps, FEATURES + 3); δ between 0 and 6."""
    generator = np.random.default_rng(seed)
    items = generator.normal(size=(BATCH, STEPS, FEATURES))
    user_start = generator.random((BATCH, STEPS)) < 0.2
    told_delta = generator.uniform(0, 6, (BATCH, STEPS)) if delta is None else delta
    told_ends = generator.random((BATCH, STEPS)) < 0.4 if ends is None else ends
    told = [np.broadcast_to(v, (BATCH, STEPS)) for v in (told_delta, told_ends, user_start)]
    return np.concatenate([items, np.stack(told, -1)], -1).astype("float32")


def run(cell, inputs, states=None):
    recurrence = Recurrence(cell)
    recurrence.build(inputs.shape)
    return recurrence(tf.constant(inputs), initial_state=states)


def some_states():
    s = np.linspace(-0.4, 0.4, BATCH * SHORT).reshape(BATCH, SHORT).astype("float32")
    l = np.linspace(0.3, -0.5, BATCH * LONG).reshape(BATCH, LONG).astype("float32")  # noqa: E741
    return s, l


@pytest.mark.parametrize(
    "arguments", [{}, {"decay": False}, {"time_dim": 0}, {"gap_mean": 2.0, "gap_sd": 1.5}]
)
def test_agrees_with_a_float64_loop(arguments):
    """equations E.2, from states that are not zero."""
    cell, inputs, states = built(**arguments), random_inputs(), some_states()
    expected, last_s, last_l = hi_rnn_loop(cell, inputs, *states)
    outputs, after = run(cell, inputs, [tf.constant(state) for state in states])
    np.testing.assert_allclose(outputs, expected, **FLOAT32_NOISE)
    np.testing.assert_allclose(after[0], last_s, **FLOAT32_NOISE)
    np.testing.assert_allclose(after[1], last_l, **FLOAT32_NOISE)


def test_golden_values_of_one_unit():
    """All biases 0; a segment ends: l from s, s from l, then the item is read.

    GRU_l reads s = 0.5 with kernel (0, 0, 1) and no recurrence: z = 1/2, so l = tanh(0.5) / 2.
    s = tanh(2 l); GRU_s reads x = 1 with kernel (0, 0, 1): s = s / 2 + tanh(1) / 2.
    """
    cell = HiRNNCell(short_units=1, long_units=1, time_dim=0, decay=False)
    cell.build((None, 4))
    for weight in cell.weights:
        weight.assign(tf.zeros_like(weight))
    for gru in (cell.short_cell, cell.long_cell):
        gru.kernel.assign([[0.0, 0.0, 1.0]])
    cell.init_kernel.assign([[2.0]])
    inputs = tf.constant([[1.0, 3.0, 1.0, 0.0]])
    _, (s, l) = cell(inputs, [tf.constant([[0.5]]), tf.constant([[0.0]])])  # noqa: E741
    expected_l = np.tanh(0.5) / 2
    np.testing.assert_allclose(l, [[expected_l]], rtol=1e-6)
    np.testing.assert_allclose(s, [[(np.tanh(2 * expected_l) + np.tanh(1)) / 2]], rtol=1e-6)


def test_the_short_state_decays_with_the_gap():
    """γ(δ) = exp(-relu(δ w + b)): halves at δ w + b = log 2, and never grows."""
    cell = HiRNNCell(short_units=2, long_units=1, time_dim=0)
    cell.build((None, 4))
    for weight in cell.weights:
        weight.assign(tf.zeros_like(weight))
    cell.decay_kernel.assign([[np.log(2), -5.0]])
    # GRU_s keeps half of its state: z = 1/2, candidate 0.
    for delta, kept in ((1.0, 0.5), (2.0, 0.25), (0.0, 1.0)):
        inputs = tf.constant([[0.0, delta, 0.0, 0.0]])
        _, (s, _) = cell(inputs, [tf.constant([[0.8, 0.8]]), tf.zeros((1, 1))])
        np.testing.assert_allclose(s, [[0.4 * kept, 0.4]], rtol=1e-6)


def test_without_gaps_the_short_layer_is_a_gru():
    """E-T1: δ = 0 ends no segment, and with b_γ <= 0 nothing decays."""
    cell = built(time_dim=0)
    cell.decay_bias.assign(-abs(cell.decay_bias.numpy()))
    inputs = random_inputs(delta=0.0, ends=False)
    inputs[..., -1] = 0
    gru = ReferenceGRUCell(SHORT)
    gru.build((None, FEATURES))
    gru.set_weights(cell.short_cell.get_weights())
    outputs, after = run(cell, inputs)
    expected, _ = run(gru, inputs[..., :FEATURES])
    np.testing.assert_allclose(outputs[..., :SHORT], expected, **FLOAT32_NOISE)
    assert not np.any(after[1]), "no segment ended, so nothing is known of long times"


def test_with_segments_of_one_event_the_long_layer_is_a_gru_over_events():
    """E-T2: τ_seg = 0 and gaps above it; l reads each s, and s always starts from l."""
    cell = built()
    inputs = random_inputs(delta=1.0, ends=True)
    inputs[..., -1] = 0
    outputs, _ = run(cell, inputs)
    s, l = np.asarray(outputs[..., :SHORT]), np.asarray(outputs[..., SHORT:])  # noqa: E741
    long = weights_of(cell.long_cell)
    kernel, bias = cell.segment_time
    time = np.asarray(kernel)[0] + np.asarray(bias)
    for step in range(1, STEPS):
        for row in range(BATCH):
            read = np.concatenate([s[row, step - 1], time])
            np.testing.assert_allclose(
                l[row, step], gru_step(long, read, l[row, step - 1]), **FLOAT32_NOISE
            )


def test_with_sessions_as_segments_and_no_times_it_is_hrnn_init():
    """E-T3: w_γ = b_γ = 0 and w_δ = 0; HRNN is fed the last event of a session, too."""
    cell = built()
    for kernel, bias in (cell.event_time, cell.segment_time):
        kernel.assign(tf.zeros_like(kernel))
        bias.assign(tf.zeros_like(bias))
    cell.decay_kernel.assign(tf.zeros_like(cell.decay_kernel))
    cell.decay_bias.assign(tf.zeros_like(cell.decay_bias))
    hrnn = HierarchicalGRUCell(session_units=SHORT, user_units=LONG)
    hrnn.build((None, FEATURES + 2))
    for theirs, ours, rows in (
        (hrnn.session_cell, cell.short_cell, FEATURES),
        (hrnn.user_cell, cell.long_cell, SHORT),
    ):
        # Rows of what the times become are left out: they are multiplied by 0.
        theirs.set_weights([ours.get_weights()[0][:rows], *ours.get_weights()[1:]])
    hrnn.init_kernel.assign(cell.init_kernel)
    hrnn.init_bias.assign(cell.init_bias)
    inputs = random_inputs()
    items, ends, user_start = (
        np.split(inputs, [FEATURES, FEATURES + 1], -1)[0],
        *(inputs[..., place] > 0 for place in (-2, -1)),
    )
    outputs, after = run(cell, inputs)
    expected, expected_after = run(
        hrnn, np.asarray(pack_events(items, ends | user_start, user_start))
    )
    np.testing.assert_allclose(outputs[..., :SHORT], expected, **FLOAT32_NOISE)
    for mine, other in zip(after, expected_after, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


def test_a_new_user_starts_from_nothing_and_ends_no_segment():
    cell, inputs = built(), random_inputs()
    inputs[:, 0, -1] = 1
    fresh, _ = run(cell, inputs)
    used, _ = run(cell, inputs, [tf.constant(state) for state in some_states()])
    np.testing.assert_array_equal(fresh, used)


def test_gradients_equal_keras_rnn():
    """By autodiff through Keras' own loop, weight by weight."""
    cell, inputs = built(), tf.constant(random_inputs())
    recurrence = Recurrence(cell)
    recurrence.build(inputs.shape)
    rnn = keras.layers.RNN(cell, return_sequences=True)
    weights = [weight.value for weight in cell.trainable_weights]
    found = []
    for read in (lambda: recurrence(inputs)[0], lambda: rnn(inputs)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(read() * 3.0))
        found.append(tape.gradient(loss, weights))
    for weight, ours, theirs in zip(weights, *found, strict=True):
        assert np.any(theirs), weight.name
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`gap_mean` was 2.* with time_dim=0.*Leave both out"):
        HiRNNCell(time_dim=0, gap_mean=2.0)
    with pytest.raises(ValueError, match=r"`gap_sd` must be a finite number of at least 1e-06"):
        HiRNNCell(gap_sd=0.0)
    with pytest.raises(ValueError, match=r"`short_units` must be a positive int, but was 0"):
        HiRNNCell(short_units=0)
