import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.cells import (
    ElmanCell,
    HCRNNCell,
    HierarchicalGRUCell,
    HiRNNCell,
    HMLSTMCell,
    HSLSTMCell,
    LayerNormGRUCell,
    LSTMCell,
    ReferenceGRUCell,
    UserGRUCell,
)
from hrec_tf.cells.protocol import dense
from hrec_tf.layers import Recurrence
from hrec_tf.layers import recurrence as recurrence_module
from hrec_tf.layers.recurrence import COMPILED_ROWS, FIXED, _guarded_step, _scan
from tests.reference.hcrnn import fill

BATCH, STEPS, FEATURES, UNITS = 4, 6, 5, 3
CELLS = {
    "gru": lambda **rates: ReferenceGRUCell(UNITS, **rates),
    "gru_reset_after": lambda **rates: ReferenceGRUCell(UNITS, reset_after=True, **rates),
    "lstm": lambda **rates: LSTMCell(UNITS, **rates),
    "gru_layer_norm": lambda **rates: LayerNormGRUCell(UNITS, **rates),
    "elman": lambda **_: ElmanCell(UNITS),
    "user_gru": lambda **_: UserGRUCell(UNITS, user_dim=2),
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
    # Of the last three features, the first is δ.
    "hrnn_normalised": lambda **_: HierarchicalGRUCell(
        session_units=UNITS, user_units=2, user_gates="rz", layer_norm=True, gap_input=True
    ),
    "hi_rnn": lambda **_: HiRNNCell(short_units=UNITS, long_units=2, time_dim=2, gap_sd=2.0),
    "hm_lstm": lambda **_: HMLSTMCell(UNITS, num_layers=3),
    "hm_lstm_drawn": lambda **_: HMLSTMCell(UNITS, estimator="gumbel"),
    # Of the last two features, the first is υ.
    "hs_lstm": lambda **_: HSLSTMCell(lower_units=UNITS, upper_units=2),
    # The last two features are θ. With theta="prefix" another one at each step.
    "hcrnn_3": lambda **_: hcrnn(3),
}


def hcrnn(version, theta="prefix"):
    return HCRNNCell(UNITS, item_dim=3, num_contexts=2, version=version, theta=theta)


def make(name, **rates):
    cell = CELLS[name](**rates)
    recurrence = Recurrence(cell)
    assert recurrence._rnn is None, "our cells run in the fast form, not in keras.layers.RNN"
    recurrence.build((None, None, FEATURES))
    fill(cell)
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


def parted(projected):
    """Splits what is the same at every step from a projection."""
    fixed = {name: projected.get(name, {}) for name in FIXED}
    return {name: values for name, values in projected.items() if name not in FIXED}, fixed


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
        if key.startswith("keep") or key == "draws"
    }

    def with_masks(inputs):
        return cell.project(inputs) | masks

    def fused(inputs, states):
        projected, fixed = parted(with_masks(inputs))
        return _scan(cell, {"projected": projected} | flags, list(states), fixed)

    def by_hand(inputs, states):
        projected, fixed = parted(with_masks(inputs))
        whole, outputs = {"projected": projected} | flags, []
        for t in range(steps):
            step = tf.nest.map_structure(lambda sequence, t=t: sequence[:, t], whole)
            output, states = _guarded_step(cell, step, states, dense, fixed)
            outputs.append(output)
        return tf.stack(outputs, axis=1), states

    rates = [rate for setting, rate in cell.get_config().items() if setting.endswith("dropout")]
    assert bool(masks) == (any(rates) or name == "hm_lstm_drawn")
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


def flags_for(batch, steps=STEPS, seed=0):
    """Resets, and padding in the middle of some rows and at the end of others."""
    reset = np.random.default_rng(seed).random((batch, steps)) < 0.2
    is_event = np.ones((batch, steps), bool)
    is_event[::3, 3] = False
    is_event[1::3, -2:] = False
    return {"reset": tf.constant(reset), "is_event": tf.constant(is_event)}


COMPILED_CELLS = {
    "gru": CELLS["gru"],
    "hrnn_all": CELLS["hrnn_all"],
    "hcrnn_1": lambda: hcrnn(1, "whole"),
    "hcrnn_2_prefix": lambda: hcrnn(2),
    "hcrnn_3": lambda: hcrnn(3, "whole"),
}
# The sums over 64 rows and their steps: a gradient is the larger, and its float noise with it.
SUMS_NOISE = 2e-5


