"""Which events are ranked, and how much of the past is played before them."""

import numpy as np

from hrec_tf import checks
from hrec_tf.data.histories import Histories

ALL_SESSIONS = -1


def evaluation_points(histories: Histories, *, session_starts: bool = False) -> np.ndarray:
    """Returns the events that are ranked as targets, in their own order, each once.

    An event is a point if its target weight is above 0 and something precedes it: in its
    session, or with `session_starts` in any session of its user. All points count alike.

    Args:
        histories: evaluation histories; sessions that only bootstrap carry weight 0.
        session_starts: also rank the first event of a session.

    Returns:
        int64 (num_points,), event indices.

    Raises:
        ValueError: no such event.
    """
    first = histories.user_starts if session_starts else histories.session_starts
    points = np.flatnonzero((histories.target_weights > 0) & ~first)
    if not len(points):
        raise ValueError(
            f"`histories` holds {histories.num_events} events in {histories.num_sessions} "
            "sessions, but none with a target weight above 0 and an event before it. Check the "
            "split, and that test sessions have at least two events."
        )
    return points


def sessions_to_play(
    histories: Histories, points: np.ndarray, *, bootstrap_sessions: int = ALL_SESSIONS
) -> np.ndarray:
    """Marks the events a recurrent model must see so that it can rank the points.

    Args:
        histories: evaluation histories.
        points: int64 (num_points,), events to rank.
        bootstrap_sessions: sessions played before each session that holds a point; -1 for
            all of the user's. Sessions after the last point are never played.

    Returns:
        Bool (num_events,), true on whole sessions.
    """
    checks.require_int_at_least(
        "bootstrap_sessions",
        bootstrap_sessions,
        minimum=ALL_SESSIONS,
        mend="Pass how many earlier sessions are played, or -1 for all.",
    )
    sessions = np.arange(histories.num_sessions)
    users = np.searchsorted(histories.user_offsets, histories.session_offsets[:-1], side="right")
    none = histories.num_sessions
    next_with_point = np.full(none + 1, none)
    with_point = np.unique(session_of(histories, points))
    next_with_point[with_point] = with_point
    next_with_point = np.minimum.accumulate(next_with_point[::-1])[::-1][:-1]
    exists = next_with_point < none
    wanted = exists & (users == users[np.where(exists, next_with_point, 0)])
    if bootstrap_sessions != ALL_SESSIONS:
        wanted &= next_with_point - sessions <= bootstrap_sessions
    return np.repeat(wanted, np.diff(histories.session_offsets))


def session_of(histories: Histories, events: np.ndarray) -> np.ndarray:
    """Int64 (num_events,), the session of each of these events."""
    return np.searchsorted(histories.session_offsets, events, side="right") - 1


def user_of(histories: Histories, events: np.ndarray) -> np.ndarray:
    """Int64 (num_events,), the user of each of these events."""
    return np.searchsorted(histories.user_offsets, events, side="right") - 1
