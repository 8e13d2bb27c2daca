"""Plays histories through a model, and asks something of each evaluation point as it comes by."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.evaluation.points import sessions_to_play
from hrec_tf.evaluation.windows import windows_of
from hrec_tf.schema import PADDED_LAYOUTS, SESSION_PARALLEL

SCORE_BYTES = 1 << 26
"""Scores held at once: a block has as many rows as fit, and never fewer than one."""

ROWS_AT_ONCE = 512
"""Rows of a block at the most: scores of more leave the processor's caches."""

WITHOUT_PAST = (SESSION_PARALLEL, *PADDED_LAYOUTS)
"""Layouts of models that start every session from nothing."""


def rows_that_fit(num_scores: int, num_items: int) -> int:
    """Returns how many rows of scores of all items are held at once."""
    return max(1, min(ROWS_AT_ONCE, num_scores // num_items))


def window_reader(model_ref: Callable[[], Any], *, jit_compile: bool = False) -> Callable:
    """Compiles the reading of a window.

    Args:
        model_ref: returns the model, and does not keep it alive.
        jit_compile: encode by XLA.

    Returns:
        (events, next_item_ids, is_point, states) -> float (points, units), what the model makes
        of each point's past; int32 (points,), their targets; and the states after the window.
    """

    # Padded windows differ in length; windows of lanes do not.
    @tf.function(autograph=False, jit_compile=jit_compile, reduce_retracing=True)
    def encode(events, states):
        return model_ref().encode(events, states, training=False)

    @tf.function(autograph=False, reduce_retracing=True)
    def read_window(events, next_item_ids, is_point, states):
        hidden, states = encode(events, states)
        hidden = tf.boolean_mask(hidden, is_point)
        return hidden, tf.boolean_mask(next_item_ids, is_point), states

    return read_window


def play(
    model,
    histories: Histories,
    points: np.ndarray,
    functions: tuple[Callable, Callable],
    *,
    block: int,
    bootstrap_sessions: int,
    num_lanes: int | None = None,
    steps: int = 32,
    asked: np.ndarray | None = None,
) -> np.ndarray:
    """Plays the sessions that lead to points, and returns what was answered of each point.

    States are carried from window to window; only rows of points are kept, and only their answers
    leave the device, once.

    Args:
        model: a `NextItemModel`: `layout`, `initial_states` and `encode`.
        histories: the histories.
        points: int64 (num_points,), from `evaluation_points`.
        functions: `window_reader`'s, and (hidden, item_ids, block) -> a row for each of theirs.
        block: rows of a call of the second function; only the last call has fewer.
        bootstrap_sessions: see `sessions_to_play`; without effect where a model has no past.
        num_lanes, steps: see `rank_model`.
        asked: int32 (num_points, width), given to the second function in place of the targets.

    Returns:
        (num_points, ...), in the order of the points.
    """
    read_window, answer = functions
    if model.layout in WITHOUT_PAST:
        bootstrap_sessions = 0
    played = sessions_to_play(histories, points, bootstrap_sessions=bootstrap_sessions)
    part, event_of = histories.select(played), np.flatnonzero(played)
    row_of = np.full(len(event_of), -1)
    row_of[np.searchsorted(event_of, points)] = np.arange(len(points))
    windows = windows_of(part, model=model, num_lanes=num_lanes, steps=steps, is_point=row_of >= 0)

    states: Any = None
    rows: list[np.ndarray] = []
    answers: list[tf.Tensor] = []
    waiting: list[tuple[tf.Tensor, tf.Tensor]] = []
    num_waiting = 0

    def answer_waiting(is_last: bool) -> None:
        # Few rows make slow products: they wait until a block is full, or the pass is over.
        nonlocal waiting, num_waiting
        hidden, item_ids = (tf.concat(parts, 0) for parts in zip(*waiting, strict=True))
        first = 0
        while num_waiting >= (1 if is_last else block):
            some = slice(first, first + block)
            answers.append(answer(hidden[some], item_ids[some], block))
            first, num_waiting = first + block, num_waiting - block
        waiting = [(hidden[first:], item_ids[first:])]

    for events, next_item_ids, event_in_part in windows:
        states = model.initial_states(len(event_in_part)) if states is None else states
        here = {name: tf.constant(values) for name, values in events.items()}
        is_point = event_in_part >= 0
        hidden, item_ids, states = read_window(
            here, tf.constant(next_item_ids), tf.constant(is_point), states
        )
        rows.append(row_of[event_in_part[is_point]])
        if asked is not None:
            item_ids = tf.constant(asked[rows[-1]])
        waiting.append((hidden, item_ids))
        num_waiting += len(rows[-1])
        if num_waiting >= block:
            answer_waiting(is_last=False)
    if num_waiting > 0:
        answer_waiting(is_last=True)

    # Windows come in an order of their own: `rows` says which point is which.
    place = np.concatenate(rows)
    order = np.argsort(place)
    if not np.array_equal(place[order], np.arange(len(points))):
        raise RuntimeError(
            f"{len(place)} points were played, but the histories hold {len(points)}. "
            "Every point must come by exactly once; please report this as a bug."
        )
    return tf.concat(answers, 0).numpy()[order]
