"""models D-T1 to D-T3, the equation against a loop, cold items, and what is refused."""

import json

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import FeatureDecoder, ItemEmbedding
from tests.reference.weights import fill_distinct

NUM_ITEMS, DIM, FEATURES = 5, 3, 2
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
DRAW = np.random.default_rng(0)
HIDDEN = tf.constant(DRAW.normal(size=(2, 4, DIM)), tf.float32)
VALUES = DRAW.normal(size=(NUM_ITEMS + 1, FEATURES)).astype(np.float32)
COLD = np.array([False, True, False, False, True])


def filled(hidden=(), *, is_cold=COLD, **arguments):
    decoder = FeatureDecoder(NUM_ITEMS, DIM, FEATURES, hidden=hidden, **arguments)
    decoder.build()
    fill_distinct(decoder)
    decoder.set_features(VALUES, is_cold=is_cold)
    return decoder


def maps(values, decoder):
    """w(f) and b(f) of one item, by hand in float64."""
    for layer, (kernel, bias) in enumerate(decoder.maps):
        values = np.maximum(values, 0) if layer else values
        values = values @ np.asarray(kernel, np.float64) + np.asarray(bias, np.float64)
    return values[:-1], values[-1]


@pytest.mark.parametrize("hidden", [(), (4,), (4, 2)])
@pytest.mark.parametrize("mix", [None, 0.3])
def test_agrees_with_a_float64_loop(hidden, mix):
    decoder = filled(hidden, eval_mix=0.25)
    w, b = (np.asarray(t, np.float64) for t in (decoder.own.items.table, decoder.own.bias))
    logits = decoder(HIDDEN, mix=mix)
    for row, step, item in np.ndindex(2, 4, NUM_ITEMS):
        h = np.asarray(HIDDEN[row, step], np.float64)
        of_features, bias = maps(VALUES[item + 1].astype(np.float64), decoder)
        share = mix if mix is not None else (1.0 if COLD[item] else 0.25)
        own = w[item + 1] @ h + b[item + 1, 0]
        expected = (1 - share) * own + share * (of_features @ h + bias)
        np.testing.assert_allclose(logits[row, step, item], expected, **FLOAT32_NOISE)


def test_golden_score():
    """By itself 1·3 + 2·4 + 5 = 16; with f = 4, 1·4 + 2·8 + (4·2.5 + 1) = 31."""
    decoder = FeatureDecoder(1, 2, 1, eval_mix=0.25)
    decoder.build()
    decoder.own.items.table.assign([[0.0, 0.0], [3.0, 4.0]])
    decoder.own.bias.assign([[0.0], [5.0]])
    kernel, bias = decoder.maps[0]
    kernel.assign([[1.0, 2.0, 2.5]])
    bias.assign([0.0, 0.0, 1.0])
    decoder.set_features([[0.0], [4.0]])
    assert decoder(tf.constant([[1.0, 2.0]])).numpy().tolist() == [[0.75 * 16 + 0.25 * 31]]
    decoder.set_features([[0.0], [4.0]], is_cold=[True])
    assert decoder(tf.constant([[1.0, 2.0]])).numpy().tolist() == [[31.0]]


def test_without_a_share_of_features_it_is_the_vanilla_decoder():
    """D-T1, bit by bit."""
    decoder = filled()
    np.testing.assert_array_equal(decoder(HIDDEN, mix=0.0), decoder.own(HIDDEN))


