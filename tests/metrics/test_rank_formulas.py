import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.metrics import (
    mrr_at,
    ndcg_at,
    perplexity,
    precision_at,
    recall_at,
    reciprocal_rank,
)

AT_K = [recall_at, precision_at, mrr_at, ndcg_at]
some_ranks = st.lists(st.integers(2, 200).map(lambda twice: twice / 2), min_size=1, max_size=30)


def loop(name, rank, k):
    """evaluation 1.2, one point at a time."""
    if rank > k:
        return 0.0
    gains = {"recall_at": 1, "precision_at": 1 / k, "mrr_at": 1 / rank}
    return gains.get(name, 1 / math.log2(rank + 1))


def test_golden_values():
    # Ranks 1, 2, 3, 4 with k = 3: log2(2) = 1, log2(3), log2(4) = 2.
    ranks = [1, 2, 3, 4]
    np.testing.assert_allclose(recall_at(ranks, 3), [1, 1, 1, 0])
    np.testing.assert_allclose(precision_at(ranks, 3), [1 / 3, 1 / 3, 1 / 3, 0])
    np.testing.assert_allclose(mrr_at(ranks, 3), [1, 1 / 2, 1 / 3, 0])
    np.testing.assert_allclose(ndcg_at(ranks, 3), [1, 1 / math.log2(3), 1 / 2, 0])
    np.testing.assert_allclose(reciprocal_rank(ranks), [1, 1 / 2, 1 / 3, 1 / 4])
    # p = 1/2 and 1/8: the mean of log 2 and 3 log 2 is log 4; weighted 3 : 1, log 2^1.5.
    assert perplexity(np.log([1 / 2, 1 / 8])) == pytest.approx(4.0)
    assert perplexity(np.log([1 / 2, 1 / 8]), [3, 1]) == pytest.approx(2**1.5)


@settings(deadline=None, max_examples=30)
@given(ranks=some_ranks, k=st.integers(1, 60))
def test_arrays_and_tensors_agree_with_the_loop(ranks, k):
    for formula in AT_K:
        expected = [loop(formula.__name__, rank, k) for rank in ranks]
        np.testing.assert_allclose(formula(ranks, k), expected, rtol=1e-12)
        np.testing.assert_allclose(formula(tf.constant(ranks), k), expected, rtol=1e-6)


@settings(deadline=None, max_examples=50)
@given(ranks=some_ranks, k=st.integers(1, 50), more=st.integers(0, 50))
def test_identities(ranks, k, more):
    """Evaluation 1.2."""
    recall, recall_more = recall_at(ranks, k).mean(), recall_at(ranks, k + more).mean()
    np.testing.assert_allclose(precision_at(ranks, 5), recall_at(ranks, 5) / 5)
    assert recall <= recall_more
    gained = mrr_at(ranks, k + more).mean() - mrr_at(ranks, k).mean()
    # Ranks of median ties may be x.5, so a hit beyond k has rank k + 1/2 at the least.
    beyond = k + 1 if all(rank == int(rank) for rank in ranks) else k + 0.5
    assert gained <= (recall_more - recall) / beyond + 1e-12
    whole = np.ceil(ranks)
    np.testing.assert_array_equal(ndcg_at(whole, 1), recall_at(whole, 1))
    np.testing.assert_array_equal(mrr_at(whole, 1), recall_at(whole, 1))
    np.testing.assert_allclose(mrr_at(ranks, 200), reciprocal_rank(ranks))


@pytest.mark.parametrize("num_items", [1, 7, 930])
def test_uniform_scores_have_perplexity_n(num_items):
    """Evaluation 1.2."""
    assert perplexity(np.full(13, -math.log(num_items))) == pytest.approx(num_items)


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_a_list_has_a_length(k):
    with pytest.raises(ValueError, match="`k` must be a positive int"):
        recall_at([1.0], k)
