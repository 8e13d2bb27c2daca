"""The split by time: what each part gets, that no part knows the future, and what is counted."""

import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data import sessions, splits
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.filter_report import Counts
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.data.preparation import bootstrapped_histories
from hrec_tf.data.vocabulary import Vocabulary

DAY = 86_400


def log_of(rows):
    """A sessionised log of (user, session, item, time)."""
    users, visits, items, times = map(list, zip(*rows, strict=True))
    table = {"user": users, "session": visits, "item": items, "timestamp": times}
    return sessions.given(EventLog.from_frame(table, session="session", timestamp_unit="s"))


def rows(log):
    return log.frame.select("user", "session", "item", "timestamp").rows()


ROWS = [
    (1, 1, "a", 10),
    (1, 1, "b", 20),
    (1, 2, "c", 90),
    (1, 2, "b", 100),  # likewise: the test begins here
    (1, 2, "a", 110),  # its session began before 100, so it is in no part
    (1, 3, "b", 120),
    (1, 3, "x", 125),  # training has no x
    (1, 3, "a", 135),  # session 4 of the same user has begun
    (1, 3, "c", 130),
    (1, 4, "a", 130),
    (1, 4, "b", 140),
    (2, 1, "c", 100),  # a user whom training does not know
    (2, 1, "a", 101),
    (3, 1, "b", 5),
    (3, 2, "y", 150),
    (3, 2, "a", 151),  # alone once y is dropped
]


def test_a_session_belongs_to_where_it_starts():
    split = splits.temporal(log_of(ROWS), at=100)
    assert rows(split.train) == [ROWS[place] for place in (0, 1, 2, 13)]
    assert rows(split.test) == [ROWS[place] for place in (5, 8, 9, 10, 11, 12)]
    steps = [(s.name, s.before.events, s.after.events) for s in split.train.report.steps[1:]]
    assert steps == [("temporal(at=100): training", 16, 6), ("events before the test", 6, 4)]
    steps = [(s.name, s.before.events, s.after.events) for s in split.test.report.steps[1:]]
    assert steps == [
        ("temporal(at=100): test", 16, 10),
        ("events before the user's later sessions", 10, 9),
        ("items of training", 9, 7),
        ("min_session_length(2)", 7, 6),
    ]


def test_an_earlier_session_ends_where_any_later_one_begins():
    """A filter may take a session's first event, so that its start is after the next one's."""
    held = [(1, 1, "a", 1), (1, 1, "b", 55), (1, 2, "x", 40), (1, 2, "b", 60), (1, 3, "a", 50)]
    log = log_of([*held, (1, 3, "b", 54), (1, 3, "a", 70), (2, 1, "a", 0), (2, 1, "b", 0)])
    log = log.after("without x", log.frame.filter(pl.col("item") != "x"))
    split = splits.temporal(log, at=1)
    assert rows(split.uncleaned_test) == [
        (1, 1, "a", 1),
        (1, 3, "a", 50),
        (1, 3, "b", 54),
        (1, 3, "a", 70),
    ]


def test_new_users_and_unseen_targets_are_counted():
    split = splits.temporal(log_of(ROWS), at=100)
    assert split.num_new_users == 1
    # Targets are x, c of session 3, b of 4, a of user 2, a of user 3; one of them is unseen.
    assert split.unseen_target_share == pytest.approx(1 / 5)
    assert split.to_text().splitlines()[-1] == (
        "test: 6 events, 3 sessions, 2 users (1 new), 3 items"
    )
    assert replace(split, uncleaned_test=None).unseen_target_share is None
    both = [(1, 1, item, 0) for item in "abax"] + [(2, 1, item, 0) for item in "abaa"]
    assert splits.leave_one_out(log_of(both)).unseen_target_share == 0.5


def test_history_is_training_then_earlier_test_sessions():
    split = splits.temporal(log_of(ROWS), at=100)
    vocabulary = Vocabulary.from_log(split.train)
    histories = bootstrapped_histories(split.train, split.test, vocabulary)
    assert histories.timestamps.tolist() == [10, 20, 90, 120, 130, 130, 140, 100, 101]
    assert histories.target_weights.tolist() == [0, 0, 0, 0, 1, 0, 1, 0, 1]
    assert histories.user_offsets.tolist() == [0, 7, 9]


def test_the_three_ways_to_say_when():
    log = log_of([(user, 1, item, user * DAY) for user in range(10) for item in "ab"])
    by_time = splits.temporal(log, at=7 * DAY)
    assert set(by_time.test.frame["user"]) == {7, 8, 9}
    assert rows(splits.temporal(log, days=2).test) == rows(by_time.test)
    assert rows(splits.temporal(log, days=2.5).test) == rows(by_time.test)
    assert rows(splits.temporal(log, share=0.25).test) == rows(by_time.test)  # rounded up


@pytest.mark.parametrize(
    ("period", "held_back"),
    [({"at": 6 * DAY}, {3, 4, 5}), ({"days": 2}, {4, 5, 6}), ({"share": 0.2}, {6, 7})],
)
def test_validation_is_the_last_period_of_training(period, held_back):
    log = log_of([(user, 1, item, user * DAY) for user in range(10) for item in "ab"])
    prepared = PreparedLog(splits.temporal(log, **period))
    assert set(prepared.validated.test.frame["user"]) == held_back
    train, held_out = prepared.for_validation()
    assert train.timestamps.max() < held_out.timestamps[held_out.target_weights > 0].min()


