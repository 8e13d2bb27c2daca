"""Inspection of a log: its sizes, its habits, and the protocol that suits it."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from hrec_tf.data import sessions
from hrec_tf.data.event_log import EventLog, number_of_session
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP, USER

IDLE_MINUTES = (15, 30, 60, 360, 1440)
"""Idle gaps that an inspection tries."""

MANY_SESSIONS = 5
"""Sessions that make a user's history worth a user level (the HRNN filter)."""

ENOUGH_USERS = 0.2
"""Share of users with `MANY_SESSIONS` from which the HRNN protocol is proposed."""

_DAY = 86_400
_SAME_USER = pl.col(USER) == pl.col(USER).shift()


@dataclass(frozen=True)
class SessionSummary:
    """Sessions under one rule. `minutes` is None for those that the log gives."""

    minutes: float | None
    sessions: int
    mean_length: float
    median_length: float
    single_event_share: float
    users_with_many: int
    users_with_many_share: float
    returning_users_share: float


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found. Shares are in [0, 1]; times are Unix seconds or None.

    Args:
        num_events, num_users, num_items: sizes; `num_users` is None without users.
        first_time, last_time: the span of the log.
        whole_days: whether all times are midnights.
        given_sessions: the log's own sessions, if it has them.
        idle_sessions: sessions by each of `IDLE_MINUTES`, where there are users and times.
        tie_share: events at the same time as the user's event before, of all events.
        immediate_repeat_share: events on the same item as the user's event before.
        known_item_share: events on an item that the user had at any time before.
        repeat_in_session_share: events that repeat an item inside their session, given or
            by 30 minutes; None if there are no sessions to speak of.
        protocol: name of the proposed split in `hrec_tf.data.splits`.
        idle_minutes: the proposed idle rule; None for given sessions or none.
        reasons: why.
        notes: remarks of the reader, and warnings.
    """

    num_events: int
    num_users: int | None
    num_items: int
    first_time: int | None
    last_time: int | None
    whole_days: bool
    given_sessions: SessionSummary | None
    idle_sessions: tuple[SessionSummary, ...]
    tie_share: float | None
    immediate_repeat_share: float
    known_item_share: float
    repeat_in_session_share: float | None
    protocol: str
    idle_minutes: float | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def to_text(self) -> str:
        """Returns a report for people."""
        users = "no users" if self.num_users is None else f"{self.num_users:,} users"
        lines = [f"{self.num_events:,} events, {users}, {self.num_items:,} items"]
        if self.first_time is not None and self.last_time is not None:
            lines.append(f"from {_date(self.first_time)} to {_date(self.last_time)} UTC")
        lines += ["", *_session_table(self)]
        shares = {
            "at the same time as the user's event before": self.tie_share,
            "on the same item as the user's event before": self.immediate_repeat_share,
            "on an item that the user had before": self.known_item_share,
            "repeating an item inside the session": self.repeat_in_session_share,
        }
        lines += [f"{s:6.1%} of events {name}" for name, s in shares.items() if s is not None]
        rule = "" if self.idle_minutes is None else f", sessions by {_gap(self.idle_minutes)} idle"
        lines += ["", f"Proposed split: {self.protocol}{rule}"]
        lines += [f"- {reason}" for reason in self.reasons]
        if self.notes:
            lines += ["", "Notes", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines)


def inspect(log: EventLog) -> Inspection:
    """Counts what matters for preparing a log, and proposes a split.

    Args:
        log: a log as read; its own sessions, if any, are compared with idle rules.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1, 1, 2], "item": [7, 7, 7], "timestamp": [0, 60, 60]}
        ... )
        >>> inspect(log).immediate_repeat_share
        0.3333333333333333
    """
    given = _given(log)
    idle = {}
    if log.has_users and log.has_times:
        idle = {gap: sessions.by_idle_gap(log, minutes=gap) for gap in IDLE_MINUTES}
    given_summary = None if given is None else _summary(given, None)
    idle_summaries = tuple(_summary(cut, gap) for gap, cut in idle.items())
    ordered = given if given is not None and not log.has_users else sessions.one_per_user(log)
    habits = _habits(ordered)
    formed = given if given is not None else idle.get(30)
    times = log.frame[TIMESTAMP]
    whole_days = log.has_times and bool((times % _DAY == 0).all())
    protocol, minutes, reasons = _protocol(log, given_summary, idle_summaries, whole_days)
    return Inspection(
        num_events=log.num_events,
        num_users=log.num_users if log.has_users else None,
        num_items=log.num_items,
        first_time=_as_int(times.min()) if log.has_times else None,
        last_time=_as_int(times.max()) if log.has_times else None,
        whole_days=whole_days,
        given_sessions=given_summary,
        idle_sessions=idle_summaries,
        tie_share=habits["ties"] if log.has_times else None,
        immediate_repeat_share=habits["immediate"],
        known_item_share=habits["known"],
        repeat_in_session_share=None if formed is None else _repeats(formed),
        protocol=protocol,
        idle_minutes=minutes,
        reasons=tuple(reasons),
        notes=(*log.notes, *_warnings(habits, log, given_summary, idle_summaries)),
    )


def _given(log: EventLog) -> EventLog | None:
    if log.sessionised:
        return log
    return sessions.given(log) if SESSION in log.frame.columns else None


def _summary(log: EventLog, minutes: float | None) -> SessionSummary:
    lengths = log.frame.group_by(number_of_session().alias("number")).agg(
        pl.col(USER).first(), length=pl.len()
    )
    per_user = lengths.group_by(USER).agg(sessions=pl.len())["sessions"]
    many = int((per_user >= MANY_SESSIONS).sum())
    return SessionSummary(
        minutes=minutes,
        sessions=lengths.height,
        mean_length=log.num_events / lengths.height,
        median_length=_as_float(lengths["length"].median()),
        single_event_share=_as_float((lengths["length"] == 1).mean()),
        users_with_many=many,
        users_with_many_share=many / len(per_user),
        returning_users_share=_as_float((per_user >= 2).mean()),
    )


def _habits(ordered: EventLog) -> dict[str, float]:
    def again(column: str) -> pl.Expr:
        same = pl.col(column) == pl.col(column).shift()
        return (_SAME_USER & same).fill_null(False).mean()

    shares = ordered.frame.select(
        ties=again(TIMESTAMP),
        immediate=again(ITEM),
        known=1 - pl.struct(USER, ITEM).n_unique() / pl.len(),
    )
    return shares.row(0, named=True)


def _repeats(log: EventLog) -> float:
    distinct = log.frame.select(pl.struct(USER, SESSION, ITEM).n_unique()).item()
    return 1 - distinct / log.num_events


def _protocol(
    log: EventLog,
    given: SessionSummary | None,
    idle: tuple[SessionSummary, ...],
    whole_days: bool,
) -> tuple[str, float | None, list[str]]:
    if not log.has_users:
        reason = "The log names no users, so sessions are judged one by one"
        if log.has_times:
            return "temporal", None, [f"{reason}, later ones by a model of earlier ones."]
        return "by_users", None, [f"{reason}; without times they can only be dealt out at random."]
    if given is None and not log.has_times:
        return "leave_one_out", None, ["There are neither times nor sessions, only an order."]
    if given is None and whole_days:
        return "leave_one_out", None, ["Times are whole days, so an idle rule makes no sense."]
    chosen = given if given is not None else _fitting(idle)
    share = (
        f"{chosen.users_with_many_share:.1%} of users have {MANY_SESSIONS} or more "
        f"{'given sessions' if given else f'sessions by {_gap(chosen.minutes)} idle'}"
    )
    reasons = [] if given or chosen.minutes == 30 else [_longer_gap(chosen)]
    if chosen.users_with_many_share >= ENOUGH_USERS:
        return "last_session_out", chosen.minutes, [f"{share}: enough for a user level.", *reasons]
    few = f"{share}, fewer than {ENOUGH_USERS:.0%}: too few for a user level."
    if log.num_events / log.num_users < 3:
        return "by_users", chosen.minutes, [few, "Most users have fewer than 3 events."]
    return "leave_one_out", None, [few]


def _fitting(idle: tuple[SessionSummary, ...]) -> SessionSummary:
    """30 minutes, or the first longer gap that leaves half the sessions a next event."""
    longer = [summary for summary in idle if summary.minutes and summary.minutes >= 30]
    fitting = [summary for summary in longer if summary.median_length >= 2]
    return fitting[0] if fitting else longer[0]


def _longer_gap(chosen: SessionSummary) -> str:
    return (
        f"{_gap(chosen.minutes)} is the shortest idle time tried that leaves at least half of "
        "the sessions with a next event."
    )


def _warnings(
    habits: dict[str, float],
    log: EventLog,
    given: SessionSummary | None,
    idle: tuple[SessionSummary, ...],
) -> list[str]:
    warnings = []
    if log.has_times and habits["ties"] >= 0.2:
        warnings.append(
            f"{habits['ties']:.1%} of events share their time with the event before them: their "
            "order is that in which they were read, and may mean little."
        )
    by_half_hour = [summary for summary in idle if summary.minutes == 30]
    if given and by_half_hour and given.sessions > 1.25 * by_half_hour[0].sessions:
        warnings.append(
            f"The given sessions ({given.sessions:,}) are cut finer than by 30 minutes idle "
            f"({by_half_hour[0].sessions:,}): check how they were made."
        )
    return warnings


def _session_table(found: Inspection) -> list[str]:
    rows = [
        (
            "sessions",
            "number",
            "mean/median length",
            "of one event",
            "users who return",
            "users with >= 5",
        )
    ]
    for summary in (found.given_sessions, *found.idle_sessions):
        if summary is None:
            continue
        rows.append(
            (
                "given" if summary.minutes is None else f"{_gap(summary.minutes)} idle",
                f"{summary.sessions:,}",
                f"{summary.mean_length:.2f}/{summary.median_length:g}",
                f"{summary.single_event_share:.1%}",
                f"{summary.returning_users_share:.1%}",
                f"{summary.users_with_many:,} ({summary.users_with_many_share:.1%})",
            )
        )
    if len(rows) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return [*table, ""]


def _gap(minutes: float | None) -> str:
    if minutes is None:
        return "given"
    return f"{minutes / 60:g} h" if minutes > 60 else f"{minutes:g} min"


def _date(seconds: int) -> str:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds} s"
    return moment.strftime("%Y-%m-%d %H:%M")


def _as_int(value: Any) -> int:
    return int(value)


def _as_float(value: Any) -> float:
    return float(value)
