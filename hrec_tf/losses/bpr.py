"""BPR and BPR-max: the log-probability that the positive outranks a negative."""

import math
from typing import Any

import keras
import tensorflow as tf

from hrec_tf.checks import require_choice, require_number
from hrec_tf.losses.final_activation import ActivatedLoss
from hrec_tf.losses.sampled_loss import (
    LOG_FLOOR,
    num_negatives,
    over_negatives,
    softmax_over_negatives,
)


@keras.saving.register_keras_serializable(package="hrec_tf")
class BPR(ActivatedLoss):
    """Bayesian personalised ranking over the row's negatives.

        paper:      -(1/N_S) Σ_{j≠i} log σ(p_i - r_ij)
        reference:  -(1/M) Σ_j log σ(p_i - r_ij)

    The reference's sum includes j = i, which adds the constant log(2)/M.

    Source: Hidasi et al., ICLR 2016, arXiv:1511.06939; the reference form from the authors' code.

    Args:
        form: "reference" or "paper".
        activation: final activation, see `ActivatedLoss`.
        elu_alpha: see `ActivatedLoss`.
        normalise: see `reduce_rows`.

    Example:
        >>> logits = tf.constant([[0.0, 2.0, 0.0]])
        >>> loss = BPR(form="paper", activation="linear").full_row_losses(logits, [2])
        >>> round(float(loss[0]), 4)  # log(1 + e^-2), the same for both negatives
        0.1269
    """

    def __init__(
        self,
        *,
        form: str = "reference",
        activation: str = "tanh",
        elu_alpha: float | None = None,
        normalise: str = "batch_size",
    ):
        super().__init__(activation=activation, elu_alpha=elu_alpha, normalise=normalise)
        self.form = require_choice("form", form, ("reference", "paper"))

    def _losses(
        self,
        scores: tf.Tensor,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        in_batch: tf.Tensor | None,
    ) -> tf.Tensor:
        scores, positives = self.activate(scores), self.activate(positives)
        # -log σ(x) = softplus(-x)
        terms = tf.nn.softplus(scores - positives[..., tf.newaxis])
        compared = over_negatives(terms, negatives)
        if self.form == "paper":
            return compared / num_negatives(negatives)
        return (compared + math.log(2.0)) / (1.0 + tf.reduce_sum(negatives, axis=-1))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"form": self.form}


@keras.saving.register_keras_serializable(package="hrec_tf")
class BPRMax(ActivatedLoss):
    """BPR-max: the positive against the softmax-weighted negatives, with a score penalty.

        loss_i = -log( Σ_{j≠i} s_ij σ(p_i - r_ij) + 1e-24 ) + λ Σ_{j≠i} s_ij r_ij^2
        s_ij   = softmax over j≠i of r_ij (the positive is not in it)

    The gradient flows through s.

    Source: Hidasi & Karatzoglou, CIKM 2018, arXiv:1706.03847.

    Args:
        penalty: λ, `bpreg` in GRU4Rec.
        activation: final activation, see `ActivatedLoss`.
        elu_alpha: see `ActivatedLoss`.
        normalise: see `reduce_rows`.

    Example:
        >>> logits = tf.constant([[1.0, 3.0, 1.0]])
        >>> loss = BPRMax(penalty=0.5).full_row_losses(logits, [2])
        >>> round(float(loss[0]), 4)  # log(1 + e^-2) + 0.5 * 1^2
        0.6269
    """

    def __init__(
        self,
        *,
        penalty: float = 1.0,
        activation: str = "linear",
        elu_alpha: float | None = None,
        normalise: str = "batch_size",
    ):
        super().__init__(activation=activation, elu_alpha=elu_alpha, normalise=normalise)
        self.penalty = require_number(
            "penalty", penalty, minimum=0.0, mend="Pass λ, e.g. 1.0, or 0.0 for no penalty."
        )

    def _losses(
        self,
        scores: tf.Tensor,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        in_batch: tf.Tensor | None,
    ) -> tf.Tensor:
        scores, positives = self.activate(scores), self.activate(positives)
        shares = softmax_over_negatives(scores, negatives)
        outranks = shares * tf.sigmoid(positives[..., tf.newaxis] - scores)
        won = -tf.math.log(tf.reduce_sum(outranks, axis=-1) + LOG_FLOOR)
        kept_small = tf.reduce_sum(shares * tf.square(scores), axis=-1)
        has_negatives = tf.reduce_sum(negatives, axis=-1) > 0
        return tf.where(has_negatives, won + self.penalty * kept_small, 0.0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"penalty": self.penalty}
