import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hrec_tf.cells import HierarchicalGRUCell
from hrec_tf.layers import Recurrence, pack_events
from tests.reference.recurrent import gru_step, hrnn_loop, weights_of
from tests.reference.weights import fill_distinct

BATCH, STEPS, FEATURES, SESSION, USER = 3, 6, 4, 5, 3
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
VARIANTS = [
    {},
    {"user_gates": "rzh"},
    {"user_gates": "rz"},
    {"first_session_init": "tanh_bias"},
    {"user_gates": "rzh", "first_session_init": "tanh_bias"},
    {"layer_norm": True, "user_gates": "rz"},
    {"gap_input": True, "first_session_init": "tanh_bias"},
    {"layer_norm": True, "gap_input": True, "user_gates": "rzh"},
]
flags = arrays(bool, (BATCH, STEPS))


def built(**arguments):
    cell = HierarchicalGRUCell(session_units=SESSION, user_units=USER, **arguments)
    cell.build((None, 3 if cell.num_items else FEATURES + 2 + cell.gap_input))
    fill_distinct(cell)
    return cell


def random_inputs(seed=0):
    generator = np.random.default_rng(seed)
    items = generator.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
    user_start = generator.random((BATCH, STEPS)) < 0.2
    session_start = user_start | (generator.random((BATCH, STEPS)) < 0.4)
    return items, session_start, user_start


def random_gaps(seed=2):
    return np.random.default_rng(seed).normal(size=(BATCH, STEPS)).astype("float32")


def run(cell, inputs, states=None):
    recurrence = Recurrence(cell)
    recurrence.build(inputs.shape)
    return recurrence(tf.constant(inputs), initial_state=states)


@pytest.mark.parametrize("arguments", VARIANTS)
def test_agrees_with_a_float64_loop(arguments):
    """Eq. 1-5 in the order of docs/equations.md B.2, from states that are not zero."""
    cell = built(**arguments)
    gaps = random_gaps() if cell.gap_input else None
    inputs = np.asarray(pack_events(*random_inputs(), gaps))
    s = np.linspace(-0.4, 0.4, BATCH * SESSION).reshape(BATCH, SESSION).astype("float32")
    c = np.linspace(0.3, -0.5, BATCH * USER).reshape(BATCH, USER).astype("float32")
    expected, last_s, last_c = hrnn_loop(cell, inputs, s, c)
    outputs, states = run(cell, inputs, [tf.constant(s), tf.constant(c)])
    np.testing.assert_allclose(outputs, expected, **FLOAT32_NOISE)
    np.testing.assert_allclose(states[0], last_s, **FLOAT32_NOISE)
    np.testing.assert_allclose(states[1], last_c, **FLOAT32_NOISE)


def test_item_ids_agree_with_a_float64_loop():
    cell = built(num_items=7)
    _, session_start, user_start = random_inputs()
    ids = np.random.default_rng(5).integers(1, 8, (BATCH, STEPS)).astype("int32")
    inputs = np.asarray(pack_events(ids, session_start, user_start))
    states = cell.session_units * [0.0], cell.user_units * [0.0]
    expected, _, _ = hrnn_loop(cell, inputs, [states[0]] * BATCH, [states[1]] * BATCH)
    outputs, _ = run(cell, inputs)
    np.testing.assert_allclose(outputs, expected, **FLOAT32_NOISE)


def test_golden_value_of_a_session_start():
    """All weights 0 but b_init = 0.5 and the session GRU's b_h = 1, one unit each, b = 1, a = 0.

    c* = c/2 = 0.2 (z = 1/2 and h~ = 0); s0 = tanh(0.5) = 0.462117;
    s = s0/2 + tanh(1)/2 = 0.231059 + 0.380797 = 0.611856.
    """
    cell = HierarchicalGRUCell(session_units=1, user_units=1)
    cell.build((None, 3))
    for weight in cell.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    cell.init_bias.assign([0.5])
    cell.session_cell.bias.assign([0.0, 0.0, 1.0])
    states = [np.full((1, 1), 0.9, "float32"), np.full((1, 1), 0.4, "float32")]
    output, (s, c) = cell(np.array([[0.7, 1.0, 0.0]], "float32"), states)
    np.testing.assert_allclose(c, [[0.2]], atol=1e-6)
    np.testing.assert_allclose(s, [[0.611856]], atol=1e-6)
    np.testing.assert_array_equal(output, s)


