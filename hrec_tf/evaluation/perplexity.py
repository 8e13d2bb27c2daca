"""Perplexity: how many items are, on average, as likely as the one that came."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hrec_tf.baselines import Baseline
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.windows import windows_of
from hrec_tf.schema import ACROSS_SESSIONS

MAX_SCORES = 1 << 24
"""Scores held at once."""


class Perplexity(NamedTuple):
    """What `perplexity` found.

    Attributes:
        value: exp of the mean of -log p(target).
        log_losses: float64 (num_points,), -log p of each target, in the events' order.
        targets: int64 (num_points,), event indices, rising.
    """

    value: float
    log_losses: np.ndarray
    targets: np.ndarray


def perplexity(
    model: Any,
    histories: Histories,
    *,
    targets: np.ndarray | None = None,
    num_lanes: int | None = None,
    steps: int = 32,
) -> Perplexity:
    """Returns the perplexity of the items that came, from session to session.

        exp( mean over targets of -log softmax(scores)[target] )

    Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", section 4;
    docs/equations.md D.

    Args:
        model: a `NextItemModel` that predicts from session to session, or a `Baseline` whose
            scores are logarithms of probabilities (`scores_are_logits`).
        histories: target weights above 0 say which events are targets.
        targets: bool (num_events,), a mask to choose some of these; all if None. A user's first
            event is a target where the model predicts it, and left out else.
        num_lanes, steps: see `rank_model`; they change speed only.

    Raises:
        ValueError: a model or baseline that gives no probabilities, or no target.
    """
    chosen = histories.target_weights > 0
    if targets is not None:
        if np.shape(targets) != chosen.shape:
            raise ValueError(
                f"`targets` has shape {np.shape(targets)}, but there are {histories.num_events} "
                "events. Pass one bool for each."
            )
        chosen = chosen & targets
    # A baseline has a score for every event.
    if not isinstance(model, Baseline) and not _first_events(model):
        chosen = chosen & ~histories.user_starts
    if not chosen.any():
        raise ValueError(
            f"`histories` holds {histories.num_events} events, but none of them is a target. "
            "Check the target weights and the mask."
        )
    points = np.flatnonzero(chosen)
    losses = np.empty(len(points))
    block = max(MAX_SCORES // histories.num_items, 1)
    if isinstance(model, Baseline):
        _require_logits(model)
        for first in range(0, len(points), block):
            rows = slice(first, first + block)
            scores = model.score(histories, points[rows])
            losses[rows] = _log_losses(scores, histories.item_ids[points[rows]])
        return _found(losses, points)
    windows = windows_of(histories, model=model, num_lanes=num_lanes, steps=steps, is_point=chosen)
    read, lose = _compiled(model)
    states: Any = None
    for events, next_item_ids, point_of in windows:
        states = model.initial_states(len(point_of)) if states is None else states
        here = {name: tf.constant(values) for name, values in events.items()}
        is_point = point_of >= 0
        hidden, states = read(here, tf.constant(is_point), states)
        places = np.searchsorted(points, point_of[is_point])
        columns = next_item_ids[is_point] - 1
        for first in range(0, len(places), block):
            some = slice(first, first + block)
            losses[places[some]] = lose(hidden[some], tf.constant(columns[some]))
    return _found(losses, points)


def _found(losses: np.ndarray, points: np.ndarray) -> Perplexity:
    stray = np.flatnonzero(~np.isfinite(losses))
    if len(stray):
        raise ValueError(
            f"-log p of the target in event {points[stray[0]]} is {losses[stray[0]]}, but must be "
            "finite. Look for a loss that diverged: lower the learning rate."
        )
    return Perplexity(float(np.exp(losses.mean())), losses, points)


def _log_losses(scores: np.ndarray, item_ids: np.ndarray) -> np.ndarray:
    top = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
    return total - scores[np.arange(len(scores)), item_ids - 1]


def _compiled(model: Any) -> tuple[Any, Any]:
    """Returns functions that read a window, and that take -log p of rows of it."""

    @tf.function(autograph=False, reduce_retracing=True)
    def read(events, is_point, states):
        hidden, states = model.encode(events, states)
        return tf.boolean_mask(hidden, is_point), states

    @tf.function(autograph=False, reduce_retracing=True)
    def lose(hidden, columns):
        scores = tf.cast(model.score(hidden), tf.float64)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(columns, scores)

    return read, lose


def _first_events(model: Any) -> bool:
    """Whether a model predicts a user's first event; refuses models of single sessions."""
    if model.layout not in ACROSS_SESSIONS:
        raise ValueError(
            f"`model` has layout {model.layout!r}, which makes no prediction for a session's "
            "first event, but perplexity is taken from session to session. Rank it by `evaluate`."
        )
    return bool(getattr(model, "first_events", False))


def _require_logits(baseline: Baseline) -> None:
    if not baseline.scores_are_logits:
        raise ValueError(
            f"`model` is a {type(baseline).__name__}, whose scores are no logarithms of "
            "probabilities, so they have no perplexity. Pass PopularityLikelihood or PopularityFM."
        )
