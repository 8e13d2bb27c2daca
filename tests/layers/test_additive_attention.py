import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.layers import AdditiveAttention
from tests.reference.prefix_models import attention_weights
from tests.reference.recurrent import weights_of
from tests.reference.weights import fill_drawn

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
BATCH, STEPS, TARGETS, FEATURES, QUERY_FEATURES, UNITS = 2, 4, 3, 3, 5, 6
NORMALISERS = ("masked_softmax", "none")
every_normaliser = pytest.mark.parametrize("normalise", NORMALISERS)
masks = st.lists(st.booleans(), min_size=STEPS, max_size=STEPS)


def built(**arguments):
    layer = AdditiveAttention(UNITS, **arguments)
    layer.build((None, None, FEATURES), (None, None, QUERY_FEATURES))
    fill_drawn(layer)
    return layer


def inputs(is_read, seed=0):
    """Hidden, query and one mask for all rows and targets."""
    generator = np.random.default_rng(seed)
    hidden = generator.normal(size=(BATCH, STEPS, FEATURES)).astype("float32")
    query = generator.normal(size=(BATCH, TARGETS, QUERY_FEATURES)).astype("float32")
    return hidden, query, np.broadcast_to(is_read, (BATCH, TARGETS, STEPS))


@pytest.mark.parametrize(
    ("normalise", "scorer", "golden"),
    [("none", 1.0, [3 / 4, 1 / 2]), ("masked_softmax", 4 * np.log(2), [2 / 3, 1 / 3])],
)
def test_golden_weights(normalise, scorer, golden):
    """A_1 = 2, A_2 = 1, q = log(3) / 2, h = 0 and -log 3: σ(log 3) = 3/4, σ(0) = 1/2.

    With v = 4 log 2 the scores are log 8 and log 4: the softmax is 8 and 4 in 12.
    """
    layer = AdditiveAttention(1, normalise=normalise)
    layer.build((None, None, 1), (None, None, 1))
    layer.query_kernel.assign([[2.0]])
    layer.hidden_kernel.assign([[1.0]])
    layer.scorer.assign([[scorer]])
    hidden = tf.constant([[[0.0], [-np.log(3)], [5.0]]], tf.float32)
    query = tf.constant([[[np.log(3) / 2]]], tf.float32)
    context, weights = layer(hidden, query, tf.constant([[[True, True, False]]]))
    np.testing.assert_allclose(weights, [[[*golden, 0]]], rtol=1e-6)
    np.testing.assert_allclose(context, [[[-np.log(3) * golden[1]]]], rtol=1e-6)


@every_normaliser
@pytest.mark.parametrize("use_bias", [False, True])
def test_weights_agree_with_a_float64_loop(normalise, use_bias):
    layer = built(normalise=normalise, use_bias=use_bias)
    reference = weights_of(layer)
    hidden, query, _ = inputs(True)
    is_read = np.random.default_rng(1).random((BATCH, TARGETS, STEPS)) < 0.6
    is_read[:, :, 0] = True
    context, weights = layer(hidden, query, is_read)
    for row, target in np.ndindex(BATCH, TARGETS):
        read = hidden[row, is_read[row, target]].astype(float)
        expected = attention_weights(reference, read, query[row, target].astype(float), normalise)
        np.testing.assert_allclose(
            weights[row, target][is_read[row, target]], expected, **FLOAT32_NOISE
        )
        np.testing.assert_allclose(context[row, target], expected @ read, **FLOAT32_NOISE)


@settings(deadline=None, max_examples=20)
@given(is_read=masks.filter(any))
def test_the_softmax_of_narms_authors_gives_the_same_weights(is_read):
    """Over all steps with scores of 0 where there is padding, then masked and divided. [C]"""
    hidden, query, mask = inputs(is_read)
    _, energies = built(normalise="none")(hidden, query, np.ones_like(mask))
    theirs = np.exp(energies * mask)
    theirs = theirs / theirs.sum(axis=-1, keepdims=True) * mask
    theirs = theirs / theirs.sum(axis=-1, keepdims=True)
    _, weights = built()(hidden, query, mask)
    np.testing.assert_allclose(weights, theirs, **FLOAT32_NOISE)


@settings(deadline=None, max_examples=20)
@given(is_read=masks)
@every_normaliser
def test_what_is_not_read_has_no_weight_and_no_part(normalise, is_read):
    hidden, query, mask = inputs(is_read)
    layer = built(normalise=normalise)
    context, weights = layer(hidden, query, mask)
    assert not np.asarray(weights)[~mask].any()
    sums = np.sum(weights, axis=-1)
    if normalise == "masked_softmax":
        np.testing.assert_allclose(sums, float(any(is_read)), **FLOAT32_NOISE)
    elsewhere = np.where(mask[:, 0, :, None], hidden, 100.0).astype("float32")
    np.testing.assert_array_equal(layer(elsewhere, query, mask)[0], context)


@settings(deadline=None, max_examples=20)
@given(is_read=masks.filter(any), order=st.permutations(range(STEPS)))
@every_normaliser
def test_events_may_come_in_any_order(normalise, is_read, order):
    hidden, query, mask = inputs(is_read)
    layer = built(normalise=normalise)
    context, weights = layer(hidden, query, mask)
    moved_context, moved_weights = layer(hidden[:, order], query, mask[..., order])
    np.testing.assert_allclose(moved_weights, np.asarray(weights)[..., order], **FLOAT32_NOISE)
    np.testing.assert_allclose(moved_context, context, **FLOAT32_NOISE)


@every_normaliser
def test_one_event_is_all_that_is_read(normalise):
    """Its share of a softmax is 1; without one it is its score."""
    hidden, query, mask = inputs([False, True, False, False])
    context, weights = built(normalise=normalise)(hidden, query, mask)
    share = np.asarray(weights)[..., 1:2]
    np.testing.assert_allclose(context, share * hidden[:, 1:2], **FLOAT32_NOISE)
    if normalise == "masked_softmax":
        np.testing.assert_array_equal(share, np.ones_like(share))


def test_no_event_at_all_gives_zeros_and_finite_gradients():
    """The rows that fill up an epoch's last batch."""
    layer = built()
    hidden, query, mask = inputs(False)
    with tf.GradientTape() as tape:
        context, weights = layer(hidden, query, mask)
        loss = tf.reduce_sum(context)
    assert not np.any(context) and not np.any(weights)
    for gradient in tape.gradient(loss, [weight.value for weight in layer.trainable_weights]):
        assert np.all(np.isfinite(gradient))


def test_initial_values():
    """Glorot's rule for each matrix by itself, or N(0, stddev²)."""
    for stddev in (None, 0.05):
        layer = AdditiveAttention(60, stddev=stddev, use_bias=True, seed=1)
        layer.build((None, None, 40), (None, None, 80))
        assert not np.any(layer.bias)
        for weight, fan in ((layer.hidden_kernel, 100), (layer.query_kernel, 140)):
            if stddev is None:
                assert 0.98 * np.sqrt(6 / fan) < np.abs(weight).max() <= np.sqrt(6 / fan)
            else:
                assert abs(np.std(weight) - stddev) < 0.003


def test_config_round_trip():
    layer = AdditiveAttention(3, normalise="none", use_bias=True, stddev=0.1, seed=4, name="a")
    assert AdditiveAttention.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be a positive int, but was 0. Pass the width"),
        ({"units": 3, "normalise": "non"}, "`normalise` was 'non'.*Did you mean 'none'"),
        ({"units": 3, "stddev": -0.1}, "`stddev` must be a finite number of at least 0"),
    ],
)
def test_bad_arguments_name_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        AdditiveAttention(**arguments)
