import keras
import numpy as np
import pytest

from hrec_tf.cells import BlockGlorot, ReferenceGRUCell
from tests.reference.recurrent import gru_step, sigmoid, weights_of
from tests.reference.weights import fill_distinct

BATCH, STEPS, FEATURES, UNITS = 3, 7, 4, 5
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture
def inputs():
    return np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype("float32")


def built(**arguments):
    cell = ReferenceGRUCell(UNITS, **arguments)
    cell.build((None, FEATURES))
    fill_distinct(cell)
    return cell


def to_keras(kernel):
    """Our blocks are r, z, h with z the share of the new; Keras': z, r, h, z of the old."""
    r, z, h = np.split(np.asarray(kernel), 3, axis=-1)
    return np.concatenate([-z, r, h], axis=-1)


def as_keras_gru(cell):
    gru = keras.layers.GRU(UNITS, reset_after=cell.reset_after, return_sequences=True)
    gru.build((None, None, FEATURES))
    recurrent = np.concatenate(
        [np.asarray(cell.recurrent_gates), np.asarray(cell.recurrent_candidate)], axis=1
    )
    bias = to_keras(cell.bias)
    if cell.reset_after:
        inner = [cell.recurrent_gates_bias, cell.recurrent_candidate_bias]
        bias = np.stack([bias, to_keras(np.concatenate([np.asarray(part) for part in inner]))])
    gru.set_weights([to_keras(cell.kernel), to_keras(recurrent), bias])
    return gru


@pytest.mark.parametrize("reset_after", [False, True])
def test_equals_the_keras_gru_after_negating_its_update_gate(inputs, reset_after):
    """T0: seven steps, every weight its own value."""
    cell = built(reset_after=reset_after)
    ours = keras.layers.RNN(cell, return_sequences=True)(inputs)
    np.testing.assert_allclose(ours, as_keras_gru(cell)(inputs), atol=1e-6, rtol=0)


@pytest.mark.parametrize("reset_after", [False, True])
def test_agrees_with_a_float64_loop(inputs, reset_after):
    cell = built(reset_after=reset_after)
    weights = weights_of(cell)
    h = np.linspace(-0.5, 0.5, UNITS)
    state = np.repeat(h[None], BATCH, axis=0).astype("float32")
    for step in range(STEPS):
        _, (state,) = cell(inputs[:, step], [state])
        h = gru_step(weights, inputs[0, step].astype(float), h, reset_after=reset_after)
    np.testing.assert_allclose(state[0], h, **FLOAT32_NOISE)


def test_golden_value_of_one_unit():
    """W = (r 1, z 0, h 2), U = (0, 0, 4), b = 0, x = 1, h = 0.5.

    r = σ(1) = 0.731059, z = 1/2, h~ = tanh(2 + 0.731059 · 0.5 · 4) = tanh(3.462117) = 0.998035,
    so h' = 0.25 + 0.499018.
    """
    cell = ReferenceGRUCell(1)
    cell.build((None, 1))
    cell.kernel.assign([[1.0, 0.0, 2.0]])
    cell.recurrent_gates.assign([[0.0, 0.0]])
    cell.recurrent_candidate.assign([[4.0]])
    output, _ = cell(np.ones((1, 1), "float32"), [np.full((1, 1), 0.5, "float32")])
    np.testing.assert_allclose(output, [[0.749018]], atol=1e-6)


def test_item_ids_read_the_rows_that_one_hot_vectors_select():
    one_hot = ReferenceGRUCell(UNITS, num_items=6)
    one_hot.build((None, 1))
    fill_distinct(one_hot)
    plain = ReferenceGRUCell(UNITS)
    plain.build((None, 7))
    plain.set_weights(one_hot.get_weights())
    ids = np.array([[3], [0], [6]])
    state = [np.full((3, UNITS), 0.2, "float32")]
    expected, _ = plain(np.eye(7, dtype="float32")[ids[:, 0]], state)
    output, _ = one_hot(ids, state)
    np.testing.assert_allclose(output, expected, **FLOAT32_NOISE)


def test_blocks_are_drawn_by_their_own_sizes():
    """Pitfall 1.8: the limit is sqrt(6 / (in + out of ONE gate)), not of all three."""
    weight = np.asarray(BlockGlorot(blocks=3, seed=1)((40, 3 * 50)))
    limit = np.sqrt(6 / (40 + 50))
    assert 0.95 * limit < np.abs(weight).max() <= limit
    table = np.asarray(BlockGlorot(blocks=3, padding_row=True, seed=1)((41, 3 * 50)))
    assert not table[0].any()
    np.testing.assert_array_equal(table[1:], weight)


