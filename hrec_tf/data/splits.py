"""Splits of a log into training and test, each reporting what it left out of the test.

Validation is the same split applied to the training part, unless a split says otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from hrec_tf import checks
from hrec_tf.data import filters, sessions
from hrec_tf.data.event_log import EventLog, number_of_session
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP, USER


@dataclass(frozen=True)
class Split:
    """Parts of one log.

    Args:
        train: what a model may see.
        test: what it is measured on; holds only items of `train`.
        validation: a third part, where the split makes one.
        continues: True if the test events continue the last session of training
            (leave-one-out), False if they are sessions of their own.

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

    @property
    def train_and_validation(self) -> EventLog:
        """What is known when the test begins: training, then validation events."""
        return self.train if self.validation is None else joined(self.train, self.validation)

    def to_text(self) -> str:
        """Returns the size of each part in one line each."""
        lines = []
        for name in ("train", "validation", "test"):
            log = getattr(self, name)
            if log is not None:
                counts = log.counts
                lines.append(
                    f"{name}: {counts.events:,} events, {counts.sessions:,} sessions, "
                    f"{counts.users:,} users, {counts.items:,} items"
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


def temporal(log: EventLog, *, at: int) -> Split:
    """Puts the sessions that start at or after a time in the test.

    Test items that training lacks are dropped, then test sessions left with fewer than 2
    events. Sessions that began before `at` stay in training whole.

    Args:
        log: a sessionised log with times.
        at: Unix seconds.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1, 1, 2, 2], "item": [7, 8, 8, 7], "timestamp": [0, 60, 7200, 7260]}
        ... )
        >>> temporal(sessions.by_idle_gap(log), at=3600).test.frame["item"].to_list()
        [8, 7]
    """
    at = checks.require_int_at_least("at", at, minimum=-(2**62), mend="Pass Unix seconds.")
    log.require_sessions("temporal")
    if not log.has_times:
        raise ValueError(
            "`log` has no times, only an order, so it cannot be split at a time. Use "
            "last_session_out or by_users."
        )
    starts = pl.col(TIMESTAMP).min().over(number_of_session())
    marked = log.frame.select(test=starts >= at)["test"]
    return _cleaned(log, marked, f"temporal(at={at})")


def latest_sessions(log: EventLog, share: float = 0.1) -> Split:
    """Puts a share of the sessions, those that start last, in the test.

    Test items that training lacks are dropped, then test sessions left with fewer than 2
    events. Of sessions that start at once all go the same way.

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
    share = checks.require_number("share", share, minimum=0, mend="Pass a share, e.g. 0.1.")
    if not 0 < share < 1:
        raise ValueError(
            f"`share` was {share}, but must lie between 0 and 1, so that both parts have "
            "sessions. Pass e.g. 0.1."
        )
    log.require_sessions("latest_sessions")
    starts = log.frame.group_by(number_of_session()).agg(pl.col(TIMESTAMP).min())[TIMESTAMP].sort()
    kept = int(np.floor(len(starts) * (1 - share)))
    return temporal(log, at=int(starts[kept]))


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
    rest = [
        _known_to(train, log.after(f"{name}: held out", log.frame.filter(parts == number)))
        for number in range(1, len(fractions))
    ]
    return Split(train, rest[-1], validation=rest[0] if len(rest) == 2 else None)


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
    held_out = [
        _items_of(train, log.after(f"leave_one_out: {name}", log.frame.filter(place == number)))
        for number, name in enumerate(("test", "validation"))
    ]
    return Split(train, test=held_out[0], validation=held_out[1], continues=True)


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
    return Split(train, _known_to(train, test))


def _known_to(train: EventLog, held_out: EventLog) -> EventLog:
    held_out.require_sessions("test")
    return filters.min_session_length(_items_of(train, held_out), 2)


def _items_of(train: EventLog, held_out: EventLog) -> EventLog:
    require_same_ids(train, held_out, (ITEM,))
    known = pl.col(ITEM).is_in(train.frame[ITEM].unique().implode())
    return held_out.after("items of training", held_out.frame.filter(known))
