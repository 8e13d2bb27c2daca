"""Metrics of one evaluation point from the rank of its next item.

Each takes ranks, 1-based and possibly x.5 (median ties), and gives one value per point: a float64
array for an array or list, a float32 tensor for a tensor. Averaging is the caller's: over points,
or first inside each session or user. There is one relevant item per point.

Source: `docs/evaluation.md` 1.2.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf.checks import require_positive_int

MEND_K = "Pass the length of the recommended list, e.g. 20."


def recall_at(ranks: Any, k: int) -> Any:
    """`1[rank <= k]`; also called hit rate.

    Example:
        >>> recall_at([1, 20, 21], k=20).tolist()
        [1.0, 1.0, 0.0]
    """
    return _within(k, ranks, lambda ranks: 1.0)


def precision_at(ranks: Any, k: int) -> Any:
    """`1[rank <= k] / k`.

    Example:
        >>> precision_at([1, 4, 5], k=4).tolist()
        [0.25, 0.25, 0.0]
    """
    return _within(k, ranks, lambda ranks: 1.0 / k)


def mrr_at(ranks: Any, k: int) -> Any:
    """`1[rank <= k] / rank`.

    Example:
        >>> mrr_at([1, 4, 5], k=4).tolist()
        [1.0, 0.25, 0.0]
    """
    return _within(k, ranks, lambda ranks: 1.0 / ranks)


def ndcg_at(ranks: Any, k: int) -> Any:
    """`1[rank <= k] / log2(rank + 1)`; the ideal DCG is 1.

    Example:
        >>> ndcg_at([1, 3, 7], k=5).tolist()
        [1.0, 0.5, 0.0]
    """
    return _within(k, ranks, lambda ranks: 1.0 / _log2(ranks + 1.0))


def reciprocal_rank(ranks: Any) -> Any:
    """`1 / rank`, whatever the rank.

    Example:
        >>> reciprocal_rank([1, 4, 100]).tolist()
        [1.0, 0.25, 0.01]
    """
    return 1.0 / _floats(ranks)


def perplexity(log_probabilities: Any, weights: Any = None) -> float:
    """`exp( mean over points of -log p(next item) )`, natural logarithms.

    Args:
        log_probabilities: (num_points,) from the full softmax over all candidates.
        weights: (num_points,) for a weighted mean; None for a plain one.

    Returns:
        The perplexity; over N equally probable items it is N.

    Example:
        >>> round(perplexity(np.log([0.25, 0.25, 0.25])), 6)
        4.0
    """
    return float(np.exp(-np.average(np.asarray(log_probabilities, np.float64), weights=weights)))


def _within(k: int, ranks: Any, gain: Any) -> Any:
    k = require_positive_int("k", k, mend=MEND_K)
    ranks = _floats(ranks)
    where = tf.where if tf.is_tensor(ranks) else np.where
    return where(ranks <= k, gain(ranks), 0.0)


def _floats(ranks: Any) -> Any:
    if tf.is_tensor(ranks):
        return tf.cast(ranks, tf.float32)
    return np.asarray(ranks, np.float64)


def _log2(values: Any) -> Any:
    return tf.math.log(values) / np.log(2.0) if tf.is_tensor(values) else np.log2(values)
