import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.recent_counts import RecentShares
from hrec_tf.layers import RecentScores
from hrec_tf.layers.recent_scores import FLOOR
from tests.reference.weights import fill_distinct

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
NUM_ITEMS, DIM, SIZE, MOMENTS = 7, 2, 3, 4
IDS = np.array([[0, 0, 0], [3, 5, 0], [5, 1, 2], [7, 6, 3]], np.int32)
SHARES = np.array([[0, 0, 0], [0.6, 0.4, 0], [0.5, 0.2, 0.1], [0.4, 0.3, 0.01]], np.float32)
FIRST, STEP = 28_000_000, 10  # minutes
# Before the first moment, at it, just before the second, at it, in the third, at the last, later.
MINUTES = FIRST + np.array([-5, 0, 9, 10, 25, 30, 9_999])
ROWS = [0, 0, 0, 1, 2, 3, 3]
COUNTS, LAST = np.arange(NUM_ITEMS + 1) / 8, 60 * FIRST + 1_700
HIDDEN = np.random.default_rng(0).normal(size=(len(ROWS), DIM)).astype(np.float32)


def made(**options):
    layer = RecentScores(NUM_ITEMS, DIM, SIZE, hours=1.0, moments=MOMENTS, **options)
    layer.build()
    return layer


@pytest.fixture(scope="module")
def layer():
    layer = made()
    fill_distinct(layer)
    layer.set_shares(RecentShares(FIRST, IDS, SHARES, COUNTS, LAST))
    return layer


def gains(layer, candidates=None):
    hidden = tf.constant(HIDDEN, layer.compute_dtype)
    return layer(hidden, layer.columns(tf.constant(MINUTES, tf.int32)), candidates)


def by_loop(layer):
    """The equation in float64: (rows, num_items)."""
    amount, kernel, bias = (
        np.asarray(w, np.float64) for w in (layer.amount, layer.gate_kernel, layer.gate_bias)
    )
    found = np.zeros((len(ROWS), NUM_ITEMS))
    for row, (hidden, moment) in enumerate(zip(HIDDEN, ROWS, strict=True)):
        gate = amount[0] / (1 + np.exp(-(hidden @ kernel[:, 0] + bias[0])))
        for item, share in zip(IDS[moment], SHARES[moment], strict=True):
            if item:
                found[row, item - 1] = gate * np.log(1 + float(share) / FLOOR)
    return found


def test_golden_value():
    """A gate of 1/2 and an amount of 4: an item of share 0.007 gains 2 log 8."""
    layer = RecentScores(3, 1, 1, hours=1.0, moments=1)
    layer.build()
    ids, shares = np.array([[2]], np.int32), np.array([[0.007]])
    layer.set_shares(RecentShares(FIRST, ids, shares, np.zeros(4), LAST))
    layer.amount.assign([4.0])
    found = layer(tf.zeros((1, 1)), layer.columns(tf.constant([FIRST])))
    np.testing.assert_allclose(found, [[0, 2 * np.log(8), 0]], **FLOAT32_NOISE)


def test_it_is_the_loop_and_moments_lie_before_events(layer):
    found = gains(layer)
    np.testing.assert_allclose(found, by_loop(layer), **FLOAT32_NOISE)
    assert not np.any(found[:3]) and np.all(np.any(found[3:], axis=1))


def test_gains_of_candidates_are_columns_of_the_catalogue(layer):
    whole = np.c_[np.zeros(len(ROWS)), gains(layer)]
    shared = [5, 0, 3, 5]
    np.testing.assert_allclose(
        gains(layer, tf.constant(shared))[:, :3], whole[:, shared[:3]], **FLOAT32_NOISE
    )


def test_nothing_is_gained_before_anything_is_learnt():
    layer = made()
    layer.set_shares(RecentShares(FIRST, IDS, SHARES, COUNTS, LAST))
    assert not np.any(gains(layer))


def test_a_weight_counts_outside_training_alone(layer):
    expected = gains(layer)
    held = layer.weight.numpy()
    try:
        layer.weight.assign([2.5])
        columns = layer.columns(tf.constant(MINUTES, tf.int32))
        as_learnt = layer(tf.constant(HIDDEN), columns, to_train=True)
        weighed = gains(layer)
    finally:
        layer.weight.assign(held)
    np.testing.assert_allclose(weighed, 2.5 * expected / held, **FLOAT32_NOISE)
    np.testing.assert_allclose(as_learnt, expected / held, **FLOAT32_NOISE)


def test_what_was_counted_is_held_and_counting_goes_on():
    """Item 1 at minute 0, item 2 at 30: what is held afterwards is what is counted at once."""
    one, both = (Histories.from_lists([[ids]], num_items=NUM_ITEMS) for ids in ([1], [1, 2]))
    one, both = (
        replace(held, timestamps=60 * FIRST + np.array(times))
        for held, times in ((one, [0]), (both, [0, 1_800]))
    )
    whole, layer = made(), made()
    whole.count(both)
    layer.count(one)
    assert layer.held_shares().item_ids[-1].tolist() == [1, 0, 0]
    layer.count(replace(both, item_ids=np.array([7, 2])), goes_on=True)  # 7 was counted before
    for mine, expected in zip(layer.held_shares(), whole.held_shares(), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-6)
    assert layer.held_shares().item_ids[-1].tolist() == [2, 1, 0]
    beyond = replace(both, timestamps=both.timestamps * 10**6)
    with pytest.raises(ValueError, match=r"`histories` has the time \d+, which is no Unix second"):
        layer.count(beyond, goes_on=True)
    other = Histories.from_lists([[[1, 2]]], num_items=3)
    with pytest.raises(ValueError, match=r"`histories` has num_items 3, but .* made for 7\. Enc"):
        layer.count(other)


def test_what_is_learnt_has_the_gradient_of_the_equation(layer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(gains(layer) ** 2)
    slope = tape.gradient(loss, layer.amount)
    # Twice the squares over the amount: gains are proportional to it.
    expected = 2 * float(loss) / float(layer.amount[0])
    np.testing.assert_allclose(slope, [expected], rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_finds_the_same_moments(policy, layer):
    """Numbers of moments above 256, which bfloat16 rounds."""
    wide = RecentScores(NUM_ITEMS, DIM, SIZE, hours=1.0, moments=5000, dtype=policy)
    wide.build()
    minutes = tf.constant([FIRST + 10 * moment for moment in (0, 255, 257, 4097, 4999)])
    wide.first_minute.assign(FIRST)
    columns = wide.columns(minutes)
    assert columns.dtype == wide.compute_dtype
    joined = wide._numbers.join(tf.unstack(columns, axis=-1))
    assert joined.numpy().tolist() == [0, 255, 257, 4097, 4999]


def test_config_comes_back(layer):
    config = json.loads(json.dumps(layer.get_config()))
    again = RecentScores.from_config(config)
    assert again.get_config() == layer.get_config()


def test_shares_of_another_log_are_refused(layer):
    with pytest.raises(ValueError, match=r"has shape \(2, 3\), but .* 4 moments of 3 items\."):
        layer.set_shares(RecentShares(FIRST, IDS[:2], SHARES[:2], COUNTS, LAST))