@pytest.mark.integration
@pytest.mark.parametrize("name", COMPILED_CELLS)
def test_steps_in_training_equal_autodiff_compiled_or_not(name):
    """Value and gradients of a loop over `cell.call`, with resets and padding.

    With theta="whole" HCRNN's energies take their fast form in training, and only there.
    """
    batch = COMPILED_ROWS
    cell, inputs, flags = COMPILED_CELLS[name](), random_inputs(batch), flags_for(batch)
    if getattr(cell, "theta", "") == "whole":
        theta = tf.tile(inputs[:, :1, -2:] + 0.25, [1, STEPS, 1])
        inputs = tf.concat([inputs[..., :-2], theta], axis=-1)
    recurrences = [Recurrence(cell, compile_steps=compiled) for compiled in (False, True)]
    for recurrence in recurrences:
        recurrence.build((None, None, FEATURES))
    fill(cell, 0.5)
    generator = np.random.default_rng(1)
    states = [
        tf.constant(generator.uniform(-0.8, 0.8, (batch, size)), tf.float32)
        for size in recurrence.state_sizes
    ]

    def by_hand(inputs, states):
        outputs = []
        for t in range(STEPS):
            starts, is_event = flags["reset"][:, t, None], flags["is_event"][:, t, None]
            start = [tf.where(starts, 0.0, state) for state in states]
            output, new = cell(inputs[:, t], start)
            states = [tf.where(is_event, n, s) for n, s in zip(new, states, strict=True)]
            outputs.append(output)
        return tf.stack(outputs, axis=1), states

    def measured(run):
        return tf.function(
            lambda: value_and_gradients(run, inputs, cell, states), autograph=False
        )()

    expected = value_and_gradients(by_hand, inputs, cell, states)
    for recurrence in recurrences:
        ours = functools.partial(recurrence, training=True, **flags)
        found = measured(lambda given, states, run=ours: run(given, initial_state=states))
        assert_same(found, expected, SUMS_NOISE)


@pytest.mark.parametrize(
    ("rows", "training", "compile_steps", "is_compiled"),
    [
        (COMPILED_ROWS, True, True, True),
        (COMPILED_ROWS - 1, True, True, False),
        (COMPILED_ROWS, False, True, False),
        (COMPILED_ROWS, True, False, False),
    ],
)
def test_what_is_compiled(monkeypatch, rows, training, compile_steps, is_compiled):
    """Large batches in training; an export or a served batch would be compiled again and again."""
    asked = []
    monkeypatch.setattr(recurrence_module, "_by_xla", lambda step: asked.append(step) or step)
    recurrence = Recurrence(hcrnn(3), compile_steps=compile_steps)
    recurrence.build((None, None, FEATURES))
    recurrence(random_inputs(rows), training=training)
    assert bool(asked) == is_compiled


class DecayingCell(keras.layers.Layer):
    """h' = (h W) ⊙ k + x: k = tanh(w) is a constant, and what is cached of it adds nothing."""

    state_size = output_size = UNITS

    def build(self, input_shape=None):
        self.kernel = self.add_weight(name="kernel", shape=(UNITS, UNITS))
        self.w = self.add_weight(name="w", shape=(UNITS,))

    @property
    def step_weights(self):
        return [self.kernel]

    def project(self, inputs, training=False):
        k = tf.tanh(self.w.value)
        return {
            "x": inputs[..., :UNITS],
            "constants": {"k": k},
            "cached": {"twice_k": tf.stop_gradient(2 * k)},
        }

    def step(self, projected, states, dense=dense):
        k, (h,) = projected["constants"]["k"], states
        nothing = projected["cached"]["twice_k"] - 2 * tf.stop_gradient(k)
        h = dense(h, self.kernel) * k + projected["x"] + nothing
        return h, [h]

    def call(self, inputs, states, training=False):
        return self.step(self.project(inputs), states)


@pytest.mark.parametrize("steps", [1, 4])
def test_gradients_of_constants_are_those_of_all_steps(steps):
    """A constant is no sequence, and its gradient is the sum over steps and rows."""
    cell = DecayingCell()
    recurrence = Recurrence(cell)
    assert recurrence._rnn is None
    recurrence.build((None, None, FEATURES))
    fill(cell, 0.5)
    inputs, states = random_inputs(steps=steps), [tf.ones((BATCH, UNITS))]

    def ours(inputs, states):
        return recurrence(inputs, initial_state=states)

    def by_hand(inputs, states):
        outputs = []
        for t in range(steps):
            output, states = cell(inputs[:, t], states)
            outputs.append(output)
        return tf.stack(outputs, axis=1), states

    found = value_and_gradients(ours, inputs, cell, states)
    assert_same(found, value_and_gradients(by_hand, inputs, cell, states))
    *_, (_, _, (_, of_w)) = found
    assert np.abs(of_w).min() > 1e-3
