"""The HRNN preparation, and logs as histories with bootstrap and targets."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data import sessions, splits
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.log_source import PreparedLog, fingerprint_of
from hrec_tf.data.preparation import (
    bootstrapped_histories,
    histories_from_log,
    hrnn_preparation,
)
from hrec_tf.data.vocabulary import Vocabulary

EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("abcd")),
    min_size=1,
    max_size=40,
)


def log_of(rows):
    """A sessionised log of (user, session, item); time is the number of the row."""
    users, visits, items = map(list, zip(*rows, strict=True))
    table = {"user": users, "session": visits, "item": items, "timestamp": range(len(rows))}
    return sessions.given(EventLog.from_frame(table, session="session"))


def test_the_hrnn_steps_run_once_and_in_order():
    # evaluation 2: 1 types, 2 sessions, 3 repeats, 4 support, 5 session length, 6 users.
    table = {
        "user": [1] * 7 + [2] * 4,
        "item": list("abacbaz") + list("abcz"),
        "timestamp": [0, 1, 2, 3, 9000, 9001, 9002, 0, 1, 9000, 9001],
        "event_type": ["view"] * 6 + ["delete"] + ["view"] * 3 + ["delete"],
    }
    log = EventLog.from_frame(table, event_type="event_type")
    ready = hrnn_preparation(
        log,
        idle_minutes=30,
        min_item_support=2,
        min_session_length=2,
        min_user_sessions=2,
        drop_event_types=["delete"],
    )
    assert [step.name for step in ready.report.steps] == [
        "drop_event_types(delete)",
        "by_idle_gap(30 min)",
        "drop_repeats(session, by type)",
        "min_item_support(2)",
        "min_session_length(2)",
        "user_sessions(2..)",
    ]
    # User 2 loses the session of one event, then all; item c keeps one event of two.
    assert ready.frame.select("user", "session", "item").rows() == [
        (1, 0, "a"),
        (1, 0, "b"),
        (1, 0, "c"),
        (1, 1, "b"),
        (1, 1, "a"),
    ]


def test_given_sessions_and_bounds_on_users():
    log = log_of([(user, visit, item) for user in (1, 2) for visit in range(user) for item in "ab"])
    ready = hrnn_preparation(
        log,
        idle_minutes=None,
        min_item_support=1,
        min_session_length=1,
        min_user_sessions=1,
        max_user_sessions=1,
        drop_repeats=False,
    )
    assert ready.frame["user"].to_list() == [1, 1]
    assert ready.report.steps[-1].name == "user_sessions(1..1)"


def test_histories_of_three_users():
    log = log_of(
        [
            (2, 1, "a"),
            (2, 1, "b"),
            (2, 2, "x"),
            (1, 1, "c"),
            (1, 2, "a"),
            (1, 2, "x"),
            (3, 1, "x"),
        ]
    )
    histories = histories_from_log(log, Vocabulary(["a", "b", "c"]))
    # Unknown x goes first: session (2, 2) and user 3 vanish with it.
    assert histories.item_ids.tolist() == [3, 1, 1, 2]
    assert histories.timestamps.tolist() == [3, 4, 0, 1]
    assert histories.session_offsets.tolist() == [0, 1, 2, 4]
    assert histories.user_offsets.tolist() == [0, 2, 4]
    assert histories.target_weights.tolist() == [1, 1, 1, 1]
    assert (histories.item_ids.dtype, histories.timestamps.dtype) == (np.int32, np.int64)


def test_bootstrap_comes_first_and_has_no_targets():
    # evaluation 2: training feeds the state; the first event of a test session is no target.
    train = log_of([(1, 1, "a"), (1, 2, "b"), (1, 2, "c"), (2, 1, "a"), (3, 1, "c"), (3, 1, "b")])
    test = log_of([(3, 7, "a"), (3, 7, "b"), (3, 7, "c"), (1, 9, "c"), (1, 9, "a"), (4, 1, "b")])
    histories = bootstrapped_histories(train, test, Vocabulary(["a", "b", "c"]))
    assert histories.item_ids.tolist() == [1, 2, 3, 3, 1, 3, 2, 1, 2, 3, 2]
    assert histories.target_weights.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0]
    assert histories.session_offsets.tolist() == [0, 1, 3, 5, 7, 10, 11]
    assert histories.user_offsets.tolist() == [0, 5, 10, 11]


def test_test_users_without_a_known_test_event_are_left_out():
    train, test = log_of([(1, 1, "a"), (2, 1, "b")]), log_of([(1, 2, "x"), (2, 2, "b")])
    histories = bootstrapped_histories(train, test, Vocabulary(["a", "b"]))
    assert histories.item_ids.tolist() == [2, 2]


def test_left_out_events_continue_the_session():
    log = log_of([(1, 1, item) for item in "abcab"] + [(2, 1, item) for item in "acb"])
    split = splits.leave_one_out(log)
    histories = bootstrapped_histories(
        split.train_and_validation, split.test, Vocabulary(["a", "b", "c"]), continues=True
    )
    assert histories.item_ids.tolist() == [1, 2, 3, 1, 2, 1, 3, 2]
    assert histories.target_weights.tolist() == [0, 0, 0, 0, 1, 0, 0, 1]
    assert histories.session_offsets.tolist() == histories.user_offsets.tolist() == [0, 5, 8]


@settings(deadline=None, max_examples=50)
@given(EVENTS)
def test_points_are_test_events_less_test_sessions(rows):
    # evaluation 2: points = test events - test sessions.
    try:
        split = splits.last_session_out(log_of(rows))
    except ValueError:
        return
    vocabulary = Vocabulary.from_log(split.train)
    histories = bootstrapped_histories(split.train, split.test, vocabulary)
    test = split.test.counts
    assert histories.target_weights.sum() == test.events - test.sessions
    assert histories.num_users == test.users
    in_test = split.train.frame["user"].is_in(split.test.frame["user"].unique().implode())
    assert histories.num_events == test.events + in_test.sum()


@settings(deadline=None, max_examples=50)
@given(EVENTS)
def test_histories_hold_every_event_of_the_log(rows):
    log = log_of(rows)
    vocabulary = Vocabulary.from_log(log)
    histories = histories_from_log(log, vocabulary)
    assert vocabulary.decode(histories.item_ids).tolist() == log.frame["item"].to_list()
    counts = log.counts
    assert (histories.num_sessions, histories.num_users) == (counts.sessions, counts.users)
    assert histories.item_supports().tolist() == vocabulary.supports.tolist()


def test_what_cannot_be_converted_says_why():
    train, vocabulary = log_of([(1, 1, "a")]), Vocabulary(["a"])
    raw = EventLog.from_frame({"user": [1], "item": ["a"]}, timestamp=None)
    with pytest.raises(ValueError, match="`histories_from_log` works on sessions"):
        histories_from_log(raw, vocabulary)
    with pytest.raises(ValueError, match=r"`log` holds no item of this vocabulary, .* Use"):
        histories_from_log(log_of([(1, 1, "x")]), vocabulary)
    with pytest.raises(TypeError, match="but this vocabulary knows text ids such as 'a'"):
        histories_from_log(log_of([(1, 1, 5)]), vocabulary)
    with pytest.raises(
        ValueError, match=r"Session 1 of user 1 is in `train` and in `test`, .* Pass"
    ):
        bootstrapped_histories(train, log_of([(1, 1, "a")]), vocabulary)
    with pytest.raises(TypeError, match="`test` holds user ids of type String"):
        bootstrapped_histories(train, log_of([("1", 1, "a")]), vocabulary)


def test_users_are_numbered_as_in_training_and_others_are_0():
    log = EventLog.from_frame(
        {
            "user": ["eve", "eve", "eve", "eve", "bob", "bob", "ann", "ann"],
            "item": [1, 2, 1, 2, 1, 2, 1, 2],
            "timestamp": [0, 60, 7200, 7260, 0, 60, 0, 60],
        }
    )
    split = splits.last_session_out(sessions.by_idle_gap(log))
    vocabulary = Vocabulary.from_log(split.train)
    users = pl.Series(["bob", "eve"])
    train = histories_from_log(split.train, vocabulary, users=users)
    assert train.user_ids.tolist() == [0, 1, 2]  # ann, bob, eve
    test = bootstrapped_histories(split.train, split.test, vocabulary, users=users)
    assert test.user_ids.tolist() == [2]
    prepared = PreparedLog(split)
    assert prepared.users.to_list() == ["ann", "bob", "eve"]
    assert prepared.train.user_ids.tolist() == [1, 2, 3]
    assert prepared.test.user_ids.tolist() == [3]


def test_users_who_are_held_back_have_the_highest_numbers():
    """A model that was trained on the others has no rows for them, and reads them as unknown."""
    hours = {"ann": [74], "bob": [0, 100], "eve": [24, 48]}
    events = [
        (user, item, hour * 3600 + item)
        for user, own in hours.items()
        for hour in own
        for item in (1, 2)
    ]
    frame = pl.DataFrame(events, schema=["user", "item", "timestamp"], orient="row")
    log = sessions.by_idle_gap(EventLog.from_frame(frame))
    prepared = PreparedLog(splits.temporal(log, days=1))
    assert prepared.users.to_list() == ["bob", "eve", "ann"]
    assert prepared.train.user_ids.tolist() == [3, 1, 2]  # ann, bob, eve
    train, validation = prepared.for_validation()
    assert (train.user_ids.tolist(), validation.user_ids.tolist()) == ([1, 2], [3])
    others = PreparedLog(splits.temporal(log, days=2))
    assert fingerprint_of(prepared.users) != fingerprint_of(others.users)
