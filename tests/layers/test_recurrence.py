import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.cells import HierarchicalGRUCell, LSTMCell, ReferenceGRUCell
from hrec_tf.cells.protocol import dense
from hrec_tf.layers import Recurrence
from hrec_tf.layers.recurrence import _guarded_step, _scan
from tests.reference.weights import fill_distinct

BATCH, STEPS, FEATURES, UNITS = 4, 6, 5, 3
CELLS = {
    "gru": lambda **rates: ReferenceGRUCell(UNITS, **rates),
    "gru_reset_after": lambda **rates: ReferenceGRUCell(UNITS, reset_after=True, **rates),
    "lstm": lambda **rates: LSTMCell(UNITS, **rates),
    "hrnn_init": lambda **_: HierarchicalGRUCell(session_units=UNITS, user_units=2),
    "hrnn_all": lambda dropout=0.0, **_: HierarchicalGRUCell(
        session_units=UNITS,
        user_units=2,
        user_gates="rzh",
        session_dropout=dropout,
        user_dropout=dropout,
        init_dropout=dropout,
        user_to_output=True,
    ),
}


def make(name, **rates):
    cell = CELLS[name](**rates)
    recurrence = Recurrence(cell)
    assert recurrence._rnn is None, "our cells run in the fast form, not in keras.layers.RNN"
    recurrence.build((None, None, FEATURES))
    fill_distinct(cell)
    return recurrence


def random_inputs(batch=BATCH, steps=STEPS, seed=0):
    inputs = np.random.default_rng(seed).normal(size=(batch, steps, FEATURES))
    # The last two features are flags where the cell has flags; any cell takes them.
    inputs[..., -2:] = inputs[..., -2:] > 0.4
    return tf.constant(inputs, tf.float32)


def value_and_gradients(run, inputs, cell, states):
    variables = [weight.value for weight in cell.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch([inputs, states])
        outputs, last = run(inputs, states)
        # A loss that weighs every output and every last state differently.
        loss = tf.reduce_sum(
            tf.sin(outputs + tf.cast(tf.range(tf.shape(outputs)[1]), tf.float32)[:, None])
        )
        loss += tf.add_n([tf.reduce_sum(tf.cos(state * (1.0 + i))) for i, state in enumerate(last)])
    gradients = tape.gradient(
        loss, [inputs, states, variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return outputs, last, gradients


def assert_same(ours, theirs, tolerance=1e-5):
    for mine, other in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        mine, other = (
            tf.convert_to_tensor(v) if isinstance(v, tf.IndexedSlices) else v for v in (mine, other)
        )
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "jit_compile"), [(name, False) for name in CELLS] + [("hrnn_all", True)]
)
def test_equals_keras_rnn_forward_and_backward(name, jit_compile):
    recurrence, inputs = make(name), random_inputs()
    rnn = keras.layers.RNN(recurrence.cell, return_sequences=True, return_state=True)
    states = [
        tf.constant(np.linspace(-0.5, 0.7, BATCH * size).reshape(BATCH, size), tf.float32)
        for size in recurrence.state_sizes
    ]

    def keras_run(inputs, states):
        outputs, *last = rnn(inputs, initial_state=states)
        return outputs, last

    @tf.function(jit_compile=jit_compile)
    def ours(inputs, states):
        run = lambda x, s: recurrence(x, initial_state=s)  # noqa: E731
        return value_and_gradients(run, inputs, recurrence.cell, states)

    @tf.function
    def theirs(inputs, states):
        return value_and_gradients(keras_run, inputs, recurrence.cell, states)

    assert_same(ours(inputs, states), theirs(inputs, states))


def test_batch_and_steps_need_not_be_known_when_the_graph_is_made():
    recurrence, inputs = make("hrnn_all"), random_inputs()
    states = recurrence.initial_states(BATCH)

    def ours(inputs, *states):
        run = lambda x, s: recurrence(x, initial_state=s)  # noqa: E731
        outputs, last, gradients = value_and_gradients(run, inputs, recurrence.cell, list(states))
        return outputs, last, [tf.convert_to_tensor(g) for g in tf.nest.flatten(gradients)]

    spec = [tf.TensorSpec((None, None, FEATURES))]
    spec += [tf.TensorSpec((None, size)) for size in recurrence.state_sizes]
    open_graph = tf.function(ours, input_signature=spec, autograph=False)
    assert_same(open_graph(inputs, *states), tf.function(ours)(inputs, *states))


@settings(deadline=None, max_examples=12)
@given(
    name=st.sampled_from(sorted(CELLS)),
    batch=st.integers(1, 4),
    steps=st.integers(2, 5),
    dropout=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 99),
)
def test_the_backward_pass_equals_autodiff(name, batch, steps, dropout, seed):
    """Random shapes, resets, padding and dropouts, against TensorFlow's own gradient."""
    recurrence, inputs = make(name, dropout=dropout), random_inputs(batch, steps, seed)
    cell, generator = recurrence.cell, np.random.default_rng(seed)
    flags = {
        flag: tf.constant(generator.random((batch, steps, 1)) < share)
        for flag, share in (("reset", 0.3), ("is_event", 0.8))
    }
    states = [
        tf.constant(generator.normal(size=(batch, size)), tf.float32)
        for size in recurrence.state_sizes
    ]
    masks = {
        key: value
        for key, value in cell.project(inputs, training=True).items()
        if key.startswith("keep")
    }

    def with_masks(inputs):
        return cell.project(inputs) | masks

    def fused(inputs, states):
        return _scan(cell, {"projected": with_masks(inputs)} | flags, list(states))

    def by_hand(inputs, states):
        whole, outputs = {"projected": with_masks(inputs)} | flags, []
        for t in range(steps):
            step = tf.nest.map_structure(lambda sequence, t=t: sequence[:, t], whole)
            output, states = _guarded_step(cell, step, states, dense)
            outputs.append(output)
        return tf.stack(outputs, axis=1), states

    assert bool(dropout) == bool(masks) or name == "hrnn_init"
    assert_same(
        value_and_gradients(fused, inputs, cell, states),
        value_and_gradients(by_hand, inputs, cell, states),
    )


