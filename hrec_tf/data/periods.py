"""Periods of a log: when its test begins, and which events and sessions lie where."""

import numpy as np
import polars as pl

from hrec_tf import checks
from hrec_tf.data.event_log import EventLog, number_of_session
from hrec_tf.schema import TIMESTAMP, USER


def checked_period(
    *, at: int | None = None, days: float | None = None, share: float | None = None
) -> tuple[str, float]:
    """Returns the one way in which `temporal` is told when the test begins, and its value.

    Raises:
        ValueError: none of the three, several, or a value that cannot be.
    """
    given = {"at": at, "days": days, "share": share}
    held = {name: value for name, value in given.items() if value is not None}
    if len(held) != 1:
        shown = ", ".join(f"{name}={value}" for name, value in held.items()) or "none of them"
        raise ValueError(
            f"`at`, `days` and `share` were given as {shown}, but `temporal` needs one of them, to "
            "know when the test begins. Pass e.g. days=1 (--days 1), the last day."
        )
    if at is not None:
        mend = "Pass Unix seconds."
        return "at", checks.require_int_at_least("at", at, minimum=-(2**62), mend=mend)
    if share is not None:
        return "share", checked_share(share)
    mend = "Pass how many days the test lasts, e.g. 1."
    days = checks.require_number("days", days, minimum=0, mend=mend)
    if days == 0:
        raise ValueError(f"`days` was {days:g}, but a test of no length has no sessions. {mend}")
    return "days", days


def require_times(log: EventLog) -> None:
    """Raises ValueError if a log knows an order only."""
    if not log.has_times:
        raise ValueError(
            "`log` has no times, only an order, so it cannot be split at a time. Use "
            "last_session_out or by_users."
        )


def checked_share(share: float) -> float:
    """Returns a share of sessions, or raises ValueError if it leaves one side empty."""
    share = checks.require_number("share", share, minimum=0, mend="Pass a share, e.g. 0.1.")
    if not 0 < share < 1:
        raise ValueError(
            f"`share` was {share}, but must lie between 0 and 1, so that both parts have "
            "sessions. Pass e.g. 0.1."
        )
    return share


def start_of_latest(log: EventLog, share: float) -> int:
    """Time from which a share of the sessions, rounded up, start; more if several start then."""
    starts = log.frame.group_by(number_of_session()).agg(pl.col(TIMESTAMP).min())[TIMESTAMP].sort()
    return int(starts[int(np.floor(len(starts) * (1 - share)))])


def starts_from(log: EventLog, begin: int) -> pl.Series:
    """Bool (num_events,), whether the event's session starts at that time or later."""
    starts = pl.col(TIMESTAMP).min().over(number_of_session())
    return log.frame.select(test=starts >= begin)["test"]


def before_later_sessions(frame: pl.DataFrame) -> pl.Series:
    """Bool (num_events,), whether none of the user's later sessions has begun before the event."""
    numbered = frame.select(USER, TIMESTAMP, number=number_of_session())
    starts = numbered.group_by("number", maintain_order=True).agg(
        pl.col(USER).first(), start=pl.col(TIMESTAMP).min()
    )
    later = pl.col("start").cum_min(reverse=True).shift(-1).over(USER)
    bounds = starts.select(bound=later)["bound"].gather(numbered["number"])
    return (frame[TIMESTAMP] <= bounds).fill_null(True)
