import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.models import GRU4Rec, StackedGRU
from hrec_tf.schema import ITEM_IDS, SESSION_START, USER_START
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS = 6
EVENTS = {
    ITEM_IDS: tf.constant([[1, 4, 2, 6], [3, 3, 5, 1]]),
    SESSION_START: tf.constant([[True, False, True, False], [True, False, False, False]]),
    USER_START: tf.constant([[True, False, False, False]] * 2),
}


def built(**arguments):
    model = StackedGRU(num_items=NUM_ITEMS, **{"item_dim": 3} | arguments)
    fill_distinct(model)
    return model


def test_one_layer_without_layer_norm_is_gru4rec_with_tied_vectors():
    """equations H.3: against GRU4Rec constrained, with the reset after the product."""
    model = built(num_layers=1, layer_norm=False)
    twin = GRU4Rec(num_items=NUM_ITEMS, units=(3,), inputs="constrained", reset_after=True)
    twin.item_scores.set_weights(model.item_scores.get_weights())
    ours, theirs = model.recurrences[0].cell, twin.recurrences[0].cell
    theirs.kernel.assign(ours.kernel)
    theirs.bias.assign(ours.bias)
    theirs.recurrent_gates.assign(ours.recurrent_kernel[:, :6])
    theirs.recurrent_candidate.assign(ours.recurrent_kernel[:, 6:])
    np.testing.assert_allclose(
        model.score(model(EVENTS)), twin.score(twin(EVENTS)), **FLOAT32_NOISE
    )


def test_one_layer_is_gru4rec_with_tied_vectors_and_layer_norm():
    model = built(num_layers=1)
    twin = GRU4Rec(num_items=NUM_ITEMS, units=(3,), inputs="constrained", layer_norm=True)
    twin.item_scores.set_weights(model.item_scores.get_weights())
    twin.recurrences[0].cell.set_weights(model.recurrences[0].cell.get_weights())
    np.testing.assert_allclose(
        model.score(model(EVENTS)), twin.score(twin(EVENTS)), **FLOAT32_NOISE
    )


def test_layers_are_stacked_and_a_residual_adds_the_layer_below():
    model = built(num_layers=2, residual=True)
    flags = {"reset": EVENTS[SESSION_START]}
    table = model.item_scores.items
    first = table(EVENTS[ITEM_IDS])
    second = model.recurrences[0](first, **flags)[0] + first
    third = model.recurrences[1](second, **flags)[0] + second
    np.testing.assert_allclose(model(EVENTS), third, **FLOAT32_NOISE)
    plain = built(num_layers=2)
    below = plain.recurrences[0](first, **flags)[0]
    expected = plain.recurrences[1](below, **flags)[0]
    np.testing.assert_allclose(plain(EVENTS), expected, **FLOAT32_NOISE)


def test_another_size_is_mapped_to_that_of_the_items():
    model = built(units=5, num_layers=1)
    hidden, _ = model.recurrences[0](
        model.item_scores.items(EVENTS[ITEM_IDS]), reset=EVENTS[SESSION_START]
    )
    expected = tf.matmul(hidden, model.output_map.kernel)
    np.testing.assert_allclose(model(EVENTS), expected, **FLOAT32_NOISE)
    assert built().output_map is None


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`num_layers` must be a positive int, but was 0"):
        StackedGRU(num_items=3, num_layers=0)
