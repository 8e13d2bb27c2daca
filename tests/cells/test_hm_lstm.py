import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import HMLSTMCell, LSTMCell
from hrec_tf.layers import Recurrence
from tests.reference.recurrent import hm_lstm_loop, lstm_step, sigmoid
from tests.reference.weights import fill_drawn

STEPS, FEATURES, UNITS = 12, 3, 4
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


def built(features=FEATURES, seed=0, scale=0.7, **arguments):
    cell = HMLSTMCell(**{"units": UNITS} | arguments)
    cell.build((None, features + 2))
    fill_drawn(cell, scale=scale, seed=seed)
    return cell


def random_inputs(batch=2, seed=0, features=FEATURES):
    """x, session starts and user starts; a user starts with the first event and no other."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(batch, STEPS, features + 2))
    inputs[..., -2] = generator.random((batch, STEPS)) < 0.4
    inputs[..., -1] = np.arange(STEPS) == 0
    return inputs.astype("float32")


def run(cell, inputs, states=None, training=False):
    recurrence = Recurrence(cell)
    recurrence.build(inputs.shape)
    return recurrence(tf.constant(inputs), initial_state=states, training=training)


def value_of(weight):
    """A copy in float64."""
    return np.asarray(weight, np.float64).copy()


def zeros(cell):
    return [np.zeros(size) for size in cell.state_size]


def force(cell, layer, ends):
    """Lets z of a layer be 1 (or 0) wherever it reads."""
    for kernels in (cell.kernels, cell.recurrent_kernels):
        value = value_of(kernels[layer])
        value[:, -1] = 0
        kernels[layer].assign(value)
    bias = value_of(cell.biases[layer])
    bias[-1] = 1.0 if ends else -1.0
    cell.biases[layer].assign(bias)


@pytest.mark.parametrize(
    "arguments",
    [{"num_layers": 1}, {}, {"num_layers": 3}, {"num_layers": 3, "boundaries": "given"}],
)
def test_agrees_with_a_float64_loop(arguments):
    """equations F.1, whose cases are branches in the loop and a blend in the cell.

    F1-T4: the loop knows three cases, and here every layer meets all that it can.
    """
    cell, inputs, words = built(**arguments), random_inputs(batch=20), []
    outputs, after = run(cell, inputs)
    for row in range(len(inputs)):
        expected, last, of_row = hm_lstm_loop(cell, inputs[row], zeros(cell))
        np.testing.assert_allclose(outputs[row], expected, **FLOAT32_NOISE)
        for ours, theirs in zip(after, last, strict=True):
            np.testing.assert_allclose(ours[row], theirs, **FLOAT32_NOISE)
        words += of_row[1:]
    met = [set(of_layer) for of_layer in zip(*words, strict=True)]
    possible = [{"UPDATE", "COPY", "FLUSH"} for _ in met]
    possible[0] -= {"COPY"}
    possible[-1] -= {"FLUSH"}
    assert met == possible


def test_golden_values_of_one_unit():
    """A segment ends: layer 2 reads h = 0.5, then layer 1 is flushed and told.

    All weights 0 but g's: layer 2 has g = tanh(0.5), so c = tanh(0.5) / 2, h = tanh(c) / 2; layer
    1 forgets its c = 3 and has g = tanh(x + 2 h of layer 2).
    """
    cell = HMLSTMCell(1)
    cell.build((None, 3))
    for weight in cell.trainable_weights:
        weight.assign(tf.zeros_like(weight))
    cell.kernels[0].assign([[0, 0, 0, 1.0, 1.0]])
    cell.kernels[1].assign([[0, 0, 0, 1.0]])
    cell.top_kernels[0].assign([[0, 0, 0, 2.0]])
    states = [tf.constant([[value]]) for value in (3.0, 0.5, 0.0, 0.0)]
    outputs, after = cell(tf.constant([[0.25, 0.0, 0.0]]), states)
    c_2 = np.tanh(0.5) / 2
    h_2 = np.tanh(c_2) / 2
    c_1 = np.tanh(0.25 + 2 * h_2) / 2
    h_1 = np.tanh(c_1) / 2
    np.testing.assert_allclose(np.ravel(after), [c_1, h_1, c_2, h_2], rtol=1e-6)
    np.testing.assert_allclose(outputs, [[h_1, h_2, 0.25, 1.0]], rtol=1e-6)


def test_with_one_layer_it_is_an_lstm():
    """F1-T1. Our LSTM has its blocks in the order i, f, c~, o."""
    cell, inputs = built(num_layers=1), random_inputs()
    lstm = LSTMCell(UNITS)
    lstm.build((None, FEATURES))
    reordered = [
        np.concatenate([np.split(value_of(w), 4, -1)[place] for place in (1, 0, 3, 2)], -1)
        for w in (cell.kernels[0], cell.recurrent_kernels[0], cell.biases[0])
    ]
    lstm.set_weights(reordered)
    np.testing.assert_allclose(
        run(cell, inputs)[0], run(lstm, inputs[..., :FEATURES])[0], **FLOAT32_NOISE
    )


def test_where_no_segment_ends_layer_2_is_never_reached():
    """F1-T2: layer 2 copies its states, and layer 1 is the one of a cell without it."""
    cell, inputs = built(), random_inputs()
    force(cell, 0, ends=False)
    alone = built(num_layers=1)
    for ours, theirs in (
        (alone.kernels, cell.kernels),
        (alone.recurrent_kernels, cell.recurrent_kernels),
        (alone.biases, cell.biases),
    ):
        ours[0].assign(value_of(theirs[0])[..., :-1])
    given = [tf.constant(np.full((2, UNITS), v, np.float32)) for v in (0.2, -0.1, 0.7, 0.4)]
    outputs, after = run(cell, inputs, given)
    expected, _ = run(alone, inputs, given[:2])
    np.testing.assert_allclose(outputs[..., :UNITS], expected, **FLOAT32_NOISE)
    for before, now in zip(given[2:], after[2:], strict=True):
        np.testing.assert_array_equal(before, now)


def test_where_every_segment_is_one_event_layer_2_is_an_lstm_over_layer_1():
    """F1-T3: layer 1 keeps no c, so that its h is a function of what is before its eyes."""
    cell, inputs = built(), random_inputs(batch=1)
    force(cell, 0, ends=True)
    outputs, _ = run(cell, inputs)
    h_1, h_2 = (np.array(outputs[0, :, begin : begin + UNITS], float) for begin in (0, UNITS))
    order = (1, 0, 3, 2)  # of the loop: i, f, c~, o
    weights = {
        name: np.concatenate([np.split(value_of(w), 4, -1)[p] for p in order], -1)
        for name, w in (
            ("kernel", cell.kernels[1]),
            ("recurrent_kernel", cell.recurrent_kernels[1]),
            ("bias", cell.biases[1]),
        )
    }
    h, c = np.zeros(UNITS), np.zeros(UNITS)
    for step in range(1, STEPS):
        h, c = lstm_step(weights, h_1[step - 1], h, c)
        np.testing.assert_allclose(h_2[step], h, **FLOAT32_NOISE)
        recurrent, top = value_of(cell.recurrent_kernels[0]), value_of(cell.top_kernels[0])
        total = np.array(inputs[0, step, :FEATURES]) @ value_of(cell.kernels[0])
        total = (total + h_1[step - 1] @ recurrent + value_of(cell.biases[0]))[: 4 * UNITS]
        _, i, o, g = np.split(total + h @ top, 4)
        again = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
        np.testing.assert_allclose(h_1[step], again, **FLOAT32_NOISE)


def test_two_layers_are_the_paper_s_with_each_boundary_seen_one_event_later():
    """The paper has z at a segment's last event, and lets layer 2 read that event at once."""
    cell, inputs = built(boundaries="given"), random_inputs(batch=1)
    outputs, _ = run(cell, inputs)
    kernels, recurrent, biases = (
        [value_of(w) for w in weights]
        for weights in (cell.kernels, cell.recurrent_kernels, cell.biases)
    )
    top = value_of(cell.top_kernels[0])
    starts = inputs[0, :, -2] * (1 - inputs[0, :, -1])
    c, h, ended = [np.zeros(UNITS)] * 2, [np.zeros(UNITS)] * 2, 0.0
    for step in range(STEPS):
        s = h[0] @ recurrent[0] + inputs[0, step, :FEATURES] @ kernels[0] + biases[0]
        f, i, o, g = np.split(s[: 4 * UNITS] + ended * (h[1] @ top), 4)
        c[0] = (1 - ended) * sigmoid(f) * c[0] + sigmoid(i) * np.tanh(g)
        h[0] = sigmoid(o) * np.tanh(c[0])
        np.testing.assert_allclose(outputs[0, step, :UNITS], h[0], **FLOAT32_NOISE)
        np.testing.assert_allclose(outputs[0, step, UNITS : 2 * UNITS], h[1], **FLOAT32_NOISE)
        ended = starts[step + 1] if step + 1 < STEPS else 0.0
        if ended:
            f, i, o, g = np.split(h[1] @ recurrent[1] + h[0] @ kernels[1] + biases[1], 4)
            c[1] = sigmoid(f) * c[1] + sigmoid(i) * np.tanh(g)
            h[1] = sigmoid(o) * np.tanh(c[1])


