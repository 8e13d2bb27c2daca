"""Rank metrics: one formula each, for `fit` and for evaluation."""

from hrec_tf.metrics.rank_formulas import (
    mrr_at,
    ndcg_at,
    perplexity,
    precision_at,
    recall_at,
    reciprocal_rank,
)
from hrec_tf.metrics.rank_metrics import MRR, NDCG, Precision, Recall
from hrec_tf.metrics.ranks import TIES, counts_against, rank_counts, rank_from_counts

__all__ = [
    "MRR",
    "NDCG",
    "TIES",
    "Precision",
    "Recall",
    "counts_against",
    "mrr_at",
    "ndcg_at",
    "perplexity",
    "precision_at",
    "rank_counts",
    "rank_from_counts",
    "recall_at",
    "reciprocal_rank",
]
