"""Binary cross-entropy of the positive and of its negatives."""

import keras
import tensorflow as tf

from hrec_tf.losses.sampled_loss import SampledLoss, num_negatives, over_negatives


@keras.saving.register_keras_serializable(package="hrec_tf")
class BinaryCrossEntropy(SampledLoss):
    """Binary cross-entropy, the loss of SASRec: each score says whether its item comes next.

        loss_i = -log σ(p_i) - (1/N_S) Σ_{j≠i} log(1 - σ(r_ij))

    Source: Kang & McAuley, ICDM 2018, arXiv:1808.09781, equation 7.
    The paper draws one negative for each position, uniformly from the items that the user has no
    event with: `PerTarget(1)`. Differs from it: of several negatives ours takes the mean, which
    weighs them as much as the paper's one: over the whole catalogue, what its draw gives in the
    mean; in a batch, the other rows' targets and the extra items, which all rows share. The user's
    own items are not left out. The authors' code adds 1e-24 inside each logarithm.

    Args:
        normalise: see `reduce_rows`; SASRec's is "valid".

    Example:
        >>> logits = tf.math.log([[3.0, 1.0, 1.0]])
        >>> loss = BinaryCrossEntropy().full_row_losses(logits, [1])
        >>> round(float(loss[0]), 4)  # log 4/3 + log 2
        0.9808
    """

    def _losses(
        self,
        scores: tf.Tensor,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        in_batch: tf.Tensor | None,
    ) -> tf.Tensor:
        # -log σ(x) = softplus(-x) and -log(1 - σ(x)) = softplus(x).
        refused = over_negatives(tf.nn.softplus(scores), negatives) / num_negatives(negatives)
        has_negatives = tf.reduce_sum(negatives, axis=-1) > 0
        return tf.where(has_negatives, tf.nn.softplus(-positives) + refused, 0.0)
