import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.layers import ContextAttention, at_positions, is_read_at
from tests.reference.hcrnn import by_context, fill

FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}
BATCH, STEPS, UNITS, DIM = 2, 5, 4, 3


def filled(scale=UNITS):
    layer = ContextAttention(UNITS, scale=scale)
    layer.build(DIM)
    fill(layer, 0.8)
    return layer


def random_contexts(seed=0, batch=BATCH, steps=STEPS):
    """h and c of each event."""
    generator = np.random.default_rng(seed)
    return [
        tf.constant(generator.normal(size=(batch, steps, size)), tf.float32)
        for size in (UNITS, DIM)
    ]


def causal(batch=BATCH, steps=STEPS):
    return tf.tile(tf.constant(np.tri(steps, dtype=bool))[None], [batch, 1, 1])


def test_golden_weights():
    """Eq. 25: c_T W_1 = 2, c_j W_2 = log(2, 4, 8) / 2, so energies log(2, 4, 8) / sqrt(4).

    Weights are in proportion to sqrt(2), 2 and sqrt(8).
    """
    layer = ContextAttention(1, scale=4)
    layer.build(1)
    layer.query_kernel.assign([[2.0]])
    layer.context_kernel.assign([[0.5]])
    h = tf.constant([[[1.0], [10], [100]]])
    c = tf.constant(np.log([[[2.0], [4], [8]]]), tf.float32)
    query = tf.ones((1, 1, 1))
    average, weights = layer(h, c, query, tf.ones((1, 1, 3), bool))
    expected = np.array([2**0.5, 2, 8**0.5])
    expected /= expected.sum()
    np.testing.assert_allclose(weights, [[expected]], rtol=1e-6)
    np.testing.assert_allclose(average, [[[expected @ [1, 10, 100]]]], rtol=1e-6)


@pytest.mark.parametrize("scale", [UNITS, DIM])
def test_agrees_with_a_float64_loop(scale):
    layer, (h, c) = filled(scale), random_contexts()
    average, weights = layer(h, c, c, causal())
    for row, t in np.ndindex(BATCH, STEPS):
        expected = by_context(layer, np.asarray(c[row], np.float64), t, scale)
        np.testing.assert_allclose(weights[row, t, : t + 1], expected, **FLOAT32_NOISE)
        np.testing.assert_array_equal(weights[row, t, t + 1 :], np.zeros(STEPS - t - 1))
        np.testing.assert_allclose(
            average[row, t], expected @ np.asarray(h[row])[: t + 1], **FLOAT32_NOISE
        )


def test_alike_contexts_give_the_mean_of_the_states():
    """What is averaged are the temporary contexts h; c has no part but in the weights."""
    layer, (h, c) = filled(), random_contexts()
    alike = tf.tile(c[:, :1], [1, STEPS, 1])
    average, _ = layer(h, alike, alike, causal())
    expected = np.cumsum(h, axis=1) / np.arange(1, STEPS + 1)[:, None]
    np.testing.assert_allclose(average, expected, **FLOAT32_NOISE)


def test_a_single_event_is_all_there_is():
    """C-T6."""
    layer, (h, c) = filled(), random_contexts(steps=1)
    average, weights = layer(h, c, c, tf.ones((BATCH, 1, 1), bool))
    np.testing.assert_array_equal(weights, np.ones((BATCH, 1, 1)))
    np.testing.assert_array_equal(average, h)


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 99),
    scale=st.floats(0.1, 50),
    lengths=st.lists(st.integers(1, STEPS), min_size=BATCH, max_size=BATCH),
)
def test_padding_has_no_weight_and_the_others_add_up_to_one(seed, scale, lengths):
    """Pitfall I.1: also where the padding's energies are the largest."""
    layer, (h, c) = filled(), [scale * values for values in random_contexts(seed)]
    ids = tf.constant(np.arange(STEPS) < np.array(lengths)[:, None], tf.int32)
    positions = tf.constant(lengths)[:, None] - 1
    query, is_read = at_positions(c, positions), is_read_at(ids, positions)
    average, weights = layer(h, c, query, is_read)
    np.testing.assert_array_equal(np.asarray(weights)[~is_read.numpy()], 0)
    np.testing.assert_allclose(np.sum(weights, axis=-1), np.ones((BATCH, 1)), rtol=1e-5)
    # Any other padding gives the same, bit by bit.
    moved = [tf.where(ids[..., None] > 0, values, 1000.0) for values in (h, c)]
    np.testing.assert_array_equal(layer(*moved, query, is_read)[0], average)


def test_a_target_of_no_event_gives_no_nan():
    layer, (h, c) = filled(), random_contexts()
    average, weights = layer(h, c, c, tf.zeros((BATCH, STEPS, STEPS), bool))
    assert np.all(np.isfinite(average)) and np.all(np.isfinite(weights))


def test_config_round_trip():
    layer = ContextAttention(4, scale=3, seed=2, name="a")
    again = ContextAttention.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="`units` must be a positive int, but was 0"):
        ContextAttention(0, scale=1)
