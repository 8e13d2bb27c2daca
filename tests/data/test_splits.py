"""Splits: which events each part gets, and the clean-up of the test."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data import sessions, splits
from hrec_tf.data.event_log import EventLog


def log_of(rows):
    """A sessionised log of (user, session, item); time is the number of the row."""
    users, visits, items = map(list, zip(*rows, strict=True))
    table = {"user": users, "session": visits, "item": items, "timestamp": range(len(rows))}
    return sessions.given(EventLog.from_frame(table, session="session"))


def rows(log):
    return None if log is None else log.frame.select("user", "session", "item").rows()


THREE_USERS = [
    (1, 1, "a"),
    (1, 1, "b"),
    (1, 2, "b"),  # user 1: the last session holds an unseen item, and still two known ones
    (1, 2, "x"),
    (1, 2, "a"),
    (2, 1, "c"),
    (2, 1, "a"),
    (2, 2, "y"),  # user 2: one known event is left, so the session goes
    (2, 2, "a"),
    (3, 9, "a"),  # user 3 has a single session
    (3, 9, "c"),
]


def test_last_session_out():
    # evaluation 2: test items unseen in training go, then test sessions of one event.
    split = splits.last_session_out(log_of(THREE_USERS))
    assert rows(split.test) == [(1, 2, "b"), (1, 2, "a")]
    assert rows(split.train) == [THREE_USERS[place] for place in (0, 1, 5, 6, 9, 10)]
    assert [step.after.events for step in split.test.report.steps[-3:]] == [5, 3, 2]
    assert split.to_text() == (
        "train: 6 events, 3 sessions, 3 users, 3 items\n"
        "test: 2 events, 1 sessions, 1 users, 2 items"
    )


def test_the_same_split_of_training_is_the_validation():
    days = [(1, day, item) for day in range(4) for item in "ab"]
    split = splits.last_session_out(log_of(days))
    assert {row[1] for row in rows(split.test)} == {3}
    assert {row[1] for row in rows(splits.last_session_out(split.train).test)} == {2}


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=40
    )
)
def test_last_session_out_agrees_with_a_plain_loop(events):
    log = log_of(events)
    visits = {}
    for user, visit, item in rows(log):
        visits.setdefault(user, {}).setdefault(visit, []).append(item)
    last = {user: list(of)[-1] for user, of in visits.items() if len(of) > 1}
    train = [row for row in rows(log) if last.get(row[0]) != row[1]]
    seen = {item for _, _, item in train}
    held_out = {user: [i for i in visits[user][visit] if i in seen] for user, visit in last.items()}
    test = [(u, last[u], i) for u, kept in held_out.items() if len(kept) > 1 for i in kept]
    if not test:
        with pytest.raises(ValueError, match="leaves no events"):
            splits.last_session_out(log)
        return
    split = splits.last_session_out(log)
    assert (rows(split.train), rows(split.test)) == (train, test)


def test_leave_one_out():
    log = log_of([(1, 1, "a"), (1, 1, "b"), (1, 2, "a"), (1, 3, "b"), (2, 1, "a"), (2, 2, "b")])
    split = splits.leave_one_out(log)
    assert rows(split.test) == [(1, 0, "b")]
    assert rows(split.validation) == [(1, 0, "a")]
    # User 2 has two events only and stays in training.
    assert rows(split.train) == [(1, 0, "a"), (1, 0, "b"), (2, 1, "a"), (2, 1, "b")]
    assert split.continues
    known = splits.joined(split.train, split.validation)
    assert rows(split.train_and_validation) == rows(known)
    assert [row[2] for row in rows(known)] == ["a", "b", "a", "a", "b"]


def test_leave_one_out_drops_events_of_unseen_items():
    log = log_of([(1, 1, "a"), (1, 1, "b"), (1, 1, "x"), (2, 1, "a"), (2, 1, "a"), (2, 1, "a")])
    assert rows(splits.leave_one_out(log).test) == [(2, 1, "a")]


def test_users_are_dealt_out_whole_and_by_seed():
    log = log_of([(user, 1, item) for user in range(10) for item in "ab"])
    split = splits.by_users(log, (0.7, 0.1, 0.2), seed=3)
    parts = [set(p.frame["user"]) for p in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [7, 1, 2]
    assert set.union(*parts) == set(range(10))
    again, other = splits.by_users(log, (0.7, 0.1, 0.2), seed=3), splits.by_users(log, (0.8, 0.2))
    assert rows(again.test) == rows(split.test)
    assert other.validation is None
    assert len({tuple(rows(splits.by_users(log, (0.8, 0.2), seed=s).test)) for s in range(5)}) > 1


def test_a_share_of_the_sessions_that_starts_last_is_the_test():
    rows_of = [(user, 1, item) for user in range(10) for item in ("a", "b")]
    split = splits.latest_sessions(log_of(rows_of), share=0.25)
    assert rows(split.test) == rows_of[14:]  # a quarter of 10, rounded up
    assert rows(split.train) == rows_of[:14]
    log = log_of([(1, 1, "a"), (1, 1, "b"), (2, 5, "a"), (1, 1, "a"), (2, 5, "b")])
    split = splits.latest_sessions(log, share=0.5)
    assert rows(split.train) == [(1, 1, "a"), (1, 1, "b"), (1, 1, "a")]  # whole
    assert rows(split.test) == [(2, 5, "a"), (2, 5, "b")]


def test_given_parts_are_cleaned_only():
    train = log_of([(1, 1, "a"), (1, 1, "b")])
    test = log_of([(2, 1, "x"), (2, 1, "a"), (3, 1, "b"), (3, 1, "x"), (3, 1, "a")])
    split = splits.given(train, test)
    assert rows(split.train) == rows(train)
    assert rows(split.test) == [(3, 1, "b"), (3, 1, "a")]


def test_parts_of_different_id_types_are_refused():
    # pitfalls 4: ids that change type between training and serving.
    with pytest.raises(TypeError, match="`test` holds item ids of type Int64, but `train` holds S"):
        splits.given(log_of([(1, 1, "7"), (1, 1, "8")]), log_of([(1, 1, 7), (1, 1, 8)]))


@pytest.mark.parametrize("fractions", [(1.0,), (0.5, 0.6), (0.5, 0.5, 0), (0.2,) * 5])
def test_fractions_must_add_up(fractions):
    with pytest.raises(ValueError, match=r"`fractions` was .* add up to 1\. Pass e\.g\."):
        splits.by_users(log_of(THREE_USERS), fractions)


def test_splits_that_cannot_be_made_say_why():
    with pytest.raises(ValueError, match="of 3 users leave a part without any"):
        splits.by_users(log_of(THREE_USERS), (0.99, 0.01))
    with pytest.raises(ValueError, match="`seed` must be an int of at least 0, but was -1"):
        splits.by_users(log_of(THREE_USERS), (0.5, 0.5), seed=-1)
    ordered = EventLog.from_frame({"user": [1], "item": [1]}, timestamp=None)
    for split in (splits.last_session_out, lambda log: splits.by_users(log, (0.5, 0.5))):
        with pytest.raises(ValueError, match="works on sessions, but this log has none yet"):
            split(ordered)
    with pytest.raises(ValueError, match=r"`log` has no times, .* cannot be split at a time"):
        splits.latest_sessions(sessions.one_per_user(ordered))
    with pytest.raises(ValueError, match=r"`share` was 1.0, but must lie between .* Pass e"):
        splits.latest_sessions(log_of(THREE_USERS), share=1.0)
