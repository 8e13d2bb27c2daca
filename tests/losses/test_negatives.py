import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from hrec_tf.losses import InBatch
from hrec_tf.losses.negatives import alias_tables

SUPPORTS = np.array([120, 60, 31, 17, 8, 5, 3, 2, 1, 0, 1, 1])


def probabilities(accept, alias):
    """What the tables draw: cell by cell, the share kept and the share given away."""
    kept = np.minimum((accept.astype(np.float64) + 1) / 2**32, 1)
    drawn = kept / len(accept)
    np.add.at(drawn, alias, (1 - kept) / len(accept))
    return drawn


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.75, 1.0])
def test_alias_tables_hold_the_distribution(alpha):
    shares = np.r_[np.arange(1, 5001) ** -1.2, np.zeros(7)]
    shares = np.where(shares > 0, shares**alpha, 0.0)
    drawn = probabilities(*alias_tables(shares))
    # One cell is off by at most 2^-31 of its 1/N.
    np.testing.assert_allclose(drawn, shares / shares.sum(), rtol=1e-6, atol=1e-12)


def test_alias_tables_golden():
    # Shares 3 and 1 of 4 over two cells: heights 3/2 and 1/2, cell 1 gives half to item 0.
    accept, alias = alias_tables(np.array([3.0, 1.0]))
    np.testing.assert_array_equal(alias, [0, 0])
    np.testing.assert_array_equal(accept, np.array([2**32 - 1, 2**31], np.uint32))


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_draws_follow_support_to_the_power_alpha(alpha):
    negatives = InBatch(extra=60_000, alpha=alpha, item_supports=SUPPORTS, seed=3)
    ids = negatives.sample(0).numpy()
    counts = np.bincount(ids, minlength=len(SUPPORTS) + 1)
    assert counts[0] == 0
    assert counts[10] == 0
    expected = np.where(SUPPORTS > 0, SUPPORTS.astype(float) ** alpha, 0)
    expected *= len(ids) / expected.sum()
    offered = expected > 0
    chance = stats.chisquare(counts[1:][offered], expected[offered]).pvalue
    assert chance > 1e-3


def test_alpha_zero_draws_every_item_alike():
    """alpha = 0 is uniform, items without support included, and needs no supports."""
    for negatives in (
        InBatch(extra=24_000, alpha=0.0, item_supports=SUPPORTS),
        InBatch(extra=24_000, alpha=0.0),
    ):
        negatives.build(12)
        counts = np.bincount(negatives.sample(1), minlength=13)[1:]
        assert stats.chisquare(counts).pvalue > 1e-3


def test_seed_and_step_fix_the_draw_also_under_xla():
    negatives = InBatch(extra=500, item_supports=SUPPORTS, seed=11)
    again = InBatch(extra=500, item_supports=SUPPORTS, seed=11)
    other = InBatch(extra=500, item_supports=SUPPORTS, seed=12)
    drawn = negatives.sample(tf.constant(4, tf.int64)).numpy()
    compiled = tf.function(again.sample, jit_compile=True)
    np.testing.assert_array_equal(drawn, compiled(tf.constant(4, tf.int64)))
    np.testing.assert_array_equal(drawn, again.sample(4))
    assert (drawn != negatives.sample(5).numpy()).any()
    assert (drawn != other.sample(4).numpy()).any()


def test_a_window_may_draw_for_each_of_its_steps():
    ids = InBatch(extra=6, item_supports=SUPPORTS).sample(0, shape=(20, 6))
    assert ids.shape == (20, 6)
    assert ids.dtype == tf.int32
    assert len(np.unique(ids.numpy(), axis=0)) == 20


def test_log_q_is_support_in_batch_and_support_to_alpha_outside():
    """docs/equations.md 0.6: raw counts, not scaled to one total."""
    negatives = InBatch(extra=2, alpha=0.5, item_supports=[9, 4, 25])
    log_q = negatives.log_q(tf.constant([3, 0, 1]), tf.constant([2, 3]))
    np.testing.assert_allclose(log_q, np.log([25, 1, 9, 2, 5]), rtol=1e-6)
    in_batch = InBatch(item_supports=[9, 4, 25]).log_q(tf.constant([[3], [2]]))
    np.testing.assert_allclose(in_batch, np.log([[25], [4]]), rtol=1e-6)


def test_collisions_are_columns_that_repeat_the_rows_target():
    targets, extra = tf.constant([5, 7, 5]), tf.constant([7, 9])
    assert InBatch(extra=2, alpha=0.0).collisions(targets, extra) is None
    collisions = InBatch(extra=2, alpha=0.0, mask_collisions=True).collisions(targets, extra)
    np.testing.assert_array_equal(
        collisions, np.array([[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]], bool)
    )


def test_configuration_round_trip():
    negatives = InBatch(extra=8, item_supports=SUPPORTS, seed=2, mask_collisions=True)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(negatives))
    assert again.get_config() == negatives.get_config()
    np.testing.assert_array_equal(again.sample(3), negatives.sample(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: InBatch(extra=-1), "`extra` must be an int of at least 0, but was -1"),
        (lambda: InBatch(extra=10), "`item_supports` is missing"),
        (lambda: InBatch(alpha=0.5), "so nothing is drawn with it"),
        (lambda: InBatch(extra=1, alpha=-0.5), "`alpha` must be a finite number"),
        (lambda: InBatch(item_supports=[3, -1]), "holds -1 at row 1"),
        (lambda: InBatch(item_supports=[0.5]), "must be a list of whole numbers"),
        (lambda: InBatch(item_supports=[3, 1]).build(3), "has 2 entries, but the model has 3"),
        (lambda: InBatch(extra=4, alpha=0.0).sample(0), "before the catalogue's size was known"),
        (lambda: InBatch().sample(0), "`extra` is 0, so there are no items to draw"),
        (lambda: InBatch().log_q(tf.constant([1])), "logQ corrects by it"),
    ],
)
def test_bad_arguments_name_the_cure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
