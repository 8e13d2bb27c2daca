import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import ItemEmbedding

NUM_ITEMS, DIM = 5, 3


@pytest.fixture
def layer():
    layer = ItemEmbedding(NUM_ITEMS, DIM, seed=1)
    layer.build()
    return layer


def test_item_i_is_row_i(layer):
    layer.table.assign(np.arange(18.0).reshape(6, 3))
    vectors = layer(tf.constant([[1, 5], [3, 1]]))
    assert vectors.numpy().tolist() == [[[3, 4, 5], [15, 16, 17]], [[9, 10, 11], [3, 4, 5]]]


def test_padding_is_zero_even_if_its_row_is_not(layer):
    layer.table.assign(np.ones((6, 3)))
    assert layer(tf.constant([0, 2])).numpy().tolist() == [[0, 0, 0], [1, 1, 1]]


def test_the_gradient_covers_the_rows_that_were_read_and_not_padding(layer):
    item_ids = tf.constant([2, 0, 4, 2])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(item_ids) * tf.constant([[1.0], [7.0], [10.0], [100.0]]))
    gradient = tape.gradient(loss, layer.table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.indices.numpy().tolist() == [2, 0, 4, 2]
    dense = tf.convert_to_tensor(gradient).numpy()
    np.testing.assert_array_equal(dense[:, 0], [0, 0, 101, 0, 10, 0])


def test_initial_values_are_glorot_over_real_items():
    """Pitfalls 1.8: U(-s, s) with s = sqrt(6 / (N + dim)); row 0 is zero and not counted."""
    layer = ItemEmbedding(300, 60, seed=2)
    layer.build()
    table = np.asarray(layer.table)
    limit = np.sqrt(6 / 360)
    assert table.shape == (301, 60)
    assert not table[0].any() and table[1:].all()
    assert 0.99 * limit < np.abs(table).max() <= limit
    assert abs(table.std() - limit / np.sqrt(3)) < 0.02 * limit


def test_initial_values_may_be_drawn_from_a_normal_distribution():
    layer = ItemEmbedding(300, 60, stddev=0.1, seed=2)
    layer.build()
    table = np.asarray(layer.table)
    assert not table[0].any() and table[1:].all()
    assert abs(table[1:].mean()) < 0.002 and abs(table[1:].std() - 0.1) < 0.002
    again = ItemEmbedding.from_config(layer.get_config())
    again.build()
    np.testing.assert_array_equal(again.table, table)


@pytest.mark.parametrize("leading", [(), (2,), (2, 4)])
def test_products_with_the_catalogue_agree_with_a_float64_loop(layer, leading):
    vectors = np.random.default_rng(0).normal(size=(*leading, DIM)).astype("float32")
    products = layer.products(tf.constant(vectors))
    assert products.shape == (*leading, NUM_ITEMS)
    table = np.asarray(layer.table, np.float64)
    for place in np.ndindex(*leading):
        expected = [row @ vectors[place] for row in table[1:]]
        np.testing.assert_allclose(products[place], expected, rtol=1e-5, atol=1e-6)


def test_config_round_trip(layer):
    again = ItemEmbedding.from_config(layer.get_config())
    again.build()
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again.table, layer.table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "`num_items` must be a positive int, but was 0. Pass `vocabulary.num_items`"),
        ((5, -1), "`dim` must be a positive int, but was -1. Pass the vectors' size"),
        ((5, True), "`dim` must be a positive int, but was True"),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        ItemEmbedding(*arguments)


def test_bad_standard_deviation_names_the_cure():
    with pytest.raises(ValueError, match=r"`stddev` must be .* but was -1. Pass e.g. 0.1, or None"):
        ItemEmbedding(5, 3, stddev=-1)
