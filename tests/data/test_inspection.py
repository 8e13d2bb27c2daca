"""Inspection: shares by hand, and the protocol proposed for logs of every kind."""

import json

import pytest

from hrec_tf.data import sessions
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.inspection import inspect

DAY = 86_400


def log_of(rows, **arguments):
    columns = dict(
        zip(("user", "item", "timestamp", "session"), zip(*rows, strict=True), strict=False)
    )
    return EventLog.from_frame(
        {name: list(values) for name, values in columns.items()}, **arguments
    )


def test_shares_and_sessions_by_hand():
    # User 1: items 7 7 8 | 7 (20 minutes later) | 9 (a day later); user 2: one event.
    rows = [(1, 7, 0), (1, 7, 0), (1, 8, 60), (1, 7, 1260), (1, 9, 1260 + DAY), (2, 7, 1260 + DAY)]
    found = inspect(log_of(rows))
    assert (found.num_events, found.num_users, found.num_items) == (6, 2, 3)
    assert (found.first_time, found.last_time) == (0, 1260 + DAY)
    assert found.tie_share == pytest.approx(1 / 6)
    assert found.immediate_repeat_share == pytest.approx(1 / 6)
    assert found.known_item_share == pytest.approx(2 / 6)
    assert found.repeat_in_session_share == pytest.approx(2 / 6)
    assert [summary.sessions for summary in found.idle_sessions] == [4, 3, 3, 3, 2]
    half_hour = found.idle_sessions[1]
    assert (half_hour.mean_length, half_hour.median_length) == (2.0, 1.0)
    assert half_hour.single_event_share == pytest.approx(2 / 3)
    assert half_hour.returning_users_share == 0.5
    assert half_hour.users_with_many == 0
    assert json.loads(json.dumps(found.to_dict()))["idle_sessions"][4]["sessions"] == 2


def visits(users, per_user, gap, length=2):
    return [
        (user, item, visit * gap + 60 * item)
        for user in range(users)
        for visit in range(per_user)
        for item in range(length)
    ]


def own_sessions(rows):
    return [(*row, place // 2) for place, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("log", "protocol", "idle_minutes", "reason"),
    [
        (log_of(visits(4, 6, 7200)), "last_session_out", 30, "100.0% of users have 5 or more"),
        # Events two hours apart: only a longer idle time leaves sessions of several.
        (
            log_of([(1, i, d * 2 * DAY + i * 7200) for d in range(6) for i in range(3)]),
            "last_session_out",
            360,
            "6 h is the shortest idle time tried that leaves at least half of the sessions",
        ),
        (log_of(visits(4, 2, 7200)), "leave_one_out", None, "too few for a user level"),
        (log_of(visits(4, 1, 7200)), "by_users", 30, "fewer than 3 events"),
        (log_of(visits(4, 6, DAY, length=1)), "leave_one_out", None, "Times are whole days"),
        (log_of(visits(4, 6, 9), timestamp=None), "leave_one_out", None, "neither times nor"),
        (
            log_of(own_sessions(visits(4, 6, 9)), timestamp=None, session="session"),
            "last_session_out",
            None,
            "5 or more given sessions",
        ),
        (
            log_of(own_sessions(visits(4, 6, 9)), user=None, session="session"),
            "temporal",
            None,
            "names no users",
        ),
        (
            log_of(own_sessions(visits(4, 6, 9)), user=None, timestamp=None, session="session"),
            "by_users",
            None,
            "dealt out at random",
        ),
    ],
)
def test_the_proposed_protocol(log, protocol, idle_minutes, reason):
    found = inspect(log)
    assert (found.protocol, found.idle_minutes) == (protocol, idle_minutes)
    assert any(reason in given for given in found.reasons), found.reasons
    assert f"Proposed split: {protocol}" in found.to_text()


def test_sessions_cut_too_fine_are_noted():
    rows = [(1, place, place * 2, place) for place in range(10)]
    found = inspect(log_of(rows, session="session"))
    assert any("(10) are cut finer than by 30 minutes idle (1)" in note for note in found.notes)


def test_ties_are_noted():
    found = inspect(log_of([(1, item, 5) for item in range(4)]))
    assert any(note.startswith("75.0% of events share their time") for note in found.notes)


def test_the_report_is_readable():
    text = inspect(log_of(visits(4, 6, 7200))).to_text()
    assert text.splitlines()[:2] == [
        "48 events, 4 users, 2 items",
        "from 1970-01-01 00:00 to 1970-01-01 10:01 UTC",
    ]
    squeezed = [" ".join(line.split()) for line in text.splitlines()]
    assert "30 min idle 24 2.00/2 0.0% 100.0% 4 (100.0%)" in squeezed
    assert text.splitlines()[-2:] == [
        "Proposed split: last_session_out, sessions by 30 min idle",
        "- 100.0% of users have 5 or more sessions by 30 min idle: enough for a user level.",
    ]


def test_a_log_with_formed_sessions_is_inspected_as_it_is():
    found = inspect(sessions.by_idle_gap(log_of(visits(4, 6, 7200)), minutes=240))
    assert found.given_sessions.sessions == 4
