"""Sessions by idle time, as given, and one for each user."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data import sessions
from hrec_tf.data.event_log import EventLog

EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 20), st.integers(0, 3)),
    min_size=1,
    max_size=30,
)


def log_of(rows):
    columns = ["user", "item", "timestamp", "session"]
    table = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=False))
    return EventLog.from_frame(table, session="session" if "session" in table else None)


def test_a_gap_of_exactly_the_idle_time_stays_inside():
    # evaluation 2, step 2: strictly more than 30 minutes.
    log = log_of([(1, 10, 0), (1, 11, 1800), (1, 12, 3601), (2, 13, 3602)])
    cut = sessions.by_idle_gap(log, minutes=30)
    assert cut.frame["session"].to_list() == [0, 0, 1, 2]
    assert cut.num_sessions == 3


def test_equal_times_keep_the_order_of_the_rows():
    # pitfalls 1.15: a stable sort of equal timestamps.
    rows = [(1, item, 60 * (item // 40)) for item in reversed(range(80))]
    cut = sessions.by_idle_gap(log_of(rows))
    assert cut.frame["item"].to_list() == [*reversed(range(40)), *reversed(range(40, 80))]


def test_given_sessions_are_gathered_by_id_and_ordered_by_start():
    # Session 9 begins first and lies around session 2; 30 and 4 start together.
    rows = [
        (1, 1, 10, 9),
        (1, 2, 12, 2),
        (1, 3, 14, 9),
        (1, 4, 13, 2),
        (1, 5, 20, 30),
        (1, 6, 20, 4),
    ]
    taken = sessions.given(log_of(rows))
    assert taken.frame["session"].to_list() == [9, 9, 2, 2, 4, 30]
    assert taken.frame["item"].to_list() == [1, 3, 2, 4, 6, 5]


def test_ties_of_text_sessions_go_by_text():
    taken = sessions.given(log_of([(1, 5, 20, "4"), (1, 6, 20, "30")]))
    assert taken.frame["session"].to_list() == ["30", "4"]


def test_a_session_id_may_return_for_another_user():
    taken = sessions.given(log_of([(1, 5, 1, 0), (2, 6, 1, 0), (2, 7, 2, 0)]))
    assert taken.num_sessions == 2
    adjacent = sessions.given(log_of([(1, 5, 1, 0), (1, 6, 2, 1), (2, 7, 0, 1)]))
    assert adjacent.num_sessions == 3


def test_one_session_per_user_keeps_the_order_of_sessions():
    rows = [(1, 1, 10, 9), (1, 2, 12, 2), (1, 3, 14, 9)]
    assert sessions.one_per_user(log_of(rows)).frame["item"].to_list() == [1, 2, 3]
    ordered = sessions.one_per_user(sessions.given(log_of(rows)))
    assert ordered.frame["item"].to_list() == [1, 3, 2]
    assert ordered.num_sessions == 1


@settings(deadline=None, max_examples=50)
@given(EVENTS)
def test_sessions_partition_the_events(rows):
    log = log_of(rows)
    for cut in (sessions.by_idle_gap(log, minutes=0.05), sessions.given(log)):
        columns = ["user", "item", "timestamp"]
        assert sorted(cut.frame.select(columns).rows()) == sorted(row[:3] for row in rows)
        assert cut.frame["user"].is_sorted()
        keys = cut.frame.select("user", "session").rows()
        runs = [key for n, key in enumerate(keys) if n == 0 or keys[n - 1] != key]
        assert len(runs) == len(set(runs)) == cut.num_sessions
        assert len(runs) <= cut.num_events


@settings(deadline=None, max_examples=50)
@given(EVENTS)
def test_idle_sessions_agree_with_a_plain_loop(rows):
    cut = sessions.by_idle_gap(log_of(rows), minutes=0.05)
    expected, number, previous = [], -1, None
    for user, _, time, _ in sorted(rows, key=lambda row: (row[0], row[2])):
        number += previous is None or previous[0] != user or time - previous[1] > 3
        previous = (user, time)
        expected.append(number)
    assert cut.frame["session"].to_list() == expected


def test_what_cannot_be_cut_says_why():
    ordered = EventLog.from_frame({"user": [1], "item": [1]}, timestamp=None)
    with pytest.raises(ValueError, match=r"`log` has no times, only an order, .* Use sessions\."):
        sessions.by_idle_gap(ordered)
    with pytest.raises(ValueError, match=r"no sessions of its own\. Name the column on reading"):
        sessions.given(ordered)
    visits = EventLog.from_frame(
        {"session": [1], "item": [1], "timestamp": [1]}, user=None, session="session"
    )
    with pytest.raises(ValueError, match=r"`log` has no users, .* Use sessions\.given"):
        sessions.by_idle_gap(visits)
    with pytest.raises(ValueError, match="`minutes` must be a finite number of at least 0"):
        sessions.by_idle_gap(log_of([(1, 1, 1)]), minutes=-1)
