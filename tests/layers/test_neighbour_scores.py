import json

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.baselines import ItemKNN
from hrec_tf.data.histories import Histories
from hrec_tf.layers import NeighbourScores
from hrec_tf.layers.neighbour_scores import FLOOR
from tests.reference import neighbour_scores as reference

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, NEIGHBOURS = 7, 3
# What is remembered is longer than what counts; the last row's session has no known event.
ITEM_IDS = np.array([[3, 5, 3, 6], [7, 1, 2, 0], [2, 4, 4, 1], [1, 2, 0, 0], [0, 0, 0, 0]])
IN_SESSION = np.array(
    [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32
)
SETTINGS = {"events": 3, "decay": 0.5}


def made(weight=0.7, **settings):
    layer = NeighbourScores(NUM_ITEMS, NEIGHBOURS, **SETTINGS | settings)
    layer.build()
    layer.set_neighbours(reference.similarities(NUM_ITEMS, NEIGHBOURS))
    layer.weight.assign([weight])
    return layer


@pytest.fixture(scope="module")
def layer():
    return made()


def asked():
    return tf.constant(ITEM_IDS, tf.int32), tf.constant(IN_SESSION)


def test_golden_value():
    """Last item 2, before it item 1: n_3 = (0.06 + 0.5 · 0.03) / 1.5 = 0.05 = 5 ε."""
    layer = NeighbourScores(3, 1, events=2, decay=0.5)
    layer.build()
    table = np.zeros((3, 3))
    table[1, 2], table[0, 2] = 0.06, 0.03
    layer.set_neighbours(reference.sparse.csr_matrix(table))
    layer.weight.assign([2.0])
    gains = layer(tf.constant([[2, 1]]), tf.constant([[1.0, 1.0]]))
    np.testing.assert_allclose(gains, [[0, 0, 2 * np.log(6)]], **FLOAT32_NOISE)


def test_it_is_the_loop_over_events(layer):
    similar = reference.similarities(NUM_ITEMS, NEIGHBOURS)
    expected = [
        reference.gains(similar, *row, weight=0.7, floor=FLOOR, **SETTINGS)
        for row in zip(ITEM_IDS, IN_SESSION, strict=True)
    ]
    np.testing.assert_allclose(layer(*asked()), expected, **FLOAT32_NOISE)
    assert np.any(expected[0]) and not np.any(expected[1])  # item 7 has no neighbour
    assert np.any(expected[2]) and not np.any(expected[3:])


def test_gains_of_candidates_are_columns_of_the_catalogue(layer):
    """Shared by all rows, or of each step; also of padding, which is item 0."""
    whole = np.c_[np.zeros(len(ITEM_IDS)), layer(*asked())]
    some = [4, 7, 0, 4, 1]
    np.testing.assert_allclose(layer(*asked(), tf.constant(some)), whole[:, some], **FLOAT32_NOISE)
    steps = [tf.reshape(values[:4], (2, 2, -1)) for values in asked()]
    per_step = np.array([[4, 5, 4], [2, 0, 7]])
    expected = [whole[:2][:, per_step[0]], whole[2:4][:, per_step[1]]]
    np.testing.assert_allclose(layer(*steps, tf.constant(per_step)), expected, **FLOAT32_NOISE)


@pytest.mark.parametrize(
    ("query", "settings"),
    [("last", {"events": 1}), ("session", {"events": 4, "decay": 1})],
)
def test_it_has_the_numbers_of_item_knn(query, settings):
    """Also where an item comes twice, and where there are fewer neighbours than are kept."""
    sessions = [[1, 2, 3], [2, 3, 2, 4], [5, 1], [4, 6, 6], [2, 3, 6], [1, 2]]
    histories = Histories.from_lists([sessions], num_items=NUM_ITEMS)
    counted = ItemKNN(neighbours=2, regularisation=1.0, query=query).fit(histories)
    layer = NeighbourScores(NUM_ITEMS, 2, **settings)
    layer.build()
    layer.set_neighbours(counted.similarities)
    target = int(histories.session_offsets[1]) + 3  # after 2, 3, 2
    shares = layer.shares(tf.constant([[2, 3, 2, 3]]), tf.constant([[1.0, 1, 1, 0]]))
    np.testing.assert_allclose(shares, counted.score(histories, [target]), **FLOAT32_NOISE)


def test_a_weight_of_0_changes_nothing_and_a_configuration_rebuilds_it():
    layer = made(weight=0)
    assert not np.any(layer(*asked())) and np.any(layer.shares(*asked()))
    again = NeighbourScores.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()


def test_bad_arguments_name_the_cure():
    with pytest.raises(ValueError, match=r"up to 3 neighbours .* at most 2. Count them by ItemKNN"):
        small = NeighbourScores(NUM_ITEMS, 2)
        small.build()
        small.set_neighbours(reference.similarities(NUM_ITEMS, NEIGHBOURS))
    for arguments, message in (
        ({"neighbours": 0}, "`neighbours` must be a positive int, but was 0"),
        ({"neighbours": 2, "events": 0}, "`events` must be a positive int, but was 0"),
        ({"neighbours": 2, "decay": 0}, "`decay` was 0, but must be above 0 and at most 1"),
    ):
        with pytest.raises(ValueError, match=message):
            NeighbourScores(NUM_ITEMS, **arguments)