def test_golden_value_of_a_gap():
    """As above, with δ = 2, d_init = 0.25 and d_h = -0.5, so s0 = tanh(0.5 + 2/4) = 0.761594.

    The candidate is tanh(1 - 2/2) = 0, so s = s0/2; c* is still c/2.
    """
    cell = HierarchicalGRUCell(session_units=1, user_units=1, gap_input=True)
    cell.build((None, 4))
    for weight in cell.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    cell.init_bias.assign([0.5])
    cell.session_cell.bias.assign([0.0, 0.0, 1.0])
    cell.gap_init_kernel.assign([[0.25]])
    cell.gap_kernel.assign([[0.0, 0.0, -0.5]])
    states = [np.full((1, 1), 0.9, "float32"), np.full((1, 1), 0.4, "float32")]
    _, (s, c) = cell(np.array([[0.7, 2.0, 1.0, 0.0]], "float32"), states)
    np.testing.assert_allclose(c, [[0.2]], atol=1e-6)
    np.testing.assert_allclose(s, [[0.761594 / 2]], atol=1e-6)


def test_gaps_of_0_are_no_gaps():
    """B-T11: δ = 0, and d = 0 with any δ, give the cell that reads no gaps."""
    items, session_start, user_start = random_inputs()
    with_gaps = built(gap_input=True, user_gates="rzh", first_session_init="tanh_bias")
    without = built(user_gates="rzh", first_session_init="tanh_bias")
    for name in ("init_kernel", "init_bias", "user_kernel"):
        getattr(without, name).assign(getattr(with_gaps, name))
    for part in ("session_cell", "user_cell"):
        getattr(without, part).set_weights(getattr(with_gaps, part).get_weights())
    expected, _ = run(without, np.asarray(pack_events(items, session_start, user_start)))

    def outputs(gaps):
        return run(with_gaps, np.asarray(pack_events(items, session_start, user_start, gaps)))[0]

    np.testing.assert_allclose(outputs(np.zeros((BATCH, STEPS))), expected, atol=1e-7)
    assert np.abs(outputs(random_gaps()) - expected).max() > 1e-2
    for kernel in (with_gaps.gap_kernel, with_gaps.gap_init_kernel):
        kernel.assign(np.zeros(kernel.shape))
    np.testing.assert_allclose(outputs(random_gaps()), expected, atol=1e-7)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_layer_norm_does_not_see_how_long_the_items_vectors_are(layer_norm):
    """B-T12: but for the 1e-5 beside the variance; without it they are seen."""
    items, *flags = random_inputs()
    cell = built(layer_norm=layer_norm)
    one, other = (run(cell, np.asarray(pack_events(n * items, *flags)))[0] for n in (10, 30))
    furthest = np.abs(one - other).max()
    assert furthest < 1e-3 if layer_norm else furthest > 0.1


def test_a_session_starts_at_the_projection_of_the_user_state(monkeypatch):
    """B-T8: with GRU_usr made to return its input, s0 = tanh(s_m W_init + b_init)."""
    cell = HierarchicalGRUCell(session_units=SESSION, user_units=SESSION)
    cell.build((None, FEATURES + 2))
    fill_distinct(cell)
    monkeypatch.setattr(cell.user_cell, "project", lambda s, dense: {"input": s})
    monkeypatch.setattr(
        cell.user_cell, "step", lambda projected, states, dense: (projected["input"], [])
    )
    items = np.linspace(-1, 1, FEATURES)
    ended = np.linspace(-0.4, 0.6, SESSION)
    inputs = np.concatenate([items, [1.0, 0.0]])[None].astype("float32")
    states = [ended[None].astype("float32"), np.full((1, SESSION), 0.9, "float32")]
    output, _ = cell(inputs, states)
    w_init, b_init = np.asarray(cell.init_kernel), np.asarray(cell.init_bias)
    expected = gru_step(weights_of(cell.session_cell), items, np.tanh(ended @ w_init + b_init))
    np.testing.assert_allclose(output[0], expected, **FLOAT32_NOISE)


