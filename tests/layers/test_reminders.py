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
    """The equation in float64, event by event: (num_items,)."""
    boosts, kernel, bias = (np.asarray(w, np.float64) for w in layer.weights)
    gain = np.zeros(NUM_ITEMS)
    for k, (item, here) in enumerate(zip(item_ids, in_session, strict=True)):
        if item:
            kind = 0 if here else 1
            gate = 1 / (1 + np.exp(-(hidden @ kernel[:, kind] + bias[kind])))
            gain[item - 1] += boosts[kind, k] * gate
    return gain


def test_golden_value():
    """Gates of 1/2: item 2 of this session gains 6/2, item 5 of earlier ones 10/2 + 14/2."""
    layer = Reminders(5, 1, 3)
    layer.build()
    layer.boosts.assign([[6.0, 0, 0], [0, 10, 14]])
    gains = layer(*asked([[0.0]], [[2, 5, 5]], [[1.0, 0, 0]]))
    np.testing.assert_allclose(gains, [[0, 3, 0, 0, 12]])


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


def test_nothing_is_gained_before_training_and_a_configuration_rebuilds_it():
    layer = Reminders(NUM_ITEMS, DIM, SIZE)
    assert not np.any(layer(*asked(HIDDEN, ITEM_IDS, IN_SESSION)))
    again = Reminders.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="`size` must be a positive int, but was -1"):
        Reminders(NUM_ITEMS, DIM, -1)
