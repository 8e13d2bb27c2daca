"""Loss and rank metrics of a stream from `encode` and `score` alone, point by point in NumPy."""

import numpy as np
import tensorflow as tf


def play(model, stream):
    """Yields (row losses' inputs) of every step: logits (lanes, num_items), targets, weights."""
    states, encode = None, tf.function(model.encode)
    for events, next_item_ids, weights in stream:
        if states is None:
            states = model.initial_states(len(next_item_ids))
        hidden, states = encode(events, states)
        logits = np.asarray(model.score(hidden), np.float64)
        for step in range(logits.shape[1]):
            yield logits[:, step], next_item_ids.numpy()[:, step], weights.numpy()[:, step]


def mean_loss(model, stream, loss):
    """Mean of an in-batch loss over all pairs, each with its weight."""
    total = weight_sum = 0.0
    for logits, targets, weights in play(model, stream):
        columns = logits[:, np.maximum(targets - 1, 0)]
        losses = loss.row_losses(tf.constant(columns), tf.constant(weights)).numpy()
        total += sum(loss * weight for loss, weight in zip(losses, weights, strict=True) if weight)
        weight_sum += weights.sum()
    return total / weight_sum


def conservative_metrics(model, stream, k):
    """Recall@k and MRR@k; of equal scores, the next item comes last."""
    hits = reciprocals = weight_sum = 0.0
    for logits, targets, weights in play(model, stream):
        for scores, target, weight in zip(logits, targets, weights, strict=True):
            if weight:
                rank = sum(score >= scores[target - 1] for score in scores)
                hits += weight * (rank <= k)
                reciprocals += weight * (rank <= k) / rank
                weight_sum += weight
    return hits / weight_sum, reciprocals / weight_sum
