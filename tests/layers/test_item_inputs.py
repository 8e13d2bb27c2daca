import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import ItemEmbedding, ItemInputs, require_inputs

NUM_ITEMS = 3
VECTORS = np.array([[0.0, 0.0], [1.0, -2.0], [3.0, 4.0], [5.0, 6.0]], "float32")


def table():
    table = ItemEmbedding(NUM_ITEMS, 2)
    table.build()
    table.table.assign(VECTORS)
    return table


def test_golden_values():
    ids = tf.constant([[2, 0, 1]])
    inputs = ItemInputs(embed_dropout=0.5, item_dropout=0.5, seed=1)
    np.testing.assert_array_equal(inputs(ids, table=table()), [[[3, 4], [0, 0], [1, -2]]])
    np.testing.assert_array_equal(inputs(ids), [[[2], [0], [1]]])


def test_item_dropout_takes_whole_items_and_scales_none():
    ids = tf.constant(np.random.default_rng(0).integers(1, NUM_ITEMS + 1, (40, 50)))
    inputs = ItemInputs(item_dropout=0.3, seed=1)
    first, second = (inputs(ids, table=table(), training=True).numpy() for _ in range(2))
    is_kept = first[..., 0] != 0
    np.testing.assert_array_equal(first, np.where(is_kept[..., None], VECTORS[ids], 0.0))
    # 2000 coins of 0.7: their share has a standard deviation of 0.01.
    assert abs(is_kept.mean() - 0.7) < 0.05
    assert not np.array_equal(first, second)
    # Of one seed the ids that the cell is given are those whose vectors are given.
    again = ItemInputs(item_dropout=0.3, seed=1)
    np.testing.assert_array_equal(again(ids, training=True)[..., 0], np.where(is_kept, ids, 0))


def test_embed_dropout_takes_numbers_of_a_vector_and_scales_the_others():
    inputs, ids = ItemInputs(embed_dropout=0.5, seed=1), tf.fill((20, 30), 2)
    found = inputs(ids, table=table(), training=True).numpy()
    assert {*found[..., 0].ravel()} == {0.0, 6.0} and {*found[..., 1].ravel()} == {0.0, 8.0}
    assert 0.4 < np.mean((found[..., 0] == 0) == (found[..., 1] == 0)) < 0.6


def test_a_dropped_item_gets_no_gradient():
    items, ids = table(), tf.constant([[1, 2, 3, 1, 2, 3, 1, 2]])
    inputs = ItemInputs(item_dropout=0.5, seed=3)
    with tf.GradientTape() as tape:
        vectors = inputs(ids, table=items, training=True)
        total = tf.reduce_sum(vectors)
    gradient = tf.convert_to_tensor(tape.gradient(total, items.table.value)).numpy()
    kept = ids.numpy()[vectors.numpy()[..., 0] != 0]
    assert 0 < len(kept) < 8
    expected = np.bincount(kept, minlength=NUM_ITEMS + 1)
    np.testing.assert_array_equal(gradient, np.repeat(expected[:, None], 2, axis=1))


def test_config_round_trip():
    inputs = ItemInputs(embed_dropout=0.1, item_dropout=0.2, seed=4)
    assert ItemInputs.from_config(inputs.get_config()).get_config() == inputs.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": "onehot"}, "`inputs` was 'onehot'.*Did you mean 'one_hot'"),
        ({"inputs": "embedding", "item_dim": 0}, "`item_dim` must be a positive int, but was 0"),
        ({"inputs": "constrained", "item_dim": 4}, "`item_dim` was 4 with inputs='constrained'"),
        ({"embed_dropout": 0.2}, "`embed_dropout` was 0.2 with inputs='one_hot'.*Leave it out"),
    ],
)
def test_what_would_be_ignored_is_refused(arguments, message):
    given = {"inputs": "one_hot", "item_dim": None, "embed_dropout": 0.0} | arguments
    with pytest.raises(ValueError, match=message):
        require_inputs(given.pop("inputs"), **given)
