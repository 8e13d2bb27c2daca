import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.layers import GlobalContext, bag_of_items
from hrec_tf.layers.global_context import first_occurrences
from tests.reference.hcrnn import bag, fill, global_context
from tests.reference.recurrent import weights_of

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
DIM, CONTEXTS = 3, 4
SOFTPLUS_OF_1 = np.log(np.e - 1)
"""softplus(x) = 1 at this x."""

histories = st.lists(st.integers(0, 5), min_size=1, max_size=7)


def built(**arguments):
    layer = GlobalContext(CONTEXTS, **{"dim": DIM} | arguments)
    layer.build()
    return layer


def filled(**arguments):
    layer = built(**arguments)
    fill(layer, 0.8)
    return layer


def normal_with(mean, raw_std, **arguments):
    """A layer whose μ and raw s do not follow from the bag."""
    layer = built(**arguments)
    for weight in layer.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    layer.mean_bias.assign(mean)
    layer.std_bias.assign(raw_std)
    return layer


def random_bags(rows=5, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, DIM)).astype("float32")


@pytest.mark.parametrize(("std", "raw"), [("softplus", SOFTPLUS_OF_1), ("exp", 0.0)])
def test_kl_of_the_prior_is_zero(std, raw):
    """C-T8: μ = 0, s = 1; the 1e-6 and 1e-8 of the equations show in the sixth digit."""
    layer = normal_with(np.zeros(CONTEXTS), np.full(CONTEXTS, raw), std=std)
    theta, kl = layer(random_bags())
    np.testing.assert_allclose(kl, np.zeros(5), atol=1e-5)
    np.testing.assert_allclose(theta, np.full((5, CONTEXTS), 1 / CONTEXTS), rtol=1e-6)


@pytest.mark.parametrize("std", ["softplus", "exp"])
def test_kl_golden_value(std):
    """μ = (2, 0, 0, 0), s = (1, 3, 1, 1): ½ (4 + 1 - 0 - 1) + ½ (9 - 2 log 3 - 1) = 6 - log 3."""
    stds = np.array([1.0, 3, 1, 1])
    raw = np.log(stds) if std == "exp" else np.log(np.expm1(stds))
    theta, kl = normal_with([2.0, 0, 0, 0], raw, std=std)(random_bags(1))
    np.testing.assert_allclose(kl, [6 - np.log(3)], rtol=1e-5)
    shares = np.array([np.e**2, 1, 1, 1])
    np.testing.assert_allclose(theta, [shares / shares.sum()], rtol=1e-6)


@pytest.mark.parametrize("std", ["softplus", "exp"])
def test_agrees_with_a_float64_loop(std):
    layer, bags = filled(std=std), 2 * random_bags()
    theta, kl = layer(bags)
    expected = [global_context(layer, u.astype(float)) for u in bags]
    np.testing.assert_allclose(theta, [t for t, _ in expected], **FLOAT32_NOISE)
    np.testing.assert_allclose(kl, [k for _, k in expected], **FLOAT32_NOISE)


def test_in_training_theta_is_drawn_around_the_mean():
    """θ~ = μ + s ⊙ ε: its logarithm gives ε back, up to a constant of each row."""
    layer = filled(dropout=0.0, seed=3)
    u = random_bags(1)
    bags = np.repeat(u, 4000, axis=0)
    theta, kl = layer(bags, training=True)
    _, still = layer(u)
    np.testing.assert_allclose(kl, np.repeat(still, 4000), rtol=1e-5)
    w = weights_of(layer)
    f = keras.ops.elu(u @ w["f_kernel"] + w["f_bias"]).numpy()
    mean, std = f @ w["mean_kernel"] + w["mean_bias"], f @ w["std_kernel"] + w["std_bias"]
    std = np.log1p(np.exp(std)) + 1e-6
    drawn = np.log(theta) - np.log(theta)[:, :1]
    expected, spread = mean - mean[:, :1], np.sqrt(std**2 + std[:, :1] ** 2)
    # Of 4000 draws the mean has a standard deviation of spread / 63.
    np.testing.assert_allclose(drawn.mean(axis=0), expected[0], atol=0.08 * spread.max())
    np.testing.assert_allclose(drawn[:, 1:].std(axis=0), spread[0, 1:], rtol=0.06)
    again, _ = layer(bags, training=True)
    assert np.abs(again - theta).max() > 0.1, "each call draws anew"


def test_without_training_it_is_deterministic():
    """C-T10."""
    layer, bags = filled(dropout=0.5), random_bags()
    first, again = layer(bags), layer(bags)
    tf.nest.map_structure(np.testing.assert_array_equal, first, again)


