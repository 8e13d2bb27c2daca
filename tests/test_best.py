import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.best import best


def same_as_top_k(scores, k):
    ours = best(tf.constant(scores, tf.float32), k)
    theirs = tf.math.top_k(tf.constant(scores, tf.float32), k)
    np.testing.assert_array_equal(ours[0], theirs.values)
    np.testing.assert_array_equal(ours[1], theirs.indices)


def test_a_golden_list():
    scores = np.zeros((1, 1000), np.float32)
    scores[0, [998, 5, 500, 7]] = [3, 2, 3, 2]
    values, columns = best(tf.constant(scores), 6)
    assert values.numpy().tolist() == [[3, 3, 2, 2, 0, 0]]
    assert columns.numpy().tolist() == [[500, 998, 5, 7, 0, 1]]


@given(seed=st.integers(0, 99), columns=st.integers(900, 1100), kinds=st.sampled_from([1, 5, 1000]))
@settings(max_examples=25, deadline=None)
def test_ties_and_all_go_as_top_k_has_them(seed, columns, kinds):
    draw = np.random.default_rng(seed)
    scores = draw.integers(-kinds, 1, (3, columns)).astype(np.float32)
    scores[draw.random(scores.shape) < 0.3] = tf.float32.min  # left out
    same_as_top_k(scores, 10)
    same_as_top_k(scores, columns)