@pytest.mark.parametrize("name", CELLS)
def test_a_reset_starts_the_row_from_zero(name):
    """Pitfall 1.1: a reset holds for its own step only."""
    recurrence, inputs = make(name), random_inputs()
    reset = np.zeros((BATCH, STEPS), bool)
    reset[1, 3] = True
    outputs, _ = recurrence(inputs, reset=tf.constant(reset))
    plain, _ = recurrence(inputs)
    restarted, _ = recurrence(inputs[:, 3:])
    np.testing.assert_allclose(outputs[0], plain[0], atol=1e-6)
    np.testing.assert_allclose(outputs[1, :3], plain[1, :3], atol=1e-6)
    np.testing.assert_allclose(outputs[1, 3:], restarted[1], atol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_padding_leaves_the_states_as_they_are(name):
    recurrence, inputs = make(name), random_inputs()
    is_event = np.ones((BATCH, STEPS), bool)
    is_event[:, [1, 4]] = False
    outputs, states = recurrence(inputs, is_event=tf.constant(is_event))
    kept, kept_states = recurrence(tf.boolean_mask(inputs, is_event[0], axis=1))
    np.testing.assert_allclose(tf.boolean_mask(outputs, is_event[0], axis=1), kept, atol=1e-6)
    assert_same(states, kept_states, 1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_one_step_at_a_time_equals_the_window(name):
    recurrence, inputs = make(name), random_inputs()
    whole, last = recurrence(inputs)
    states, outputs = None, []
    for step in range(STEPS):
        output, states = recurrence(inputs[:, step : step + 1], initial_state=states)
        outputs.append(output)
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), whole, atol=1e-6)
    assert_same(states, last, 1e-6)


@pytest.mark.parametrize("foreign", [keras.layers.GRUCell, keras.layers.LSTMCell])
def test_a_cell_of_keras_gets_resets_and_padding_too(foreign):
    cell = foreign(UNITS)
    recurrence, inputs = Recurrence(cell), random_inputs()
    reset, is_event = np.zeros((2, BATCH, STEPS), bool)
    is_event[:] = True
    reset[:, 2], is_event[:, 4] = True, False
    outputs, states = recurrence(inputs, reset=tf.constant(reset), is_event=tf.constant(is_event))
    rnn = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    head, *_ = rnn(inputs[:, :2])
    tail, *last = rnn(tf.gather(inputs, [2, 3, 5], axis=1))
    np.testing.assert_allclose(outputs[:, :2], head, atol=1e-6)
    np.testing.assert_allclose(tf.gather(outputs, [2, 3, 5], axis=1), tail, atol=1e-6)
    assert_same(states, last, 1e-6)


def test_config_round_trip():
    recurrence = Recurrence(LSTMCell(4, dropout=0.1))
    again = Recurrence.from_config(recurrence.get_config())
    assert again.cell.get_config() == recurrence.cell.get_config()
