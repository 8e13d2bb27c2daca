"""Preparation of logs for models: the HRNN protocol's filters, and histories."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from hrec_tf.data import filters, sessions
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.histories import Histories, offsets_of
from hrec_tf.data.log_features import LogFeatures
from hrec_tf.data.splits import require_same_ids
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.schema import ITEM, PADDING_ID, SESSION, TIMESTAMP, USER

_IS_TEST = "__is_test"


def hrnn_preparation(
    log: EventLog,
    *,
    idle_minutes: float | None,
    min_item_support: int = 10,
    min_session_length: int = 3,
    min_user_sessions: int = 5,
    max_user_sessions: int | None = None,
    drop_event_types: Sequence[str] = (),
    drop_repeats: bool = True,
) -> EventLog:
    """Prepares a log as the HRNN experiments do, each step once and in their order.

    Event types are dropped, sessions formed, repeats of an item inside a session dropped
    (the first of each event type stays), then rare items, short sessions and users with few
    sessions. Supports are counted before the last two, so they may end below the threshold.
    Source: Quadrana et al. 2017, section 4.1, and the authors' preprocessing code. Defaults
    are those of the paper's VIDEO set; its XING set has support 20 and 199 sessions at most.

    Args:
        log: events as read.
        idle_minutes: idle time that ends a session (the paper's is 30), or None for the
            sessions that the log itself gives.
        min_item_support: fewest events of an item.
        min_session_length: fewest events of a session.
        min_user_sessions: fewest sessions of a user.
        max_user_sessions: most sessions of a user; None for any number.
        drop_event_types: types of events to leave out, e.g. ["delete"].
        drop_repeats: whether to drop repeats inside a session.

    Returns:
        A sessionised log whose `report` lists the steps.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1] * 4, "item": [7, 8, 7, 9], "timestamp": [0, 60, 90, 7200]}
        ... )
        >>> minima = {"min_item_support": 1, "min_session_length": 2, "min_user_sessions": 1}
        >>> hrnn_preparation(log, idle_minutes=30, **minima).frame["item"].to_list()
        [7, 8]
    """
    if drop_event_types:
        log = filters.drop_event_types(log, drop_event_types)
    if idle_minutes is None:
        log = sessions.given(log)
    else:
        log = sessions.by_idle_gap(log, minutes=idle_minutes)
    if drop_repeats:
        log = filters.drop_repeats(log, within="session")
    log = filters.min_item_support(log, min_item_support)
    log = filters.min_session_length(log, min_session_length)
    return filters.user_sessions(log, min_user_sessions, max_user_sessions)


def histories_from_log(
    log: EventLog,
    vocabulary: Vocabulary,
    *,
    features: LogFeatures | None = None,
    users: pl.Series | None = None,
) -> Histories:
    """Turns a sessionised log into flat arrays; users are in the order of their ids.

    Events of items outside the vocabulary are dropped first, so a session or user that
    holds nothing else vanishes.

    Args:
        log: a sessionised log.
        vocabulary: of the training log.
        features: of the log: feedback and user features go with the histories.
        users: ids of the users of training, each once: the histories then tell users apart.

    Raises:
        ValueError: no sessions, or no event of a known item.
        TypeError: item ids of another type than the vocabulary's.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"user": [1, 1, 2], "item": ["tea", "jam", "tea"], "timestamp": [0, 60, 0]}
        ... )
        >>> histories = histories_from_log(sessions.by_idle_gap(log), Vocabulary.from_log(log))
        >>> histories.item_ids.tolist(), histories.user_offsets.tolist()
        ([1, 2, 1], [0, 2, 3])
    """
    log.require_sessions("histories_from_log")
    return _histories(log.frame, vocabulary, features, users)


def bootstrapped_histories(
    train: EventLog,
    test: EventLog,
    vocabulary: Vocabulary,
    *,
    continues: bool = False,
    features: LogFeatures | None = None,
    users: pl.Series | None = None,
) -> Histories:
    """Puts what is known of each test user before what is to be predicted.

    Per user the sessions of training come first, then those of the test. Events of training
    and the first event of each test session have target weight 0, the other test events 1.
    Users without a test session are left out.

    Args:
        train: a sessionised log: what bootstraps the states.
        test: a sessionised log of the same kind of ids.
        vocabulary: of the training log.
        continues: True if the test events belong to the last session of training, as
            `leave_one_out` leaves them: then they are all targets.
        features, users: as for `histories_from_log`.

    Raises:
        ValueError: no sessions, or without `continues` a session that is in both logs.
        TypeError: ids of different types.

    Example:
        >>> from hrec_tf.data import splits
        >>> log = EventLog.from_frame(
        ...     {"user": [1] * 4, "item": [7, 8, 8, 7], "timestamp": [0, 60, 7200, 7260]}
        ... )
        >>> split = splits.last_session_out(sessions.by_idle_gap(log))
        >>> vocabulary = Vocabulary.from_log(split.train)
        >>> bootstrapped_histories(split.train, split.test, vocabulary).target_weights.tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    train.require_sessions("bootstrapped_histories")
    test.require_sessions("bootstrapped_histories")
    require_same_ids(train, test, (USER, ITEM, SESSION))
    if not continues:
        _refuse_common_sessions(train, test)
    columns = [USER, ITEM, TIMESTAMP, SESSION, *(features.feedback if features else ())]
    known = pl.col(USER).is_in(test.frame[USER].unique().implode())
    frame = pl.concat(
        [
            train.frame.select(columns).filter(known).with_columns(pl.lit(False).alias(_IS_TEST)),
            test.frame.select(columns).with_columns(pl.lit(True).alias(_IS_TEST)),
        ]
    ).sort(USER, maintain_order=True)
    return _histories(frame, vocabulary, features, users)


