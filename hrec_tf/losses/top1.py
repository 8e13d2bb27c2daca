"""TOP1 and TOP1-max: rank the positive above negatives, and keep negatives near zero."""

from typing import Any

import keras
import tensorflow as tf

from hrec_tf.checks import require_choice
from hrec_tf.losses.final_activation import ActivatedLoss
from hrec_tf.losses.sampled_loss import num_negatives, over_negatives, softmax_over_negatives


def top1_terms(scores: tf.Tensor, positives: tf.Tensor) -> tf.Tensor:
    """`σ(r_ij - p_i) + σ(r_ij^2)`, (..., C), from activated scores."""
    return tf.sigmoid(scores - positives[..., tf.newaxis]) + tf.sigmoid(tf.square(scores))


@keras.saving.register_keras_serializable(package="hrec_tf")
class TOP1(ActivatedLoss):
    """TOP1, the loss of GRU4Rec 2015 and of HRNN.

        paper:      (1/N_S) Σ_{j≠i} [ σ(r_ij - p_i) + σ(r_ij^2) ]
        reference:  (1/M) Σ_j [ σ(r_ij - p_i) + σ(r_ij^2) ] - σ(p_i^2) / M_d

    The reference's sum includes j = i; M_d = M takes that term's second half back again and
    leaves the constant 0.5/M, so the two gradients differ by the factor (M-1)/M only. With
    M_d = B and extra columns it does not quite cancel, as in the authors' HRNN code.

    Source: Hidasi et al., ICLR 2016, arXiv:1511.06939; the reference form from the authors' code
    (GRU4Rec and hgru4rec).

    Args:
        form: "reference" or "paper".
        diagonal_divisor: M_d, for the reference form alone: "columns" (M, GRU4Rec) or
            "batch_size" (usable in-batch columns, hgru4rec). Equal without extra columns.
            None means "columns".
        activation: final activation, see `ActivatedLoss`.
        elu_alpha: see `ActivatedLoss`.
        normalise: see `reduce_rows`.

    Example:
        >>> logits = tf.constant([[0.0, 2.0, 0.0]])
        >>> loss = TOP1(form="paper", activation="linear").full_row_losses(logits, [2])
        >>> round(float(loss[0]), 4)  # 1 / (1 + e^2) + 0.5, the same for both negatives
        0.6192
    """

    def __init__(
        self,
        *,
        form: str = "reference",
        diagonal_divisor: str | None = None,
        activation: str = "tanh",
        elu_alpha: float | None = None,
        normalise: str = "batch_size",
    ):
        super().__init__(activation=activation, elu_alpha=elu_alpha, normalise=normalise)
        self.form = require_choice("form", form, ("reference", "paper"))
        if diagonal_divisor is not None:
            require_choice("diagonal_divisor", diagonal_divisor, ("columns", "batch_size"))
            if form == "paper":
                raise ValueError(
                    f"`diagonal_divisor` was {diagonal_divisor!r}, but form='paper' leaves the "
                    "diagonal out. Leave the argument out, or pass form='reference'."
                )
        self.diagonal_divisor = diagonal_divisor

    def _losses(
        self,
        scores: tf.Tensor,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        in_batch: tf.Tensor | None,
    ) -> tf.Tensor:
        scores, positives = self.activate(scores), self.activate(positives)
        compared = over_negatives(top1_terms(scores, positives), negatives)
        if self.form == "paper":
            return compared / num_negatives(negatives)

        num_columns = 1.0 + tf.reduce_sum(negatives, axis=-1)
        if self.diagonal_divisor != "batch_size":
            return (compared + 0.5) / num_columns
        if in_batch is None:
            raise ValueError(
                "`diagonal_divisor` was 'batch_size', but the full catalogue has no in-batch "
                "columns to count. Pass diagonal_divisor='columns' for full rows."
            )
        diagonal = tf.sigmoid(tf.square(positives))
        return (compared + 0.5 + diagonal) / num_columns - diagonal / in_batch

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {"form": self.form, "diagonal_divisor": self.diagonal_divisor}
        return super().get_config() | config


@keras.saving.register_keras_serializable(package="hrec_tf")
class TOP1Max(ActivatedLoss):
    """TOP1-max: TOP1's terms weighted by how highly each negative is scored.

        loss_i = Σ_{j≠i} s_ij [ σ(r_ij - p_i) + σ(r_ij^2) ],   s_ij = softmax over j≠i of r_ij

    The gradient flows through s.

    Source: Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847.

    Args:
        activation: final activation, see `ActivatedLoss`.
        elu_alpha: see `ActivatedLoss`.
        normalise: see `reduce_rows`.

    Example:
        >>> logits = tf.constant([[0.0, 2.0, 0.0]])
        >>> loss = TOP1Max().full_row_losses(logits, [2])
        >>> round(float(loss[0]), 4)  # 1 / (1 + e^2) + 0.5, with shares 0.5 and 0.5
        0.6192
    """

    def __init__(
        self,
        *,
        activation: str = "linear",
        elu_alpha: float | None = None,
        normalise: str = "batch_size",
    ):
        super().__init__(activation=activation, elu_alpha=elu_alpha, normalise=normalise)

    def _losses(
        self,
        scores: tf.Tensor,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        in_batch: tf.Tensor | None,
    ) -> tf.Tensor:
        scores, positives = self.activate(scores), self.activate(positives)
        shares = softmax_over_negatives(scores, negatives)
        return tf.reduce_sum(shares * top1_terms(scores, positives), axis=-1)
