"""Dropout: a fair coin for each value, the mean kept, the same masks compiled or not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import Dropout

X = np.random.default_rng(0).uniform(1, 2, (40, 10, 30)).astype("float32")


def test_values_are_dropped_at_the_rate_and_the_others_scaled_up():
    drop = Dropout(0.3, seed=1)
    first, second = (drop(X, training=True).numpy() for _ in range(2))
    kept = first != 0
    np.testing.assert_allclose(first, np.where(kept, X / 0.7, 0), rtol=1e-6)
    # 12,000 coins of 0.7: their share has a standard deviation of 0.004.
    assert abs(kept.mean() - 0.7) < 0.02
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        shares = kept.mean(others)
        # Each index's share, of at least 300 coins, has one of at most 0.026.
        assert abs(shares - 0.7).max() < 0.12, "no index of an axis is dropped more than others"
    both = (kept & (second != 0)).mean()
    assert abs(both - 0.49) < 0.03, "the next call's coins know nothing of these"


def test_outside_of_training_and_at_rate_0_nothing_happens():
    np.testing.assert_array_equal(Dropout(0.3, seed=1)(X), X)
    np.testing.assert_array_equal(Dropout(0.0)(X, training=True), X)
    assert Dropout(0.0).variables == []


@pytest.mark.parametrize("jit_compile", [False, True])
def test_masks_follow_from_the_seed_however_they_are_compiled(jit_compile):
    drop = Dropout(0.5, seed=7)
    compiled = tf.function(lambda x: drop(x, training=True), jit_compile=jit_compile)
    eager, other = Dropout(0.5, seed=7), Dropout(0.5, seed=8)
    found = [compiled(tf.constant(X)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(found, [eager(X, training=True) for _ in range(2)])
    assert not np.array_equal(found[0], other(X, training=True))


def test_gradients_pass_where_values_do():
    drop, x = Dropout(0.5, seed=3), tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = drop(x, training=True)
    gradient = tape.gradient(y, x).numpy()
    np.testing.assert_array_equal(gradient, np.where(y.numpy() != 0, 2.0, 0.0))


def test_it_is_read_back_and_keeps_half_precision():
    drop = Dropout(0.25, seed=5, dtype="bfloat16", name="own")
    again = keras.layers.deserialize(keras.layers.serialize(drop))
    assert again.get_config() == drop.get_config()
    assert (again.rate, again.seed, again.name) == (0.25, 5, "own")
    assert drop(X, training=True).dtype == tf.bfloat16


@pytest.mark.parametrize("rate", [1.0, -0.1, True, "0.5"])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="must be a dropout rate in"):
        Dropout(rate)
