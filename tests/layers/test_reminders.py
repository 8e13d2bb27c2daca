import json

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import Reminders
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, DIM, SIZE, ROWS = 7, 2, 3, 4
ITEM_IDS = np.array([[3, 5, 3], [7, 0, 0], [2, 2, 2], [0, 0, 0]])
IN_SESSION = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]], np.float32)
HIDDEN = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def layer():
    made = Reminders(NUM_ITEMS, DIM, SIZE)
    made.build()
    fill_distinct(made)
    return made


def asked(*arrays):
    return [tf.constant(values) for values in arrays]


def by_loop(layer, hidden, item_ids, in_session):
    """The equation in float64, item by item: (num_items,)."""
    of_places, kernel, bias = (np.asarray(w, np.float64) for w in layer.weights)
    gain = np.zeros(NUM_ITEMS)
    for item in range(1, NUM_ITEMS + 1):
        n = [0.0, 0.0]
        for k in range(SIZE):
            if item_ids[k] == item:
                kind = 0 if in_session[k] else 1
                n[kind] += np.exp(of_places[k, kind])
        for kind in range(2):
            worth = hidden @ kernel[:, kind] + bias[kind]
            gain[item - 1] += worth * np.log(1 + n[kind])
    return gain


def test_golden_value():
    """n = 3 of item 2 in this session, n' = 1 + 6 of item 5 before: 2 log 4 and 10 log 8."""
    layer = Reminders(5, 1, 3)
    layer.build()
    layer.weights_of_places.assign(np.log([[3, 1], [1, 1], [1, 6]]))
    layer.worth_bias.assign([2.0, 10.0])
    gains = layer(*asked([[0.0]], [[2, 5, 5]], [[1.0, 0, 0]]))
    np.testing.assert_allclose(gains / np.log(2), [[0, 4, 0, 0, 30]], rtol=1e-6)


def test_untrained_places_count_how_often_an_item_came():
    """PPOP's order: the more often before, the more is gained, wherever it came."""
    layer = Reminders(5, 1, 6)
    layer.build()
    layer.worth_bias.assign([0.0, 1.0])
    gains = layer(*asked([[0.0]], [[2, 5, 2, 4, 5, 5]], [[0.0] * 6]))
    np.testing.assert_allclose(np.exp(gains) - 1, [[0, 2, 0, 1, 3]], rtol=1e-6)


def test_it_is_the_loop_over_events(layer):
    expected = [by_loop(layer, *row) for row in zip(HIDDEN, ITEM_IDS, IN_SESSION, strict=True)]
    found = layer(*asked(HIDDEN, ITEM_IDS, IN_SESSION))
    np.testing.assert_allclose(found, expected, **FLOAT32_NOISE)
    assert np.count_nonzero(expected) == 4 and not np.any(expected[3])


def test_gains_of_candidates_are_columns_of_the_catalogue(layer):
    """Shared by all rows, or of each step; also of padding, which is item 0."""
    rows = asked(HIDDEN, ITEM_IDS, IN_SESSION)
    whole = np.c_[np.zeros(ROWS), layer(*rows)]
    some = [3, 7, 0, 3]
    np.testing.assert_allclose(layer(*rows, tf.constant(some)), whole[:, some], **FLOAT32_NOISE)
    steps = [tf.reshape(values, (2, 2, -1)) for values in rows]
    per_step = np.array([[3, 5, 1], [2, 0, 7]])
    expected = [whole[:2][:, per_step[0]], whole[2:][:, per_step[1]]]
    np.testing.assert_allclose(layer(*steps, tf.constant(per_step)), expected, **FLOAT32_NOISE)


def test_both_forms_have_one_gradient(layer):
    gradients = []
    for candidates in (None, tf.range(1, NUM_ITEMS + 1)):
        hidden, *rows = asked(HIDDEN, ITEM_IDS, IN_SESSION)
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            loss = tf.reduce_sum(tf.sin(layer(hidden, *rows, candidates)) * tf.range(1.0, 8.0))
        watched = [hidden, *(weight.value for weight in layer.weights)]
        gradients.append(tape.gradient(loss, watched))
    for mine, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)
        assert np.any(mine)


def test_weights_of_the_sum_that_it_was_are_refused(layer):
    """Their numbers mean something else: one of them by kind and place, not by place and kind."""
    before = [np.zeros(shape) for shape in ((2, SIZE), (DIM, 2), (2,))]
    with pytest.raises(ValueError, match="shape"):
        layer.set_weights(before)


def test_nothing_is_gained_before_training_and_a_configuration_rebuilds_it():
    layer = Reminders(NUM_ITEMS, DIM, SIZE)
    assert not np.any(layer(*asked(HIDDEN, ITEM_IDS, IN_SESSION)))
    again = Reminders.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="`size` must be a positive int, but was -1"):
        Reminders(NUM_ITEMS, DIM, -1)