def test_without_user_gates_weights_all_is_init():
    """B-T3: All with V = 0 equals Init."""
    inputs = np.asarray(pack_events(*random_inputs()))
    init, everywhere = built(), built(user_gates="rzh")
    everywhere.user_kernel.assign(np.zeros(everywhere.user_kernel.shape))
    for mine, theirs in zip(init.trainable_weights, everywhere.trainable_weights, strict=False):
        if mine.name == theirs.name and mine.shape == theirs.shape:
            theirs.assign(mine)
    for part in ("session_cell", "user_cell"):
        getattr(everywhere, part).set_weights(getattr(init, part).get_weights())
    everywhere.init_kernel.assign(init.init_kernel)
    everywhere.init_bias.assign(init.init_bias)
    np.testing.assert_allclose(run(everywhere, inputs)[0], run(init, inputs)[0], atol=1e-7)


def test_the_candidate_block_is_what_rz_leaves_out():
    """B-T9: "rz" and "rzh" agree when V_h = 0, and differ otherwise."""
    inputs = np.asarray(pack_events(*random_inputs()))
    without, with_h = built(user_gates="rz"), built(user_gates="rzh")
    for part in ("session_cell", "user_cell"):
        getattr(with_h, part).set_weights(getattr(without, part).get_weights())
    with_h.init_kernel.assign(without.init_kernel)
    with_h.init_bias.assign(without.init_bias)
    candidate = 0.2 * np.cos(np.arange(USER * SESSION)).reshape(USER, SESSION)
    gates = np.asarray(without.user_kernel)
    with_h.user_kernel.assign(np.concatenate([gates, 0 * candidate], axis=1))
    np.testing.assert_allclose(run(with_h, inputs)[0], run(without, inputs)[0], atol=1e-7)
    with_h.user_kernel.assign(np.concatenate([gates, candidate], axis=1))
    assert np.abs(run(with_h, inputs)[0] - run(without, inputs)[0]).max() > 1e-3


def test_a_new_user_inherits_nothing():
    """B-T10: what a lane held before a user's start changes nothing after it."""
    cell = built(user_gates="rzh")
    items, session_start, user_start = random_inputs()
    session_start[:, 0] = user_start[:, 0] = True
    inputs = np.asarray(pack_events(items, session_start, user_start))
    full = [tf.fill((BATCH, SESSION), 0.8), tf.fill((BATCH, USER), -0.6)]
    np.testing.assert_array_equal(run(cell, inputs, full)[0], run(cell, inputs)[0])


