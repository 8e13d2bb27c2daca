"""Splits of a log into training and test, each reporting what it left out of the test.

Validation is the same split applied to the training part, unless a split says otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from hrec_tf import checks
from hrec_tf.data import filters, sessions
from hrec_tf.data.event_log import EventLog, number_of_session, starts_of_sessions
from hrec_tf.data.periods import (
    before_later_sessions,
    checked_period,
    checked_share,
    require_times,
    start_of_latest,
    starts_from,
)
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP, USER

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Split:
    """Parts of one log.

    Args:
        train: what a model may see.
        test: what it is measured on; holds only items of `train`.
        validation: a third part, where the split makes one.
        continues: True if the test events continue the last session of training
            (leave-one-out), False if they are sessions of their own.
        again: parts training once more in the same way, for validation; None where each user's
            last session does.
        uncleaned_test: the test before events of items that training lacks were dropped, for
            models that know such items by their features; None if it is not at hand.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1] * 4, "item": [7, 8, 8, 7], "timestamp": range(4)}
        ... )
        >>> print(leave_one_out(log).to_text())
        train: 2 events, 1 sessions, 1 users, 2 items
        validation: 1 events, 1 sessions, 1 users, 1 items
        test: 1 events, 1 sessions, 1 users, 1 items
    """

    train: EventLog
    test: EventLog
    validation: EventLog | None = None
    continues: bool = False
    again: "Callable[[EventLog], Split] | None" = None
    uncleaned_test: EventLog | None = None

    @property
    def train_and_validation(self) -> EventLog:
        """What is known when the test begins: training, then validation events."""
        return self.train if self.validation is None else joined(self.train, self.validation)

    @property
    def num_new_users(self) -> int:
        """Test users that training lacks: their history begins in the test. 0 without users."""
        if not self.test.has_users:
            return 0
        return len(set(self.test.frame[USER].unique()) - set(self.train.frame[USER].unique()))

    @property
    def unseen_target_share(self) -> float | None:
        """Share of the targets of `uncleaned_test` whose item training lacks; they are dropped.

        A target is an event that follows another in its session; with `continues`, any.
        """
        if self.uncleaned_test is None:
            return None
        is_target = pl.lit(True) if self.continues else ~starts_of_sessions()
        targets = self.uncleaned_test.frame.filter(is_target)
        return 1 - targets.filter(_is_known_to(self.train)).height / max(targets.height, 1)

    def to_text(self) -> str:
        """Returns the size of each part in one line each."""
        lines = []
        for name in ("train", "validation", "test"):
            log = getattr(self, name)
            if log is not None:
                counts = log.counts
                new = self.num_new_users if name == "test" else 0
                lines.append(
                    f"{name}: {counts.events:,} events, {counts.sessions:,} sessions, "
                    f"{counts.users:,} users{f' ({new:,} new)' if new else ''}, "
                    f"{counts.items:,} items"
                )
        return "\n".join(lines)


def last_session_out(log: EventLog) -> Split:
    """Puts each user's last session in the test.

    Test events of items that training lacks are dropped, then test sessions left with fewer
    than 2 events. Users with a single session stay in training whole.
    Source: Quadrana et al. 2017, section 4.1, and the clean-up of the authors' code.

    Raises:
        ValueError: no sessions, or nothing is left to test on.

    Example:
        >>> log = EventLog.from_frame({
        ...     "user": [1] * 6, "item": [1, 2, 3, 3, 9, 1], "timestamp": range(6),
        ...     "session": [1, 1, 1, 2, 2, 2]}, session="session")
        >>> last_session_out(sessions.given(log)).test.frame["item"].to_list()
        [3, 1]
    """
    log.require_sessions("last_session_out")
    # Numbered first: inside `over`, the number would be counted anew for each user.
    numbered = log.frame.select(USER, number=number_of_session())
    first, last = pl.col("number").min().over(USER), pl.col("number").max().over(USER)
    marked = numbered.select(test=(pl.col("number") == last) & (first < last))["test"]
    return _cleaned(log, marked, "last_session_out")


def temporal(
    log: EventLog, *, at: int | None = None, days: float | None = None, share: float | None = None
) -> Split:
    """Puts the last period in the test: all that comes before it may be known, nothing later.

    A session belongs to where it starts. Of a session that began before the test, events from
    its beginning on are left out of training; where sessions of a user overlap in the test, an
    event after the start of a later one is left out, so that no history holds the future. Then
    test items that training lacks are dropped, and test sessions left with fewer than 2 events.
    Users that training lacks stay in the test (`Split.num_new_users`). Sessions that start at
    once go the same way. Validation is the last period of training: as many days, the same
    share, or for `at` a period as long as the test.

    Source: Hidasi et al. 2016, section 4.1, whose test is the last day; their code goes by where
    a session ends.

    Args:
        log: a sessionised log with times.
        at: Unix seconds at which the test begins.
        days: in place of that, how long before the last event it begins.
        share: in place of that, the share of sessions in the test, above 0 and below 1.

    Raises:
        ValueError: not one of the three, a log without times, or nothing is left on one side.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1, 1, 2, 2], "item": [7, 8, 8, 7], "timestamp": [0, 60, 7200, 7260]}
        ... )
        >>> temporal(sessions.by_idle_gap(log), at=3600).test.frame["item"].to_list()
        [8, 7]
    """
    name, value = checked_period(at=at, days=days, share=share)
    log.require_sessions("temporal")
    require_times(log)
    last = int(log.frame[TIMESTAMP].to_numpy().max())
    if name == "at":
        begin = int(value)
        again = partial(temporal, at=2 * begin - last - 1)
    elif name == "days":
        begin, again = last - round(value * SECONDS_PER_DAY), partial(temporal, days=value)
    else:
        begin, again = start_of_latest(log, value), partial(temporal, share=value)
    label = f"temporal({name}={value})" if name == "at" else f"temporal({name}={value:g})"
    is_test = starts_from(log, begin)
    train = log.after(f"{label}: training", log.frame.filter(~is_test))
    train = train.after("events before the test", train.frame.filter(pl.col(TIMESTAMP) < begin))
    test = log.after(f"{label}: test", log.frame.filter(is_test))
    past = test.frame.filter(before_later_sessions(test.frame))
    test = test.after("events before the user's later sessions", past)
    return Split(train, _known_to(train, test), again=again, uncleaned_test=test)


def latest_sessions(log: EventLog, share: float = 0.1) -> Split:
    """Puts a share of the sessions, those that start last, in the test; the others stay whole.

    Test items that training lacks are dropped, then test sessions left with fewer than 2
    events. Of sessions that start at once all go the same way. This is the validation of logs
    without users; `temporal` cuts earlier sessions off where the test begins.

    Args:
        log: a sessionised log with times.
        share: of the sessions, above 0 and below 1.

    Raises:
        ValueError: a share that is none, a log without times, or nothing is left on one side.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1, 1, 2, 2], "item": [7, 8, 8, 7], "timestamp": [0, 60, 7200, 7260]}
        ... )
        >>> latest_sessions(sessions.by_idle_gap(log), share=0.5).test.frame["item"].to_list()
        [8, 7]
    """
    share = checked_share(share)
    log.require_sessions("latest_sessions")
    require_times(log)
    begin = start_of_latest(log, share)
    return _cleaned(log, starts_from(log, begin), f"latest_sessions(from {begin})")


def by_users(log: EventLog, fractions: Sequence[float], *, seed: int = 0) -> Split:
    """Splits the users at random, so that test users are new to the model.

    Args:
        log: a sessionised log.
        fractions: shares of users, (train, test) or (train, validation, test), that add
            up to 1.
        seed: of the order in which users are dealt out.

    Raises:
        ValueError: fractions that do not fit, or too few users for one in each part.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1, 1, 2, 2, 3, 3, 4, 4], "item": [7] * 8, "timestamp": range(8)}
        ... )
        >>> split = by_users(sessions.one_per_user(log), (0.75, 0.25))
        >>> split.train.num_users, split.test.num_users
        (3, 1)
    """
    log.require_sessions("by_users")
    checks.require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. seed=0.")
    fits = len(fractions) in (2, 3) and min(fractions) > 0 and abs(sum(fractions) - 1) < 1e-9
    if not fits:
        raise ValueError(
            f"`fractions` was {tuple(fractions)}, but must be two or three positive shares that "
            "add up to 1. Pass e.g. (0.8, 0.2) or (0.7, 0.1, 0.2)."
        )
    users = log.frame[USER].unique().sort()
    edges = np.round(np.cumsum(fractions) * len(users)).astype(int)
    if min(np.diff(edges, prepend=0)) < 1:
        raise ValueError(
            f"`fractions` {tuple(fractions)} of {len(users)} users leave a part without any. "
            "Pass a log of more users or more even shares."
        )
    place = np.random.default_rng(seed).permutation(len(users))
    part = pl.DataFrame({USER: users, "part": np.searchsorted(edges, place, side="right")})
    parts = log.frame.join(part, on=USER, how="left", maintain_order="left")["part"]
    name = f"by_users(seed={seed})"
    train = log.after(f"{name}: training", log.frame.filter(parts == 0))
    held_out = [
        log.after(f"{name}: held out", log.frame.filter(parts == number))
        for number in range(1, len(fractions))
    ]
    rest = [_known_to(train, part) for part in held_out]
    validation = rest[0] if len(rest) == 2 else None
    return Split(train, rest[-1], validation=validation, uncleaned_test=held_out[-1])


def leave_one_out(log: EventLog) -> Split:
    """Puts each user's last event in the test and the one before it in the validation.

    A user's whole history is one session here, also if the log had sessions. Users with
    fewer than 3 events stay in training whole; held-out events of items that training lacks
    are dropped. Source: models of plain sequences, e.g. Kang and McAuley 2018, section IV.

    Note: a user's test event may lie before training events of other users, so the model
    knows a little of the future; `temporal` avoids that.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1] * 4, "item": [7, 8, 8, 7], "timestamp": range(4)}
        ... )
        >>> split = leave_one_out(log)
        >>> [part.frame["item"].to_list() for part in (split.train, split.validation, split.test)]
        [[7, 8], [8], [7]]
    """
    log = sessions.one_per_user(log)
    from_end = pl.len().over(USER) - 1 - pl.int_range(pl.len()).over(USER)
    enough = pl.len().over(USER) >= 3
    place = log.frame.select(place=pl.when(enough).then(from_end.clip(0, 2)).otherwise(2))["place"]
    train = log.after("leave_one_out: training", log.frame.filter(place == 2))
    test, validation = (
        log.after(f"leave_one_out: {name}", log.frame.filter(place == number))
        for number, name in enumerate(("test", "validation"))
    )
    return Split(
        train,
        _items_of(train, test),
        validation=_items_of(train, validation),
        continues=True,
        uncleaned_test=test,
    )


def given(train: EventLog, test: EventLog, validation: EventLog | None = None) -> Split:
    """Takes parts that came as separate files, each sessionised by itself.

    Held-out events of items that training lacks are dropped, then held-out sessions left
    with fewer than 2 events.

    Raises:
        ValueError: no sessions, or nothing is left to test on.
        TypeError: the parts hold ids of different types.

    Example:
        >>> train = EventLog.from_frame({"user": [1] * 2, "item": [7, 8], "timestamp": range(2)})
        >>> test = EventLog.from_frame({"user": [2] * 3, "item": [8, 9, 7], "timestamp": range(3)})
        >>> split = given(sessions.one_per_user(train), sessions.one_per_user(test))
        >>> split.test.frame["item"].to_list()
        [8, 7]
    """
    train.require_sessions("given")
    return Split(
        train,
        _known_to(train, test),
        validation=None if validation is None else _known_to(train, validation),
        uncleaned_test=test,
    )


def joined(earlier: EventLog, later: EventLog) -> EventLog:
    """Puts two parts of one log together again; events of `later` come last in a session.

    Raises:
        TypeError: the parts hold ids of different types.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1] * 4, "item": [7, 8, 8, 7], "timestamp": range(4)}
        ... )
        >>> split = leave_one_out(log)
        >>> joined(split.train, split.validation).frame["item"].to_list()
        [7, 8, 8]
    """
    earlier.require_sessions("joined")
    later.require_sessions("joined")
    require_same_ids(earlier, later, (USER, ITEM, SESSION))
    part = pl.concat([earlier.frame, later.frame], how="diagonal").with_row_index("row")
    first = part.group_by(USER, SESSION).agg(
        first=pl.col("row").min(), start=pl.col(TIMESTAMP).min()
    )
    ordered = part.join(first, on=[USER, SESSION], how="left").sort(USER, "start", "first", "row")
    return earlier.after("joined", ordered.select(earlier.frame.columns))


def require_same_ids(train: EventLog, test: EventLog, columns: Sequence[str]) -> None:
    """Raises TypeError if two logs hold ids of different types in one of these columns."""
    for column in columns:
        ours, theirs = train.frame.schema[column], test.frame.schema[column]
        if ours != theirs:
            raise TypeError(
                f"`test` holds {column} ids of type {theirs}, but `train` holds {ours}. Read both "
                f"with the same type, e.g. text_ids=({column!r},) (--text-ids {column})."
            )


def _cleaned(log: EventLog, is_test: pl.Series, name: str) -> Split:
    train = log.after(f"{name}: training", log.frame.filter(~is_test))
    test = log.after(f"{name}: test", log.frame.filter(is_test))
    return Split(train, _known_to(train, test), uncleaned_test=test)


def _known_to(train: EventLog, held_out: EventLog) -> EventLog:
    held_out.require_sessions("test")
    return filters.min_session_length(_items_of(train, held_out), 2)


def _items_of(train: EventLog, held_out: EventLog) -> EventLog:
    require_same_ids(train, held_out, (ITEM,))
    known = held_out.frame.filter(_is_known_to(train))
    return held_out.after("items of training", known)


def _is_known_to(train: EventLog) -> pl.Expr:
    return pl.col(ITEM).is_in(train.frame[ITEM].unique().implode())
