import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import ItemEmbedding, ItemScores
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, DIM = 5, 3


@pytest.fixture
def layer():
    layer = ItemScores(NUM_ITEMS, DIM)
    layer.build()
    fill_distinct(layer)
    return layer


def random_hidden(*shape):
    return np.random.default_rng(0).normal(size=(*shape, DIM)).astype("float32")


def slow_score(layer, hidden, item_id):
    """`h · W_y[i] + b_y[i]` of one item, in float64."""
    row = np.asarray(layer.items.table, np.float64)[item_id]
    products = [float(h) * w for h, w in zip(hidden, row, strict=True)]
    return sum(products) + float(layer.bias[item_id, 0])


def test_golden_score():
    """h = (1, 2), W_y[2] = (3, 10), b_y[2] = 0.5: 3 + 20 + 0.5, in column 1."""
    layer = ItemScores(2, 2)
    layer.build()
    layer.items.table.assign([[9.0, 9.0], [1.0, 1.0], [3.0, 10.0]])
    layer.bias.assign([[9.0], [0.0], [0.5]])
    assert layer(tf.constant([[1.0, 2.0]])).numpy().tolist() == [[3.0, 23.5]]


def test_catalogue_scores_agree_with_a_float64_loop(layer):
    hidden = random_hidden(2, 4)
    logits = layer(hidden)
    assert logits.shape == (2, 4, NUM_ITEMS)
    for place in np.ndindex(2, 4):
        expected = [slow_score(layer, hidden[place], item) for item in range(1, NUM_ITEMS + 1)]
        np.testing.assert_allclose(logits[place], expected, **FLOAT32_NOISE)


@pytest.mark.parametrize("leading", [(), (4,), (2, 4)])
def test_scores_of_candidates_are_columns_of_the_catalogue(layer, leading):
    """Candidates (..., M) are shared by the rows (..., rows, dim)."""
    hidden = random_hidden(*leading, 6)
    item_ids = np.random.default_rng(1).integers(1, NUM_ITEMS + 1, (*leading, 7))
    some, everything = layer(hidden, tf.constant(item_ids)), layer(hidden).numpy()
    assert some.shape == (*leading, 6, 7)
    for place in np.ndindex(*leading):
        expected = everything[place][:, item_ids[place] - 1]
        np.testing.assert_allclose(some[place], expected, **FLOAT32_NOISE)


def test_the_gradient_of_candidates_covers_their_rows_alone(layer):
    """Pitfalls 1.9: a step on sampled columns does not touch the catalogue."""
    hidden = tf.constant(random_hidden(4))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(hidden, tf.constant([3, 1, 3]))))
    gradients = tape.gradient(loss, [layer.items.table.value, layer.bias.value])
    assert all(isinstance(gradient, tf.IndexedSlices) for gradient in gradients)
    assert [gradient.indices.numpy().tolist() for gradient in gradients] == [[3, 1, 3]] * 2


def test_catalogue_and_candidates_have_the_same_gradient(layer):
    hidden = tf.constant(random_hidden(4))

    def gradients(item_ids):
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            loss = tf.reduce_sum(tf.sin(layer(hidden, item_ids)))
        sources = [hidden, layer.items.table.value, layer.bias.value]
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, sources)]

    every_item = tf.range(1, NUM_ITEMS + 1)
    for mine, other in zip(gradients(None), gradients(every_item), strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


def test_a_tied_table_is_used_and_not_copied():
    table = ItemEmbedding(NUM_ITEMS, DIM)
    tied = ItemScores(NUM_ITEMS, DIM, table=table)
    tied.build()
    assert tied.items is table
    assert [w.shape for w in tied.trainable_weights] == [(NUM_ITEMS + 1, 1), (NUM_ITEMS + 1, DIM)]
    before = tied(random_hidden(1))
    table.table.assign(np.asarray(table.table) * 2)
    np.testing.assert_allclose(tied(random_hidden(1)), before * 2, **FLOAT32_NOISE)


def test_a_table_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"`table` is 4 x 3, but the scores need 5 x 3\. Tie"):
        ItemScores(NUM_ITEMS, DIM, table=ItemEmbedding(4, DIM))


def test_config_round_trip(layer):
    again = ItemScores.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
