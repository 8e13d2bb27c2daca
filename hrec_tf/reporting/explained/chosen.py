"""The histories of a test set that are explained: its sessions with something to predict."""

from typing import Any

import numpy as np

from hrec_tf import checks
from hrec_tf.data.histories import Histories
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models.explanation import ExplainedHistory

MAX_EVENTS = 500
"""Of a longer session the latest are explained: attention takes the square of their number."""
LONGEST = "longest"


def sessions_to_read(model: Any, test: Histories) -> np.ndarray:
    """Returns the numbers of the sessions of a test set that hold a target, in their order.

    Of a model that reads its users' whole histories the last of each user, which is read with
    all before it.
    """
    is_target = (test.target_weights > 0) & ~test.session_starts
    sessions = np.unique(test.session_of_event()[is_target])
    if not model.explains_with_flags:
        return sessions
    users = _users(test, sessions)
    return sessions[np.append(users[1:] != users[:-1], True)[: len(sessions)]]


def _users(test: Histories, sessions: np.ndarray) -> np.ndarray:
    return test.user_of_event()[test.session_offsets[sessions]]


def lengths(model: Any, test: Histories, sessions: np.ndarray) -> np.ndarray:
    """Returns int64 (sessions,), the events of each that are explained."""
    begins, ends = _read(model, test, sessions)
    return ends - begins


def _read(model: Any, test: Histories, sessions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where what a model reads of sessions begins and ends.

    A model that reads its users' whole histories reads that of a session's user up to the
    session's end.
    """
    begins, ends = test.session_offsets[sessions], test.session_offsets[sessions + 1]
    if model.explains_with_flags:
        return test.user_offsets[_users(test, sessions)], ends
    return np.maximum(begins, ends - MAX_EVENTS), ends


def chosen(num_histories: int, num_wanted: int) -> np.ndarray:
    """Returns which histories are averaged: so many drawn at random, always the same ones.

    Args:
        num_histories: how many there are.
        num_wanted: how many are to be averaged; all if there are fewer.
    """
    checks.require_positive_int("users", num_wanted, mend="Pass how many to average, e.g. 100.")
    if num_wanted >= num_histories:
        return np.arange(num_histories)
    return np.sort(np.random.default_rng(0).choice(num_histories, num_wanted, replace=False))


def number_to_show(show: str, lengths: np.ndarray, averaged: np.ndarray) -> int:
    """Returns the number of the history that is drawn.

    Args:
        show: "longest", of the averaged ones, or a number.
        lengths: int (histories,), events of each.
        averaged: numbers of those that are averaged.

    Raises:
        ValueError: neither, or no such number.
    """
    if show == LONGEST:
        return int(averaged[np.argmax(lengths[averaged])])
    if not show.isascii() or not show.isdigit() or int(show) >= len(lengths):
        raise ValueError(
            f"`show` was {show!r}, but must be {LONGEST} or the number of a test history, "
            f"0..{len(lengths) - 1}. Pass for example --show 0."
        )
    return int(show)


def explain_session(
    model: Any, vocabulary: Vocabulary, test: Histories, session: int
) -> ExplainedHistory:
    """Lets a model explain one session of a test set, as a prefix model would read it."""
    (begin,), (end,) = _read(model, test, np.array([session]))
    events = slice(begin, end)
    item_ids = test.item_ids[events]
    return ExplainedHistory.of(
        model,
        item_ids,
        raw_ids=vocabulary.decode(item_ids).tolist(),
        timestamps=test.timestamps[events],
        session_start=test.session_starts[events],
    )
