"""Rank metrics as Keras metrics: what `fit` logs on the validation stream."""

from typing import Any

import keras
import tensorflow as tf

from hrec_tf.checks import require_positive_int
from hrec_tf.metrics import rank_formulas


class RankMetric(keras.metrics.Metric):
    """The weighted mean over evaluation points of a formula of the rank, named e.g. "recall@20".

    Sums are float64: in float32 the count of points would stop growing at 16.8 million.

    Args:
        k: length of the recommended list.
        name: defaults to the metric's label, "@" and k.
        **kwargs: `dtype` of `keras.metrics.Metric`.
    """

    label: str
    #: From `rank_formulas`: (ranks, k) -> one value per point.
    formula: Any
    #: Its counterpart for k=None, from ranks alone; a metric without one needs a k.
    unlimited: Any = None

    def __init__(self, k: int | None = 20, name: str | None = None, **kwargs: Any):
        if k is not None or self.unlimited is None:
            k = require_positive_int("k", k, mend=rank_formulas.MEND_K)
        super().__init__(name=name or (self.label if k is None else f"{self.label}@{k}"), **kwargs)
        self.k = k
        self.total = self.add_variable((), initializer="zeros", dtype="float64", name="total")
        self.count = self.add_variable((), initializer="zeros", dtype="float64", name="count")

    def update_state(self, ranks: Any, sample_weight: Any = None) -> None:
        """Adds evaluation points.

        Args:
            ranks: (num_points,) 1-based ranks, from `rank_from_counts`.
            sample_weight: (num_points,) weights, 0 to ignore a point; None for 1 each.
        """
        ranks = tf.convert_to_tensor(ranks)
        if self.k is None:
            values = self.unlimited(ranks)
        else:
            values = self.formula(ranks, self.k)
        values = tf.cast(values, tf.float64)
        weights = tf.ones_like(values) if sample_weight is None else sample_weight
        weights = tf.cast(weights, tf.float64)
        self.total.assign_add(tf.reduce_sum(tf.where(weights > 0, values, 0.0) * weights))
        self.count.assign_add(tf.reduce_sum(weights))

    def result(self) -> tf.Tensor:
        """The mean so far, float32; 0 before any point."""
        return tf.cast(tf.math.divide_no_nan(self.total.value, self.count.value), tf.float32)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"k": self.k}


@keras.saving.register_keras_serializable(package="hrec_tf")
class Recall(RankMetric):
    """Share of points whose next item is among the first k; see `recall_at`.

    Example:
        >>> recall = Recall(k=2)
        >>> recall.update_state([1, 2, 3, 4])
        >>> float(recall.result())
        0.5
    """

    label = "recall"
    formula = staticmethod(rank_formulas.recall_at)


@keras.saving.register_keras_serializable(package="hrec_tf")
class Precision(RankMetric):
    """Recall@k / k, there being one relevant item; see `precision_at`.

    Example:
        >>> precision = Precision(k=2)
        >>> precision.update_state([1, 2, 3, 4])
        >>> float(precision.result())
        0.25
    """

    label = "precision"
    formula = staticmethod(rank_formulas.precision_at)


@keras.saving.register_keras_serializable(package="hrec_tf")
class MRR(RankMetric):
    """Mean reciprocal rank, 0 beyond k; see `mrr_at`. With k=None nothing is beyond it.

    Example:
        >>> mrr = MRR(k=2)
        >>> mrr.update_state([1, 2, 3, 4])
        >>> float(mrr.result())  # (1 + 1/2 + 0 + 0) / 4
        0.375
    """

    label = "mrr"
    formula = staticmethod(rank_formulas.mrr_at)
    unlimited = staticmethod(rank_formulas.reciprocal_rank)


@keras.saving.register_keras_serializable(package="hrec_tf")
class NDCG(RankMetric):
    """Normalised discounted cumulative gain of one relevant item; see `ndcg_at`.

    Example:
        >>> ndcg = NDCG(k=5)
        >>> ndcg.update_state([1, 3])
        >>> float(ndcg.result())  # (1 + 1/log2(4)) / 2
        0.75
    """

    label = "ndcg"
    formula = staticmethod(rank_formulas.ndcg_at)
