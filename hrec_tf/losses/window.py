"""The losses of a window's rows: which loss fits which negatives, and the columns of a step."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from hrec_tf.losses.negatives import InBatch
from hrec_tf.losses.per_target import PerTarget
from hrec_tf.losses.sampled_loss import SampledLoss


def require_loss(loss: Any, negatives: Any) -> None:
    """Raises if these are no loss and negatives of this package that can work together."""
    if not isinstance(loss, SampledLoss):
        raise TypeError(
            f"`loss` must be one of hrec_tf.losses, but was {loss!r}. Pass for example "
            "`TOP1()`; a Keras loss does not know about sampled columns."
        )
    if negatives is not None and not isinstance(negatives, InBatch | PerTarget):
        raise TypeError(
            f"`negatives` must be an InBatch, a PerTarget or None, but was {negatives!r}. Pass "
            "`InBatch(extra=2048, item_supports=vocabulary.supports)`, or None for all items."
        )
    if loss.logq and (negatives is None or negatives.item_supports is None):
        raise ValueError(
            f"`logq` of the loss was {loss.logq}, but there are no supports to correct by. "
            "Pass negatives=InBatch(..., item_supports=vocabulary.supports), or logq=0.0."
        )
    if not isinstance(negatives, InBatch):
        # A loss that needs columns in common says so here, and not from inside a trace.
        loss.full_row_losses(tf.zeros((1, 2)), tf.ones((1,), tf.int32))


def sampled_row_losses(
    score: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    hidden: tf.Tensor,
    next_item_ids: tf.Tensor,
    weights: tf.Tensor,
    number: tf.Tensor,
    *,
    loss: SampledLoss,
    negatives: InBatch | PerTarget,
) -> tf.Tensor:
    """Returns the losses (steps, lanes) of rows on sampled columns.

    These are the targets of their step and what was drawn for it; or a row's own target and what
    was drawn for that.

    Args:
        score: a model's `score`.
        hidden: (steps, lanes, units).
        next_item_ids, weights: (steps, lanes).
        number: of the window; decides which extra items are drawn.
        loss, negatives: what the model was compiled with.
    """
    if isinstance(negatives, PerTarget):
        drawn = negatives.sample(number, next_item_ids)
        own = tf.concat([next_item_ids[..., tf.newaxis], drawn], axis=-1)
        scores = score(hidden[..., tf.newaxis, :], own)[..., 0, :]
        return loss.full_row_losses(scores, tf.ones_like(next_item_ids))
    columns, extra = next_item_ids, None
    column_weights = tf.cast(weights > 0, tf.float32)
    if negatives.extra:
        steps = next_item_ids.shape[0]
        extra = negatives.sample(number, (steps, negatives.extra))
        columns = tf.concat([next_item_ids, extra], axis=-1)
        column_weights = tf.concat([column_weights, tf.ones(extra.shape)], axis=-1)
    logq = loss.logq * negatives.log_q(next_item_ids, extra) if loss.logq else None
    return loss.row_losses(
        score(hidden, columns),
        column_weights,
        logq=logq,
        collisions=negatives.collisions(next_item_ids, extra),
    )