def test_no_segment_ends_before_a_user_s_first_event():
    cell = built()
    force(cell, 0, ends=True)
    outputs, _ = run(cell, random_inputs())
    z = np.array(outputs[..., -1])
    assert not z[:, 0].any() and z[:, 1:].all()


@pytest.mark.parametrize(("slope", "zeta"), [(1.0, 0.3), (2.0, -0.2), (2.0, 0.9)])
def test_z_passes_its_gradient_to_z_soft(slope, zeta):
    """F1-T5: dz / dζ is a / 2 where hardsig is a line, and 0 outside."""
    cell, zeta = built(), tf.constant([[zeta]])
    projected = {"constants": {"slope": tf.constant(slope)}}
    with tf.GradientTape() as tape:
        tape.watch(zeta)
        z = cell._ends(zeta, 0, projected)
    assert z.numpy() == (zeta.numpy() > 0)
    inside = abs(slope * zeta.numpy().item()) < 1
    np.testing.assert_allclose(tape.gradient(z, zeta), [[slope / 2 if inside else 0.0]])


@pytest.mark.parametrize("estimator", ["bernoulli", "gumbel"])
def test_a_drawn_z_is_one_as_often_as_it_says(estimator):
    """P(z = 1) is hardsig(ζ), or σ(ζ): ζ + n > 0, n logistic. Without training it is not drawn."""
    cell, zeta = built(estimator=estimator), 0.4
    inputs = np.zeros((5_000, 2, FEATURES + 2), "float32")
    force(cell, 0, ends=True)
    bias = value_of(cell.biases[0])
    bias[-1] = zeta
    cell.biases[0].assign(bias)
    drawn = np.array(run(cell, inputs, training=True)[0])[:, 1, -1]
    expected = (zeta + 1) / 2 if estimator == "bernoulli" else sigmoid(zeta)
    assert set(drawn) == {0.0, 1.0}
    assert abs(drawn.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / len(drawn))
    assert np.array(run(cell, inputs)[0])[..., -1].all()