def _refuse_common_sessions(train: EventLog, test: EventLog) -> None:
    common = train.frame.join(test.frame, on=[USER, SESSION], how="semi").head(1)
    if not common.is_empty():
        user, session = common[USER][0], common[SESSION][0]
        raise ValueError(
            f"Session {session!r} of user {user!r} is in `train` and in `test`, but a session "
            "belongs to one of them. Pass continues=True if the test events continue it; if "
            "both logs were numbered by themselves, form sessions before splitting."
        )


def _histories(
    frame: pl.DataFrame,
    vocabulary: Vocabulary,
    features: LogFeatures | None,
    users: pl.Series | None,
) -> Histories:
    item_ids = vocabulary.encode(frame[ITEM])
    frame, item_ids = frame.filter(item_ids > 0), item_ids[item_ids > 0]
    if not len(item_ids):
        raise ValueError(
            "`log` holds no item of this vocabulary, but histories need at least one event. Use "
            "the vocabulary of the log's own training part."
        )
    new_user = _changes(frame[USER])
    new_session = new_user | _changes(frame[SESSION])
    weights = None
    if _IS_TEST in frame.columns:
        has_test = pl.col(_IS_TEST).any().over(USER)
        # A test user whose test items are all unknown has nothing to be asked.
        kept = frame.select(has_test).to_series().to_numpy()
        if not kept.all():
            return _histories(frame.filter(kept), vocabulary, features, users)
        weights = (frame[_IS_TEST].to_numpy() & ~new_session).astype(np.float32)
    given: dict[str, np.ndarray | None] = {}
    own_users = frame[USER].filter(pl.Series(new_user))
    if features is not None:
        given = {
            "feedback": features.of_events(frame),
            "user_features": features.of_users(own_users, item_ids[new_user]),
        }
    if users is not None:
        given["user_ids"] = _user_ids(own_users, users)
    return Histories(
        item_ids=item_ids,
        timestamps=frame[TIMESTAMP].to_numpy(),
        session_offsets=_offsets(new_session),
        user_offsets=_offsets(new_user),
        num_items=vocabulary.num_items,
        target_weights=weights,  # type: ignore[arg-type]
        **given,
    )


def _user_ids(own: pl.Series, users: pl.Series) -> np.ndarray:
    """Int32 (len(own),), the place of each in `users`, from 1 on; 0 if it is not there."""
    numbered = pl.DataFrame({USER: users, "user_id": np.arange(1, len(users) + 1, dtype=np.int32)})
    found = pl.DataFrame({USER: own}).join(numbered, on=USER, how="left", maintain_order="left")
    return found["user_id"].fill_null(PADDING_ID).to_numpy()


def _changes(column: pl.Series) -> np.ndarray:
    """Bool (n,), true where a value differs from the one before it, and on the first."""
    return (column != column.shift()).fill_null(True).to_numpy()


def _offsets(starts: np.ndarray) -> np.ndarray:
    return offsets_of(np.diff(np.append(np.flatnonzero(starts), len(starts))))
