"""Rank metrics of a window's pairs, scored by a model."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from hrec_tf.metrics.rank_metrics import RankMetric
from hrec_tf.metrics.ranks import rank_counts, rank_from_counts


def require_rank_metrics(metrics: Any) -> None:
    """Raises if `metrics` is no list of this package's metrics."""
    if not isinstance(metrics, (list, tuple)):
        raise TypeError(f"`metrics` must be a list, but was {metrics!r}. Pass e.g. [Recall(20)].")
    for metric in metrics:
        if not isinstance(metric, RankMetric):
            raise TypeError(
                f"`metrics` holds {metric!r}, which is not one of hrec_tf.metrics. Pass e.g. "
                "[Recall(20), MRR(20)]; Keras' own metrics know nothing of ranks."
            )


def update_rank_metrics(
    metrics: Sequence[RankMetric],
    score: Callable[[tf.Tensor], tf.Tensor],
    hidden: tf.Tensor,
    next_item_ids: tf.Tensor,
    weights: tf.Tensor,
) -> tf.Tensor:
    """Ranks the pairs of a window among all items; returns whether all scores were finite.

    Args:
        metrics: get the ranks.
        score: a model's `score`.
        hidden: (rows, columns, units).
        next_item_ids, weights: (rows, columns); pairs of weight 0 are left out.
    """
    rows = tf.where(weights > 0)
    logits = score(tf.gather_nd(hidden, rows))
    targets = tf.gather_nd(next_item_ids, rows)
    greater, equal, nonfinite = rank_counts(logits, targets)
    ranks = rank_from_counts(greater, equal, "conservative")
    for metric in metrics:
        metric.update_state(ranks, sample_weight=tf.gather_nd(weights, rows))
    return tf.reduce_all(nonfinite == 0)