def test_sessions_that_start_at_once_go_the_same_way():
    later = [(user, 1, item, 50) for user in range(4) for item in "ab"]
    earlier = [(user, 0, item, 10) for user in range(4) for item in "ab"]
    for share in (0.1, 0.25, 0.5):
        split = splits.temporal(log_of(later + earlier), share=share)
        assert split.test.num_sessions == split.train.num_sessions == 4


events = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.integers(0, 12)),
    min_size=2,
    max_size=40,
)


@settings(deadline=None, max_examples=25)
@given(events=events, at=st.integers(1, 12))
def test_temporal_agrees_with_a_plain_loop_and_knows_no_future(events, at):
    log = log_of(events)
    starts: dict = {}
    for user, visit, _, time in rows(log):
        starts[user, visit] = min(time, starts.get((user, visit), time))
    order = list(dict.fromkeys((user, visit) for user, visit, *_ in rows(log)))
    train, cut, test, overlapping = [], [], [], []
    for user, visit, item, time in rows(log):
        row = (user, visit, item, time)
        if starts[user, visit] < at:
            (train if time < at else cut).append(row)
            continue
        later = [s for s in order[order.index((user, visit)) + 1 :] if s[0] == user]
        (overlapping if any(starts[s] < time for s in later) else test).append(row)
    assert len(train) + len(cut) + len(test) + len(overlapping) == len(events)
    seen = {item for _, _, item, _ in train}
    known = [row for row in test if row[2] in seen]
    kept = [row for row in known if sum(row[:2] == other[:2] for other in known) > 1]
    if not kept:
        with pytest.raises(ValueError, match="leaves no events"):
            splits.temporal(log, at=at)
        return
    split = splits.temporal(log, at=at)
    assert (rows(split.train), rows(split.test)) == (train, kept)
    assert rows(split.uncleaned_test) == test
    assert split.train.frame["timestamp"].max() < split.test.frame["timestamp"].min()
    histories = bootstrapped_histories(split.train, split.test, Vocabulary.from_log(split.train))
    for target in np.flatnonzero(histories.target_weights):
        user = np.searchsorted(histories.user_offsets, target, side="right") - 1
        known = histories.timestamps[histories.user_offsets[user] : target]
        assert known.max() <= histories.timestamps[target]


def test_what_cannot_be_split_at_a_time_is_refused():
    log = log_of(ROWS)
    with pytest.raises(ValueError, match=r"were given as none of them, but .* Pass e.g. days=1"):
        splits.temporal(log)
    with pytest.raises(ValueError, match=r"given as at=5, days=1, but `temporal` needs one of"):
        splits.temporal(log, at=5, days=1)
    with pytest.raises(ValueError, match=r"`days` was 0, but a test of no length .* Pass how"):
        splits.temporal(log, days=0)
    with pytest.raises(ValueError, match=r"`share` was 1.0, but must lie between 0 and 1.* Pass"):
        splits.temporal(log, share=1.0)
    with pytest.raises(ValueError, match=r"temporal\(days=9\): training leaves no events"):
        splits.temporal(log, days=9)
    ordered = replace(log, has_times=False)
    with pytest.raises(ValueError, match=r"`log` has no times, .* Use last_session_out or by_u"):
        splits.temporal(ordered, share=0.5)


def test_a_named_log_may_be_split_otherwise():
    source = LogSource("online-retail", split={"name": "temporal", "days": 30.0})
    assert source.to_dict() == {
        "data": "online-retail",
        "split": {"name": "temporal", "days": 30.0},
    }
    assert LogSource.from_dict(source.to_dict()).split_label == "temporal(days=30)"
    assert source.about.endswith("last session out. In place of that split: temporal(days=30).")
    assert LogSource("online-retail").split_label == "last_session_out"


@pytest.mark.parametrize(
    ("data", "split", "message"),
    [
        (
            "tmall-shan",
            {"name": "temporal", "days": 1},
            r"`split` was 'temporal', but 'tmall-shan' has no times, only an order.* Use last_",
        ),
        (
            "yoochoose-100k",
            {"name": "temporal", "days": 1},
            r"`split` was 'temporal', but 'yoochoose-100k' comes in parts.* Leave it out",
        ),
        ("online-retail", {"name": "temporal"}, r"given as none of them, but `temporal` needs"),
        ("online-retail", {"days": 1}, r"`days` was set for the split 'last_session_out', which"),
        ("online-retail", {"name": "temporl"}, r"Did you mean 'temporal'"),
    ],
)
def test_a_split_that_a_named_log_cannot_have_is_refused_before_it_is_read(data, split, message):
    with pytest.raises(ValueError, match=message):
        LogSource(data, split=split)


@pytest.mark.integration
@pytest.mark.skipif("HREC_DATA" not in os.environ, reason="HREC_DATA is not set")
def test_counts_of_the_last_day_of_news():
    prepared = LogSource("globo-10k", split={"name": "temporal", "days": 1}).load()
    split = prepared.split
    assert split.train.counts == Counts(events=338_412, sessions=108_254, users=10_000, items=8_532)
    assert split.test.counts == Counts(events=4_695, sessions=1_790, users=1_635, items=441)
    assert int(prepared.test.target_weights.sum()) == 4_695 - 1_790
    assert split.train.frame["timestamp"].max() < split.test.frame["timestamp"].min()
    assert split.unseen_target_share == pytest.approx(0.6597, abs=0.0001)
    lost = 86 + 161  # after the day began, and after a later session of the user's had
    whole = split.train.num_events + split.uncleaned_test.num_events + lost
    assert whole == split.train.report.steps[-2].before.events == 357_253
    assert split.uncleaned_test.frame.select(pl.col("timestamp").min()).item() >= 1_508_126_366