def test_the_slope_of_a_gumbel_z_is_its_temperature():
    cell, zeta = built(estimator="gumbel"), tf.constant([[0.0]])
    draws = tf.constant([[0.7]])
    noise = np.log(0.7 / 0.3)
    for slope in (1.0, 3.0):
        projected = {"constants": {"slope": tf.constant(slope)}, "draws": draws}
        with tf.GradientTape() as tape:
            tape.watch(zeta)
            z = cell._ends(zeta, 0, projected)
        soft = sigmoid(slope * noise)
        np.testing.assert_allclose(tape.gradient(z, zeta), [[slope * soft * (1 - soft)]], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 1, "boundaries": "given"}, "no segment is looked for"),
        ({"num_layers": 1, "estimator": "gumbel"}, "no boundary is learned"),
        ({"boundaries": "given", "estimator": "gumbel"}, "no boundary is learned"),
        ({"boundaries": "supervised"}, "boundaries"),
        ({"num_layers": 0}, "num_layers"),
    ],
)
def test_what_would_be_ignored_or_is_unknown_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HMLSTMCell(UNITS, **arguments)


def test_initial_values_are_drawn_block_by_block():
    cell = HMLSTMCell(40, seed=1)
    cell.build((None, 12))
    kernel = value_of(cell.kernels[0])
    for block, width in ((kernel[:, :40], 40), (kernel[:, 160:], 1)):
        limit = np.sqrt(6 / (10 + width))
        assert np.abs(block).max() <= limit
    assert np.abs(kernel[:, :40]).max() > 0.95 * np.sqrt(6 / 50)
    again = HMLSTMCell.from_config(cell.get_config())
    again.build((None, 12))
    np.testing.assert_array_equal(again.kernels[0], kernel)
    assert len({float(value_of(weight).flat[0]) for weight in cell.kernels + cell.top_kernels}) == 3


def test_is_registered_with_keras():
    cell = built(num_layers=3, boundaries="given")
    config = keras.saving.serialize_keras_object(cell)
    assert keras.saving.deserialize_keras_object(config).get_config() == cell.get_config()