def test_dropout_is_of_the_bag():
    """Rate 0.5 with s ≈ 0: values of the bag vanish or double, each row by itself."""
    layer = filled(dropout=0.5, seed=1, std="exp")
    layer.std_kernel.assign(np.zeros(layer.std_kernel.shape))
    layer.std_bias.assign(np.full(CONTEXTS, -30.0))
    u = random_bags(1)[0]
    theta, _ = layer(np.tile(u, (64, 1)), training=True)
    masks = np.array(np.meshgrid(*[[0, 2]] * DIM)).reshape(DIM, -1).T
    possible = np.array([global_context(layer, u * mask)[0] for mask in masks])
    nearest = np.abs(np.asarray(theta)[:, None] - possible).max(axis=-1)
    np.testing.assert_allclose(nearest.min(axis=1), np.zeros(64), atol=1e-5)
    assert len(set(nearest.argmin(axis=1))) >= 6


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), scale=st.floats(0.01, 5), std=st.sampled_from(["softplus", "exp"]))
def test_theta_are_shares_and_kl_is_not_below_zero(seed, scale, std):
    theta, kl = filled(std=std)(scale * random_bags(seed=seed), training=True)
    np.testing.assert_allclose(np.sum(theta, axis=-1), np.ones(5), rtol=1e-5)
    assert np.all(np.asarray(theta) >= 0) and np.all(np.asarray(kl) > -1e-5)


def test_first_occurrences_golden_value():
    """7 comes back; of 4 the first event is not read, so its second is the first that is."""
    item_ids = tf.constant([[4, 7, 4, 7, 2, 0]])
    is_read = tf.constant([[True] * 5 + [False]])
    found = first_occurrences(item_ids, is_read)
    np.testing.assert_array_equal(found, [[True, True, False, False, True, False]])
    cut = first_occurrences(item_ids, tf.constant([[True, True, False, False, False, False]]))
    np.testing.assert_array_equal(cut, [[True, True, False, False, False, False]])


def test_repeated_items_count_once_golden_value():
    """Items 1 and 2 are (1, 10) and (2, 20): the bag of 1, 2, 1 is (3, 30)."""
    item_ids = tf.constant([[1, 2, 1, 0]])
    vectors = tf.constant([[[1.0, 10], [2, 20], [1, 10], [9, 9]]])
    whole = bag_of_items(item_ids, vectors, item_ids > 0, per_step=False)
    np.testing.assert_array_equal(whole, [[3, 30]])
    by_step = bag_of_items(item_ids, vectors, item_ids > 0, per_step=True)
    np.testing.assert_array_equal(by_step[0, :3], [[1, 10], [3, 30], [3, 30]])


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(histories, min_size=1, max_size=4), cut=st.integers(1, 7))
def test_a_bag_is_a_set_whatever_the_order_and_the_padding(rows, cut):
    """Against a loop over sets, with events that are not read, among them those of id 0."""
    table = np.random.default_rng(0).normal(size=(6, DIM)).astype("float32")
    item_ids = np.zeros((len(rows), 8), np.int32)
    for padded, row in zip(item_ids, rows, strict=True):
        padded[: len(row)] = row
    is_read = (item_ids > 0) & (np.arange(8) < cut)
    vectors = table[item_ids]
    whole = bag_of_items(*map(tf.constant, (item_ids, vectors, is_read)), per_step=False)
    by_step = bag_of_items(*map(tf.constant, (item_ids, vectors, is_read)), per_step=True)
    for row in range(len(rows)):
        for step in range(8):
            read = item_ids[row, : step + 1][is_read[row, : step + 1]]
            np.testing.assert_allclose(by_step[row, step], bag(table, read), **FLOAT32_NOISE)
        np.testing.assert_allclose(whole[row], by_step[row, -1], **FLOAT32_NOISE)


def test_initial_values():
    """C.5: each matrix by Glorot's rule, biases 0."""
    layer = GlobalContext(50, dim=40, seed=0)
    layer.build()
    for kernel, fan in (
        (layer.f_kernel, 80),
        (layer.mean_kernel, 90),
        (layer.std_kernel, 90),
    ):
        limit = np.sqrt(6 / fan)
        assert 0.98 * limit < np.abs(kernel).max() <= limit
    assert not any(np.any(b) for b in (layer.f_bias, layer.mean_bias, layer.std_bias))
    assert np.abs(np.asarray(layer.mean_kernel) - np.asarray(layer.std_kernel)).max() > 0.1


def test_config_round_trip():
    layer = built(std="exp", dropout=0.1, seed=4, name="g")
    again = GlobalContext.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_contexts": 0}, "`num_contexts` must be a positive int, but was 0"),
        ({"dim": 1.5}, "`dim` must be a positive int, but was 1.5"),
        ({"std": "exponential"}, r"`std` was 'exponential'.*Did you mean 'exp'\?"),
        ({"dropout": 1}, r"`dropout` must be a dropout rate in \[0, 1\), but was 1"),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        GlobalContext(**arguments)