def test_one_hot_features_and_the_tables_as_their_map_are_the_vanilla_decoder():
    """D-T2."""
    decoder = FeatureDecoder(NUM_ITEMS, DIM, NUM_ITEMS)
    decoder.build()
    fill_distinct(decoder)
    decoder.set_features(np.eye(NUM_ITEMS + 1)[:, 1:])
    table, bias = decoder.own.items.table[1:], decoder.own.bias[1:]
    decoder.maps[0][0].assign(np.concatenate([table, bias], axis=1))
    decoder.maps[0][1].assign(np.zeros(DIM + 1))
    np.testing.assert_allclose(decoder(HIDDEN, mix=1.0), decoder.own(HIDDEN), **FLOAT32_NOISE)


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_items_of_equal_features_tie(hidden):
    """D-T3: with λ = 1, as for cold items."""
    decoder = filled(hidden)
    values = VALUES.copy()
    values[5] = values[2]
    decoder.set_features(values, is_cold=COLD)
    logits = np.asarray(decoder(HIDDEN))
    np.testing.assert_array_equal(logits[..., 1], logits[..., 4])
    assert not np.array_equal(logits[..., 0], logits[..., 2])


def test_what_was_never_trained_of_a_cold_item_has_no_part_in_its_score():
    decoder = filled()
    before = np.asarray(decoder(HIDDEN))
    table = np.asarray(decoder.own.items.table).copy()
    table[[2, 5]] = 77.0
    decoder.own.items.table.assign(table)
    np.testing.assert_array_equal(decoder(HIDDEN)[..., 1], before[..., 1])
    np.testing.assert_array_equal(decoder(HIDDEN)[..., 4], before[..., 4])


@pytest.mark.parametrize("mix", [None, 0.3, tf.constant([[[0.1]], [[0.9]]])])
def test_some_items_are_columns_of_the_catalogue(mix):
    decoder = filled((4,))
    some = tf.constant([5, 1, 2, 2])
    expected = tf.gather(decoder(HIDDEN, mix=mix), some - 1, axis=2)
    np.testing.assert_allclose(decoder(HIDDEN, some, mix=mix), expected, **FLOAT32_NOISE)


def test_each_row_may_have_a_share_of_its_own():
    decoder = filled()
    both = decoder(HIDDEN, mix=tf.constant([[[0.1]], [[0.9]]]))
    for row, share in enumerate((0.1, 0.9)):
        alone = decoder(HIDDEN, mix=share)[row]
        np.testing.assert_allclose(both[row], alone, **FLOAT32_NOISE)


def test_features_are_known_and_not_learnt():
    decoder = filled()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(decoder(HIDDEN)))
    trainable = {weight.path for weight in decoder.trainable_weights}
    assert not any("features" in path or "is_cold" in path for path in trainable)
    gradients = tape.gradient(loss, [weight.value for weight in decoder.trainable_weights])
    assert all(np.abs(tf.convert_to_tensor(gradient)).max() > 0 for gradient in gradients)


def test_a_tied_table_is_the_one_that_was_passed():
    table = ItemEmbedding(NUM_ITEMS, DIM)
    table.build()
    decoder = FeatureDecoder(NUM_ITEMS, DIM, FEATURES, table=table)
    decoder.build()
    assert decoder.own.items is table
    with pytest.raises(ValueError, match="shares its table"):
        decoder.get_config()


def test_a_configuration_is_plain_data():
    config = filled((4,), eval_mix=0.25, seed=3).get_config()
    again = FeatureDecoder.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: FeatureDecoder(3, 2, 0), "`num_features`"),
        (lambda: FeatureDecoder(3, 2, 1, hidden=(0,)), "`hidden`"),
        (lambda: FeatureDecoder(3, 2, 1, eval_mix=1.5), "`eval_mix` was 1.5"),
        (lambda: FeatureDecoder(3, 2, 1, eval_mix=-0.1), "`eval_mix`"),
        (lambda: filled().set_features(VALUES[1:]), "has shape (5, 2)"),
        (lambda: filled().set_features(VALUES, is_cold=[True]), "`is_cold` has shape (1,)"),
        (
            lambda: filled().set_features(np.where(np.arange(6)[:, None] == 3, np.nan, VALUES)),
            "(item id 3)",
        ),
    ],
)
def test_bad_arguments_are_refused(act, message):
    with pytest.raises(ValueError, match=r".") as error:
        act()
    assert message in str(error.value)
