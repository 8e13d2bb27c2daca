"""A user's history as an application knows it: raw item ids, with or without times."""

import numbers
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

LATEST_SECONDS = 10**11
"""Later times (the year 5138) are milliseconds by mistake."""


class UserHistory(NamedTuple):
    """Events in time order.

    Attributes:
        raw_ids: item ids as the log has them.
        timestamps: int64 (events,), Unix seconds; all 0 if none were given.
    """

    raw_ids: list[Any]
    timestamps: np.ndarray


def read_history(history: Iterable[Any], *, name: str = "history") -> UserHistory:
    """Reads `[(item, seconds), ...]`, or `[item, ...]`, which counts as one session.

    Args:
        history: oldest event first; may be empty: a user of whom nothing is known.
        name: what messages call it.

    Raises:
        TypeError: something else than a list of items, or a time that is no whole number.
        ValueError: times that go back, that only some events have, or in milliseconds.

    Example:
        >>> read_history([("tea", 60), ("jam", 90)]).raw_ids
        ['tea', 'jam']
        >>> read_history(["tea", "jam"]).timestamps.tolist()
        [0, 0]
    """
    # A mapping would lose its times, and a set has no order.
    if isinstance(history, str | bytes | Mapping | set | frozenset) or not isinstance(
        history, Iterable
    ):
        raise TypeError(
            f"`{name}` was {history!r}, but must be a list of (item, Unix seconds), or of items. "
            f'Pass for example {name}=[("tea", 1700000000)].'
        )
    if hasattr(history, "columns"):
        raise TypeError(
            f"`{name}` was a table with the columns {list(history.columns)}, but must be a list "
            "of (item, Unix seconds). Pass its rows, e.g. table.rows() of Polars."
        )
    events = list(history)
    timed = [isinstance(event, tuple | list) for event in events]
    if not any(timed):
        return UserHistory(events, np.zeros(len(events), np.int64))
    if not all(timed):
        row = timed.index(False)
        raise ValueError(
            f"`{name}` has an event without a time ({events[row]!r}, row {row}) among events that "
            "have one. Pass (item, Unix seconds) for all, or items alone."
        )
    for row, event in enumerate(events):
        if len(event) != 2:
            raise ValueError(
                f"`{name}` holds {event!r} (row {row}), but an event is (item, Unix seconds). "
                "Leave out other fields."
            )
        check_time(event[1], name, f"row {row}")
    timestamps = np.array([seconds for _, seconds in events], np.int64)
    falls = np.flatnonzero(np.diff(timestamps) < 0)
    if len(falls):
        row = int(falls[0]) + 1
        raise ValueError(
            f"Times of `{name}` go back at row {row} ({timestamps[row]} after "
            f"{timestamps[row - 1]}). Events must be in time order. Sort them by time first."
        )
    return UserHistory([item for item, _ in events], timestamps)


def last_session(timestamps: np.ndarray, idle_minutes: float | None) -> int:
    """Returns where the last session begins: after the last gap above the idle time.

    Args:
        timestamps: int (events,), seconds in time order.
        idle_minutes: idle time that ends a session; None if a whole history is one.

    Example:
        >>> last_session(np.array([0, 1800, 3601, 3700]), 30.0)
        2
    """
    numbers = session_numbers(timestamps, idle_minutes)
    return int(np.searchsorted(numbers, numbers[-1])) if len(numbers) else 0


def session_numbers(timestamps: np.ndarray, idle_minutes: float | None) -> np.ndarray:
    """Returns int64 (events,), the number of each event's session, from 0 on.

    Args:
        timestamps, idle_minutes: as for `last_session`.

    Example:
        >>> session_numbers(np.array([0, 1800, 3601, 3700]), 30.0).tolist()
        [0, 0, 1, 1]
    """
    if idle_minutes is None:
        return np.zeros(len(timestamps), np.int64)
    gaps = np.diff(timestamps, prepend=timestamps[:1])
    return np.cumsum(gaps > 60 * idle_minutes, dtype=np.int64)


def check_time(seconds: Any, name: str, where: str) -> None:
    """Raises unless a time is whole Unix seconds.

    Args:
        seconds: the time.
        name, where: what messages call it.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, numbers.Integral):
        raise TypeError(
            f"`{name}` has the time {seconds!r} ({where}), but times are whole Unix seconds. "
            "Pass for example int(moment.timestamp())."
        )
    if abs(int(seconds)) >= LATEST_SECONDS:
        raise ValueError(
            f"`{name}` has the time {seconds} ({where}), but times are Unix seconds below "
            f"{LATEST_SECONDS}. Divide milliseconds by 1000."
        )
