"""Filters: each a function from log to log that reports what it removed.

Every filter is applied once; supports and lengths are those of the log it is given, so the
order of filters matters and later ones may push counts below an earlier threshold.
"""

from collections.abc import Sequence

import polars as pl

from hrec_tf import checks
from hrec_tf.data.event_log import EventLog, number_of_session
from hrec_tf.data.filter_report import FilterReport, FilterStep
from hrec_tf.schema import EVENT_TYPE, ITEM, SESSION, TIMESTAMP, USER

__all__ = [
    "FilterReport",
    "FilterStep",
    "before",
    "drop_event_types",
    "drop_repeats",
    "first_users",
    "items_matching",
    "min_item_support",
    "min_session_length",
    "min_user_events",
    "user_sessions",
]


def drop_event_types(log: EventLog, types: Sequence[str]) -> EventLog:
    """Drops the events of these types, e.g. ["delete"].

    Raises:
        ValueError: the log has no event types, or none of one that is named.

    Example:
        >>> log = EventLog.from_frame({
        ...     "user": [1, 1], "item": [7, 8], "timestamp": [0, 60],
        ...     "kind": ["view", "delete"]}, event_type="kind")
        >>> drop_event_types(log, ["delete"]).frame["item"].to_list()
        [7]
    """
    present = _event_types(log, "drop_event_types")
    for name in types:
        if name not in present:
            raise ValueError(
                f"`types` holds {name!r}, but the events of this log are of the types "
                f"{', '.join(map(repr, present))}. {checks.did_you_mean(name, present)}"
            )
    kept = log.frame.filter(~pl.col(EVENT_TYPE).is_in(list(types)))
    return log.after(f"drop_event_types({', '.join(types)})", kept)


def drop_repeats(
    log: EventLog, *, within: str = "session", by_type: bool | None = None
) -> EventLog:
    """Keeps the first of the events that name the same item in a session (or user).

    Args:
        log: a sessionised log; "first" goes by the order of its rows.
        within: "session" or "user".
        by_type: whether an item may stay once for each event type; by default if the log
            has event types.

    Raises:
        ValueError: no sessions, or `by_type` without event types.

    Example:
        >>> from hrec_tf.data import sessions
        >>> log = EventLog.from_frame({"user": [1] * 3, "item": [7, 8, 7], "timestamp": range(3)})
        >>> drop_repeats(sessions.one_per_user(log)).frame["item"].to_list()
        [7, 8]
    """
    checks.require_choice("within", within, ("session", "user"))
    log.require_sessions("drop_repeats")
    if by_type:
        _event_types(log, "drop_repeats(by_type=True)")
    if by_type is None:
        by_type = EVENT_TYPE in log.frame.columns
    key = [USER, *([SESSION] if within == "session" else []), ITEM]
    key += [EVENT_TYPE] if by_type else []
    kept = log.frame.unique(key, keep="first", maintain_order=True)
    return log.after(f"drop_repeats({within}{', by type' if by_type else ''})", kept)


def min_item_support(log: EventLog, support: int) -> EventLog:
    """Keeps items with at least `support` events.

    Example:
        >>> log = EventLog.from_frame({"user": [1] * 3, "item": [7, 8, 7], "timestamp": range(3)})
        >>> min_item_support(log, 2).frame["item"].to_list()
        [7, 7]
    """
    support = checks.require_positive_int("support", support, mend="Pass e.g. 10.")
    kept = log.frame.filter(pl.len().over(ITEM) >= support)
    return log.after(f"min_item_support({support})", kept)


def min_session_length(log: EventLog, length: int) -> EventLog:
    """Keeps sessions of at least `length` events.

    Example:
        >>> from hrec_tf.data import sessions
        >>> log = EventLog.from_frame(
        ...     {"user": [1] * 3, "item": [7, 8, 9], "timestamp": [0, 60, 7200]}
        ... )
        >>> min_session_length(sessions.by_idle_gap(log, minutes=30), 2).frame["item"].to_list()
        [7, 8]
    """
    length = checks.require_positive_int("length", length, mend="Pass e.g. 2.")
    log.require_sessions("min_session_length")
    kept = log.frame.filter(pl.len().over(number_of_session()) >= length)
    return log.after(f"min_session_length({length})", kept)