@settings(deadline=None, max_examples=15)
@given(session_start=flags, user_start=flags, order=st.permutations(range(BATCH)))
def test_lanes_do_not_know_of_each_other(session_start, user_start, order):
    """B-T5: permuting lanes permutes what they give."""
    cell, items = built(user_gates="rz"), random_inputs()[0]
    inputs = np.asarray(pack_events(items, session_start, user_start))
    outputs, _ = run(cell, inputs)
    permuted, _ = run(cell, inputs[list(order)])
    np.testing.assert_allclose(permuted, tf.gather(outputs, order), atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(session_start=flags, user_start=flags, cut=st.integers(1, STEPS - 1))
def test_a_stream_may_be_cut_anywhere(session_start, user_start, cut):
    cell, items = built(user_gates="rzh"), random_inputs()[0]
    inputs = np.asarray(pack_events(items, session_start, user_start))
    whole, states = run(cell, inputs)
    head, between = run(cell, inputs[:, :cut])
    tail, end = run(cell, inputs[:, cut:], between)
    np.testing.assert_allclose(whole, np.concatenate([head, tail], axis=1), **FLOAT32_NOISE)
    np.testing.assert_allclose(states[1], end[1], **FLOAT32_NOISE)


@pytest.mark.parametrize("user_gates", [None, "rzh"])
def test_the_user_gru_learns_only_where_a_session_starts(user_gates):
    """B-T7: with one step of back-propagation GRU_usr has gradient 0 without a session start."""
    cell = built(user_gates=user_gates)
    items = random_inputs()[0][:, :1]
    states = [tf.fill((BATCH, SESSION), 0.3), tf.fill((BATCH, USER), -0.2)]

    def gradients(session_start):
        flag = np.full((BATCH, 1), session_start)
        inputs = tf.convert_to_tensor(pack_events(items, flag, np.zeros_like(flag)))
        with tf.GradientTape() as tape:
            output, _ = cell(inputs[:, 0], states)
            loss = tf.reduce_sum(tf.square(output))
        user = [weight.value for weight in cell.user_cell.trainable_weights]
        return tape.gradient(loss, user, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    assert all(not np.asarray(gradient).any() for gradient in gradients(False))
    assert all(np.asarray(gradient).any() for gradient in gradients(True))


@pytest.mark.parametrize("name", ["session_dropout", "user_dropout", "init_dropout"])
def test_each_dropout_stands_where_the_paper_has_it(name):
    """A dropped state is exactly zero in about the given share of its units."""
    units = 200
    cell = HierarchicalGRUCell(session_units=units, user_units=units, seed=1, **{name: 0.3})
    cell.build((None, FEATURES + 2))
    inputs = np.random.default_rng(0).normal(size=(8, FEATURES + 2)).astype("float32")
    inputs[:, -2:] = [1, 0]
    states = [tf.fill((8, units), 0.3), tf.fill((8, units), -0.2)]
    _, (s, c) = cell(inputs, states, training=True)
    shares = {"session_dropout": np.mean(s == 0), "user_dropout": np.mean(c == 0)}
    if name in shares:
        assert abs(shares.pop(name) - 0.3) < 0.05
    assert all(share == 0 for share in shares.values())
    if name == "init_dropout":
        _, (plain, _) = cell(inputs, states)
        assert np.abs(np.asarray(s) - np.asarray(plain)).max() > 0.05


def test_runs_in_keras_rnn():
    cell = built(user_gates="rzh")
    inputs = np.asarray(pack_events(*random_inputs()))
    rnn = keras.layers.RNN(cell, return_sequences=True)
    np.testing.assert_allclose(rnn(inputs), run(cell, inputs)[0], **FLOAT32_NOISE)


def test_user_state_in_the_output():
    inputs = np.asarray(pack_events(*random_inputs()))
    cell = built(user_to_output=True)
    outputs, (s, c) = run(cell, inputs)
    np.testing.assert_array_equal(outputs[:, -1], np.concatenate([s, c], axis=1))
    np.testing.assert_allclose(outputs[..., :SESSION], run(built(), inputs)[0], atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_items": 4, "first_session_init": "tanh_bias", "init_dropout": 0.2},
        {"user_gates": "rz", "layer_norm": True, "gap_input": True},
    ],
)
def test_config_round_trip(arguments):
    config = built(**arguments).get_config()
    assert HierarchicalGRUCell.from_config(config).get_config() == config
    assert arguments.items() <= config.items()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user_gates": "zr"}, "`user_gates` was 'zr', but must be one of 'rzh', 'rz'"),
        ({"first_session_init": "tanh"}, "Did you mean 'tanh_bias'"),
        ({"user_dropout": -0.1}, "`user_dropout` must be a dropout rate"),
        ({"session_units": 2.5}, "`session_units` must be a positive int, but was 2.5"),
        ({"num_items": 4, "layer_norm": True}, "`layer_norm` was True with num_items=4.*Leave it"),
        ({"num_items": 4, "gap_input": True}, "`gap_input` was True with num_items=4.*num_items=N"),
        ({"user_units": 0}, "`user_units` must be a positive int, but was 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalGRUCell(**arguments)
