"""Sessions: cut by idle time, taken as given, or one for each user."""

import polars as pl

from hrec_tf import checks
from hrec_tf.data.event_log import EventLog
from hrec_tf.schema import SESSION, TIMESTAMP, USER

_START = "__session_start"


def by_idle_gap(log: EventLog, *, minutes: float = 30) -> EventLog:
    """Starts a session where the user changes or was idle for more than `minutes`.

    Source: Quadrana et al. 2017, section 4.1; the comparison is strict, as in the authors'
    code, so a gap of exactly `minutes` stays inside the session. Gaps are between whole
    seconds. A session column that the log already has is replaced.

    Args:
        log: events in any order; equal times of a user keep the order of the rows.
        minutes: the longest idle time inside a session.

    Returns:
        A log ordered by user and time with sessions numbered 0, 1, 2, ...

    Raises:
        ValueError: the log has no users, or no times.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1, 1, 1], "item": [7, 8, 9], "timestamp": [0, 1800, 3601]}
        ... )
        >>> by_idle_gap(log).frame["session"].to_list()
        [0, 0, 1]
    """
    checks.require_number("minutes", minutes, minimum=0, mend="Pass an idle time, e.g. 30.")
    if not log.has_times:
        raise ValueError(
            "`log` has no times, only an order, but an idle gap needs times. Use "
            "sessions.given(log) or sessions.one_per_user(log)."
        )
    if not log.has_users:
        raise ValueError(
            "`log` has no users, so the idle time of one cannot be told. Use sessions.given(log)."
        )
    frame = log.frame.sort(USER, TIMESTAMP, maintain_order=True)
    changed = pl.col(USER) != pl.col(USER).shift()
    idle = pl.col(TIMESTAMP) - pl.col(TIMESTAMP).shift() > minutes * 60
    starts = (changed | idle).fill_null(True)
    frame = frame.with_columns((starts.cast(pl.Int64).cum_sum() - 1).alias(SESSION))
    return log.after(f"by_idle_gap({minutes:g} min)", _in_order(frame), sessionised=True)


def given(log: EventLog) -> EventLog:
    """Takes the sessions of the log's own column, keyed by user and session id.

    Rows of a session need not stand together. A user's sessions are ordered by their first
    time, then by id (whole numbers as numbers, text as text); rows of a session by time,
    equal times in the order of the rows.

    Raises:
        ValueError: the log has no session column.

    Example:
        >>> log = EventLog.from_frame({
        ...     "user": [1, 1, 1], "item": [7, 8, 9], "timestamp": [0, 60, 30],
        ...     "session": ["b", "a", "b"]}, session="session")
        >>> given(log).frame["item"].to_list()  # session b starts first
        [7, 9, 8]
    """
    if SESSION not in log.frame.columns:
        raise ValueError(
            f"`log` has the columns {log.frame.columns}, but no sessions of its own. Name the "
            "column on reading (session=...), or use sessions.by_idle_gap(log)."
        )
    start = pl.col(TIMESTAMP).min().over(USER, SESSION).alias(_START)
    frame = log.frame.with_columns(start)
    frame = frame.sort(USER, _START, SESSION, TIMESTAMP, maintain_order=True).drop(_START)
    return log.after("given sessions", _in_order(frame), sessionised=True)


def one_per_user(log: EventLog) -> EventLog:
    """Makes one session of each user's whole history, for models of plain sequences.

    A log whose sessions are already in order keeps the order of its rows; else rows are
    ordered by user and time, equal times in the order of the rows.

    Example:
        >>> log = EventLog.from_frame({"user": [2, 1, 2], "item": [7, 8, 9], "timestamp": range(3)})
        >>> one_per_user(log).frame["session"].to_list()
        [0, 1, 1]
    """
    frame = log.frame
    if not log.sessionised:
        frame = frame.sort(USER, TIMESTAMP, maintain_order=True)
    number = (pl.col(USER) != pl.col(USER).shift()).fill_null(True).cast(pl.Int64).cum_sum() - 1
    frame = frame.with_columns(number.alias(SESSION))
    return log.after("one session per user", _in_order(frame), sessionised=True)


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with `session` in its place right after the three columns of every log."""
    names = frame.columns
    names.remove(SESSION)
    names.insert(3, SESSION)
    return frame.select(names)