def test_with_its_weights_it_is_tensorflow_1s_gru_cell(inputs):
    """Its u is the share of the OLD, and its matrices multiply [x; h] and [x; r h]."""
    generator = np.random.default_rng(2)
    gates = generator.normal(size=(FEATURES + UNITS, 2 * UNITS))
    candidate = generator.normal(size=(FEATURES + UNITS, UNITS))
    h = np.linspace(-0.5, 0.5, UNITS)
    cell = ReferenceGRUCell(UNITS, initial_values="tf1")
    cell.build((None, FEATURES))
    flipped = gates * np.repeat([1.0, -1.0], UNITS)
    cell.kernel.assign(np.concatenate([flipped, candidate], axis=1)[:FEATURES])
    cell.recurrent_gates.assign(flipped[FEATURES:])
    cell.recurrent_candidate.assign(candidate[FEATURES:])
    state = h[None].astype("float32")
    for x in inputs[0].astype(float):
        _, (state,) = cell(x[None].astype("float32"), [state])
        # Its biases of both gates begin with 1, and are still there.
        r, u = np.split(sigmoid(np.concatenate([x, h]) @ gates + 1.0), 2)
        h = u * h + (1 - u) * np.tanh(np.concatenate([x, r * h]) @ candidate)
    np.testing.assert_allclose(state[0], h, **FLOAT32_NOISE)


def test_initial_values_of_tensorflow_1_are_drawn_of_x_and_h_together():
    """Glorot's rule for matrices (in + H, 2 H) and (in + H, H)."""
    cell = ReferenceGRUCell(60, initial_values="tf1", seed=1)
    cell.build((None, 40))
    of_gates, of_candidate = np.sqrt(6 / (40 + 60 + 120)), np.sqrt(6 / (40 + 60 + 60))
    for values, limit in (
        (np.asarray(cell.kernel)[:, :120], of_gates),
        (np.asarray(cell.kernel)[:, 120:], of_candidate),
        (cell.recurrent_gates, of_gates),
        (cell.recurrent_candidate, of_candidate),
    ):
        assert 0.98 * limit < np.abs(values).max() <= limit
    np.testing.assert_array_equal(cell.bias, np.repeat([1, -1, 0], 60))


def test_the_dropped_state_is_what_is_carried(inputs):
    """Pitfall 1.6: the rate is a share to drop, survivors grow by 1 / (1 - rate)."""
    cell = built(dropout=0.4, seed=3)
    plain = built()
    state = [np.full((BATCH, UNITS), 0.3, "float32")]
    dropped, (carried,) = cell(inputs[:, 0], state, training=True)
    full, _ = plain(inputs[:, 0], state)
    np.testing.assert_array_equal(dropped, carried)
    ratio = np.asarray(dropped / full)
    assert set(np.round(ratio.ravel(), 4)) == {0.0, np.float32(round(1 / 0.6, 4))}
    np.testing.assert_array_equal(cell(inputs[:, 0], state)[0], full)


def test_dropout_masks_are_drawn_afresh_at_every_step():
    cell = built(dropout=0.5, seed=3)
    masks = cell.project(np.zeros((64, 50, FEATURES), "float32"), training=True)["keep"]
    masks = np.asarray(masks) > 0
    assert abs(masks.mean() - 0.5) < 0.02
    assert (masks[:, 0] != masks[:, 1]).any()


def test_config_round_trip():
    for cell in (
        ReferenceGRUCell(5, num_items=9, reset_after=True, dropout=0.25, seed=4, name="c"),
        ReferenceGRUCell(5, initial_values="tf1"),
    ):
        again = ReferenceGRUCell.from_config(cell.get_config())
        assert again.get_config() == cell.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be a positive int, but was 0"),
        (
            {"units": 4, "dropout": 1.0},
            r"`dropout` must be a dropout rate in \[0, 1\), but was 1.0",
        ),
        ({"units": 4, "initial_values": "tf"}, "`initial_values` was 'tf'.*Did you mean 'tf1'"),
        (
            {"units": 4, "initial_values": "tf1", "num_items": 9},
            "`initial_values` was 'tf1', but .* num_items=9, reset_after=False. Leave both out",
        ),
        (
            {"units": 4, "initial_values": "tf1", "reset_after": True},
            "`initial_values` was 'tf1', but .* num_items=None, reset_after=True. Leave both out",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReferenceGRUCell(**arguments)
