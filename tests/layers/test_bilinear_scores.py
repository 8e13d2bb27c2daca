import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import BilinearScores, ItemEmbedding, ItemScores
from tests.reference.weights import fill_drawn

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, ITEM_DIM, DIM = 5, 3, 4


@pytest.fixture
def layer():
    layer = BilinearScores(ItemEmbedding(NUM_ITEMS, ITEM_DIM), DIM)
    layer.build()
    fill_drawn(layer.items)
    fill_drawn(layer)
    return layer


def random_hidden(*shape):
    return np.random.default_rng(0).normal(size=(*shape, DIM)).astype("float32")


def test_golden_score():
    """o = (1, 2, 3), W_B = ((1, 0, 2), (0, 5, 0)): o W_Bᵀ = (7, 10); vector (3, 4): 21 + 40."""
    layer = BilinearScores(ItemEmbedding(2, 2), 3)
    layer.build()
    layer.items.table.assign([[9.0, 9.0], [3.0, 4.0], [1.0, 0.0]])
    layer.kernel.assign([[1.0, 0.0, 2.0], [0.0, 5.0, 0.0]])
    assert layer(tf.constant([[1.0, 2.0, 3.0]])).numpy().tolist() == [[61.0, 7.0]]


@pytest.mark.parametrize("leading", [(), (2,), (2, 4), (2, 3, 4)])
def test_catalogue_scores_agree_with_a_float64_loop(layer, leading):
    hidden = random_hidden(*leading)
    logits = layer(hidden)
    assert logits.shape == (*leading, NUM_ITEMS)
    table, w_b = (np.asarray(w, np.float64) for w in (layer.items.table, layer.kernel))
    for place in np.ndindex(*leading):
        expected = [(vector @ w_b) @ hidden[place].astype(float) for vector in table[1:]]
        np.testing.assert_allclose(logits[place], expected, **FLOAT32_NOISE)


@pytest.mark.parametrize("leading", [(), (4,), (2, 4)])
def test_scores_of_candidates_are_columns_of_the_catalogue(layer, leading):
    hidden = random_hidden(*leading, 6)
    item_ids = np.random.default_rng(1).integers(1, NUM_ITEMS + 1, (*leading, 7))
    some, everything = layer(hidden, tf.constant(item_ids)), layer(hidden).numpy()
    assert some.shape == (*leading, 6, 7)
    for place in np.ndindex(*leading):
        expected = everything[place][:, item_ids[place] - 1]
        np.testing.assert_allclose(some[place], expected, **FLOAT32_NOISE)


def test_with_the_unit_matrix_it_is_the_tied_output_layer():
    table = ItemEmbedding(NUM_ITEMS, DIM)
    layer, tied = BilinearScores(table, DIM), ItemScores(NUM_ITEMS, DIM, table=table)
    for part in (layer, tied):
        part.build()
    layer.kernel.assign(np.eye(DIM))
    hidden = random_hidden(3)
    np.testing.assert_allclose(layer(hidden), tied(hidden), **FLOAT32_NOISE)


def test_a_batch_of_any_size_and_length_is_scored(layer):
    compiled = tf.function(layer, input_signature=[tf.TensorSpec((None, None, DIM))])
    for shape in ((2, 4), (1, 7)):
        hidden = random_hidden(*shape)
        np.testing.assert_allclose(compiled(hidden), layer(hidden), **FLOAT32_NOISE)


def test_the_gradient_of_candidates_covers_their_rows_alone(layer):
    """Pitfalls 1.9: a step on sampled columns does not touch the catalogue."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(random_hidden(4), tf.constant([3, 1, 3]))))
    gradient = tape.gradient(loss, layer.items.table.value)
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.indices.numpy().tolist() == [3, 1, 3]


def test_catalogue_and_candidates_have_the_same_gradient(layer):
    hidden = tf.constant(random_hidden(2, 4))

    def gradients(item_ids):
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            loss = tf.reduce_sum(tf.sin(layer(hidden, item_ids)))
        sources = [hidden, layer.items.table.value, layer.kernel.value]
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, sources)]

    every_item = tf.range(1, NUM_ITEMS + 1)
    for mine, other in zip(gradients(None), gradients(every_item), strict=True):
        np.testing.assert_allclose(mine, other, **FLOAT32_NOISE)


def test_the_table_is_used_and_not_copied(layer):
    before = layer(random_hidden(1))
    layer.items.table.assign(np.asarray(layer.items.table) * 2)
    np.testing.assert_allclose(layer(random_hidden(1)), before * 2, **FLOAT32_NOISE)


def test_its_configuration_is_the_models():
    layer = BilinearScores(ItemEmbedding(5, 3), 4, name="scores")
    with pytest.raises(ValueError, match=r"'scores' shares its table.*Rebuild both in the model"):
        layer.get_config()


def test_bad_sizes_name_the_cure():
    with pytest.raises(ValueError, match=r"`dim` must be a positive int, but was 0\. Pass"):
        BilinearScores(ItemEmbedding(5, 3), 0)


def test_the_padding_class_stands_behind_the_items():
    """o W_Bᵀ = (7, 10), the padding id's vector (2, -1): 14 - 10."""
    layer = BilinearScores(ItemEmbedding(2, 2), 3, pad_class=True)
    layer.build()
    layer.items.table.assign([[9.0, 9.0], [3.0, 4.0], [1.0, 0.0]])
    layer.kernel.assign([[1.0, 0.0, 2.0], [0.0, 5.0, 0.0]])
    layer.padding_vector.assign([[2.0, -1.0]])
    hidden = tf.constant([[1.0, 2.0, 3.0]])
    assert layer.with_padding(hidden).numpy().tolist() == [[61.0, 7.0, 4.0]]
    assert layer(hidden).numpy().tolist() == [[61.0, 7.0]]
