"""Softmax cross-entropy over sampled or all items."""

import math
from typing import Any

import keras
import tensorflow as tf

from hrec_tf.checks import require_number
from hrec_tf.losses.sampled_loss import EXCLUDED_LOGIT, LOG_FLOOR, SampledLoss
from hrec_tf.precision import at_least_float32


@keras.saving.register_keras_serializable(package="hrec_tf")
class CrossEntropy(SampledLoss):
    """Softmax cross-entropy, the positive against the usable columns.

        loss_i = -log( softmax_j(r_ij - q log P_j)[i] + 1e-24 )

    With label smoothing ε, and the softmax's p_j over all C columns of the row:

        loss_i <- (1 - ε) loss_i - (ε / C) Σ_j log p_j

    `P_j` is how often sampling offers column j (`InBatch.log_q`); q = 0 is the plain softmax.
    The correction belongs to training: recommend and evaluate with the uncorrected scores.

    Source: Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847, and the official GRU4Rec code for
    logQ. The linear final activation is theirs too; the softmax happens here and only here.
    Label smoothing: Szegedy et al., CVPR 2016, arXiv:1512.00567, section 7.

    Args:
        logq: q, the exponent of the correction; 0 switches it off.
        label_smoothing: ε, the share of a target that is spread over all columns; below 1.
        normalise: see `reduce_rows`.

    Example:
        >>> four_alike = tf.zeros((1, 4))
        >>> loss = CrossEntropy().full_row_losses(four_alike, [2])
        >>> round(float(loss[0]), 4)  # log 4
        1.3863
    """

    def __init__(
        self, *, logq: float = 0.0, label_smoothing: float = 0.0, normalise: str = "batch_size"
    ):
        super().__init__(normalise=normalise)
        mend = "Pass 0.0 for none, or e.g. 0.1."
        self.label_smoothing = require_number(
            "label_smoothing", label_smoothing, minimum=0.0, mend=mend
        )
        if label_smoothing >= 1:
            raise ValueError(
                f"`label_smoothing` was {label_smoothing}, but must be below 1, or nothing would "
                f"be left for the target. {mend}"
            )
        self.logq = require_number(
            "logq", logq, minimum=0.0, mend="Pass 0.0 for no correction or 1.0 for all of it."
        )

    def full_row_losses(self, logits: tf.Tensor, next_item_ids: tf.Tensor) -> tf.Tensor:
        self._check_not_sampled()
        scores = at_least_float32(logits)
        columns = tf.maximum(tf.cast(next_item_ids, tf.int32) - 1, 0)
        # One pass over the scores and one for their gradient, where masks would take ten.
        log_p = -tf.nn.sparse_softmax_cross_entropy_with_logits(columns, scores)
        if not self.label_smoothing:
            return _negative_log(log_p)
        own = tf.gather(scores, columns[..., tf.newaxis], axis=-1, batch_dims=len(columns.shape))
        return self._smoothed(log_p, own[..., 0], tf.reduce_mean(scores, axis=-1))

    def _losses(
        self,
        scores: tf.Tensor,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        in_batch: tf.Tensor | None,
    ) -> tf.Tensor:
        masked = tf.where(negatives > 0, scores, EXCLUDED_LOGIT)
        log_p = -tf.nn.softplus(tf.reduce_logsumexp(masked, axis=-1) - positives)
        if not self.label_smoothing:
            return _negative_log(log_p)
        columns = tf.reduce_sum(negatives, axis=-1) + 1.0
        mean = (tf.reduce_sum(scores * negatives, axis=-1) + positives) / columns
        return self._smoothed(log_p, positives, mean)

    def _smoothed(self, log_p: tf.Tensor, positives: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
        """The loss with ε; `mean` is that of the columns' scores."""
        # log p_j = r_j - p_i + log_p, whose mean over the columns is that of r_j so shifted.
        mean_log_p = mean - positives + log_p
        share = self.label_smoothing
        return (1.0 - share) * _negative_log(log_p) - share * mean_log_p

    def _check_logq(self, logq: tf.Tensor | None) -> None:
        if self.logq and logq is None:
            raise ValueError(
                f"`logq` is {self.logq}, but no log-probabilities of the columns were passed. "
                "Pass logq=loss.logq * negatives.log_q(...), or set logq=0.0 on the loss."
            )
        if not self.logq and logq is not None:
            raise ValueError(
                "`logq` is 0.0 on the loss, but a correction was passed to `row_losses`, which "
                "would be ignored. Leave it out, or build CrossEntropy(logq=1.0)."
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "logq": self.logq,
            "label_smoothing": self.label_smoothing,
        }


def _negative_log(log_p: tf.Tensor) -> tf.Tensor:
    """-log(p + floor) from log p, without leaving the log: p alone would underflow."""
    return -(log_p + tf.nn.softplus(math.log(LOG_FLOOR) - log_p))