def min_user_events(log: EventLog, events: int) -> EventLog:
    """Keeps users with at least `events` events.

    Example:
        >>> log = EventLog.from_frame({"user": [1, 1, 2], "item": [7, 8, 9], "timestamp": range(3)})
        >>> min_user_events(log, 2).frame["item"].to_list()
        [7, 8]
    """
    events = checks.require_positive_int("events", events, mend="Pass e.g. 5.")
    kept = log.frame.filter(pl.len().over(USER) >= events)
    return log.after(f"min_user_events({events})", kept)


def user_sessions(log: EventLog, min: int, max: int | None = None) -> EventLog:
    """Keeps users with at least `min` and at most `max` sessions, both included.

    Example:
        >>> from hrec_tf.data import sessions
        >>> log = EventLog.from_frame(
        ...     {"user": [1, 1, 2], "item": [7, 8, 9], "timestamp": [0, 7200, 0]}
        ... )
        >>> user_sessions(sessions.by_idle_gap(log, minutes=30), min=2).frame["item"].to_list()
        [7, 8]
    """
    checks.require_positive_int("min", min, mend="Pass e.g. 5.")
    if max is not None:
        checks.require_int_at_least("max", max, minimum=min, mend="Pass None for no upper bound.")
    log.require_sessions("user_sessions")
    sessions = pl.col(SESSION).n_unique().over(USER)
    kept = log.frame.filter((sessions >= min) & (sessions <= max if max else True))
    return log.after(f"user_sessions({min}..{max or ''})", kept)


def items_matching(log: EventLog, pattern: str) -> EventLog:
    """Keeps items whose id, written as text, matches a regular expression.

    Args:
        log: any log.
        pattern: in the syntax of the Rust crate regex; `^` anchors it at the start.

    Raises:
        ValueError: `pattern` is not a regular expression, or no item matches.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1] * 3, "item": ["22086", "POST", "85123A"], "timestamp": range(3)}
        ... )
        >>> items_matching(log, "^[0-9]{5}").frame["item"].to_list()
        ['22086', '85123A']
    """
    try:
        kept = log.frame.filter(pl.col(ITEM).cast(pl.String).str.contains(pattern))
    except pl.exceptions.ComputeError as error:
        lines = str(error).splitlines()
        reason = next((line for line in lines if line.startswith("error: ")), lines[0])
        raise ValueError(
            f"`pattern` was {pattern!r}, which is not a regular expression: "
            f"{reason.removeprefix('error: ')}. Pass for example '^[0-9]{{5}}'."
        ) from error
    return log.after(f"items_matching({pattern!r})", kept)


def before(log: EventLog, timestamp: int) -> EventLog:
    """Keeps the events before a time in Unix seconds, the time itself excluded.

    Raises:
        ValueError: the log has no times, or nothing lies before it.

    Example:
        >>> log = EventLog.from_frame({"user": [1, 1], "item": [7, 8], "timestamp": [0, 60]})
        >>> before(log, 60).frame["item"].to_list()
        [7]
    """
    if not log.has_times:
        raise ValueError(
            "`log` has no times, only an order, so nothing is before a time. Use a log with "
            "times, or leave this filter out."
        )
    timestamp = checks.require_int_at_least(
        "timestamp", timestamp, minimum=-(2**62), mend="Pass Unix seconds."
    )
    kept = log.frame.filter(pl.col(TIMESTAMP) < timestamp)
    return log.after(f"before({timestamp})", kept)


def first_users(log: EventLog, count: int) -> EventLog:
    """Keeps the `count` users with the smallest ids (numbers as numbers, text as text).

    Example:
        >>> log = EventLog.from_frame({"user": [5, 3, 9], "item": [7, 8, 9], "timestamp": range(3)})
        >>> first_users(log, 2).frame["user"].to_list()
        [5, 3]
    """
    count = checks.require_positive_int("count", count, mend="Pass e.g. 10000.")
    kept = log.frame.filter(pl.col(USER).rank("dense") <= count)
    return log.after(f"first_users({count})", kept)


def _event_types(log: EventLog, needed_by: str) -> list[str]:
    if EVENT_TYPE not in log.frame.columns:
        raise ValueError(
            f"`{needed_by}` needs event types, but this log has the columns {log.frame.columns}. "
            "Name the column on reading (event_type=...)."
        )
    return log.frame[EVENT_TYPE].unique().sort().to_list()
