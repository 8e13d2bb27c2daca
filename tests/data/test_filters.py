"""Filters: what each keeps, what each reports, and what each refuses."""

import pytest

from hrec_tf.data import filters, sessions
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.filter_report import Counts


def log_of(rows, types=None):
    """A sessionised log of (user, session, item); time is the number of the row."""
    users, visits, items = map(list, zip(*rows, strict=True))
    table = {"user": users, "session": visits, "item": items, "timestamp": range(len(rows))}
    if types:
        table["event_type"] = types
    return sessions.given(
        EventLog.from_frame(table, session="session", event_type="event_type" if types else None)
    )


def items(log):
    return log.frame["item"].to_list()


def test_repeats_inside_a_session_keep_the_first():
    log = log_of([(1, 1, 7), (1, 1, 8), (1, 1, 7), (1, 2, 7), (2, 1, 7)])
    assert items(filters.drop_repeats(log)) == [7, 8, 7, 7]
    assert items(filters.drop_repeats(log, within="user")) == [7, 8, 7]


def test_repeats_of_another_type_stay():
    # evaluation 2, step 3: (item, session, interaction type).
    log = log_of([(1, 1, 7), (1, 1, 7), (1, 1, 7)], types=["view", "buy", "view"])
    assert filters.drop_repeats(log).num_events == 2
    assert filters.drop_repeats(log, by_type=False).num_events == 1


def test_event_types_are_dropped():
    log = log_of([(1, 1, 7), (1, 1, 8)], types=["click", "delete"])
    assert items(filters.drop_event_types(log, ["delete"])) == [7]
    with pytest.raises(ValueError, match=r"`types` holds 'delet', .* Did you mean 'delete'\?"):
        filters.drop_event_types(log, ["delet"])


def test_support_is_counted_once():
    log = log_of([(1, 1, 7), (1, 1, 8), (2, 1, 7)])
    assert items(filters.min_item_support(log, 2)) == [7, 7]


def test_session_length_counts_sessions_of_a_user_apart():
    # Session 1 of user 1 and of user 2 are two sessions.
    log = log_of([(1, 1, 7), (2, 1, 8), (2, 1, 9)])
    assert items(filters.min_session_length(log, 2)) == [8, 9]


def test_users_are_kept_by_their_sessions():
    log = log_of([(1, 1, 7), (2, 1, 8), (2, 2, 9), (3, 1, 4), (3, 2, 5), (3, 3, 6)])
    assert items(filters.user_sessions(log, 2)) == [8, 9, 4, 5, 6]
    assert items(filters.user_sessions(log, 2, 2)) == [8, 9]
    assert items(filters.min_user_events(log, 3)) == [4, 5, 6]


def test_items_are_matched_as_text():
    log = log_of([(1, 1, 85123), (1, 1, 12)])
    assert items(filters.items_matching(log, "^[0-9]{5}")) == [85123]
    with pytest.raises(ValueError, match=r"`pattern` was '\(', which is not a regular expression"):
        filters.items_matching(log, "(")


def test_before_excludes_its_time():
    assert items(filters.before(log_of([(1, 1, 7), (1, 1, 8), (1, 1, 9)]), 2)) == [7, 8]


@pytest.mark.parametrize(
    ("users", "kept"), [([10, 9, 100, 9], [9, 10]), (list("cabb"), ["a", "b"])]
)
def test_first_users_have_the_smallest_ids(users, kept):
    log = log_of([(user, 1, 7) for user in users])
    assert filters.first_users(log, 2).frame["user"].unique().sort().to_list() == kept


def test_each_step_reports_what_it_removed():
    log = log_of([(1, 1, 7), (1, 1, 7), (2, 1, 7), (2, 1, 8)])
    log = filters.min_session_length(filters.drop_repeats(log), 2)
    *_, repeats, short = log.report.steps
    assert (repeats.name, repeats.before, repeats.after) == (
        "drop_repeats(session)",
        Counts(4, 2, 2, 2),
        Counts(3, 2, 2, 2),
    )
    assert short.after == Counts(2, 1, 1, 2)
    assert log.report.to_rows()[-1]["sessions_after"] == 1
    last_line = " ".join(log.report.to_text().splitlines()[-1].split())
    assert last_line == "min_session_length(2) 2 (-1) 1 (-1) 1 (-1) 2"


def test_a_filter_that_leaves_nothing_is_an_error():
    # pitfalls 4: an empty log.
    log = log_of([(1, 1, 7), (1, 1, 8)])
    with pytest.raises(ValueError, match=r"min_item_support\(9\) leaves no events of 2 .* Loosen"):
        filters.min_item_support(log, 9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda log: filters.min_item_support(log, 0), "`support` must be a positive int"),
        (lambda log: filters.min_session_length(log, 1.5), "`length` must be a positive int"),
        (lambda log: filters.user_sessions(log, 5, 4), "`max` must be an int of at least 5"),
        (lambda log: filters.drop_repeats(log, within="day"), "`within` was 'day'"),
        (lambda log: filters.drop_repeats(log, by_type=True), "needs event types, .* Name the col"),
        (lambda log: filters.drop_event_types(log, ["x"]), "`drop_event_types` needs event types"),
        (lambda log: filters.items_matching(log, "("), r"`pattern` was '\(', .*: unclosed group\."),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(log_of([(1, 1, 7)]))


@pytest.mark.parametrize(
    "call",
    [
        filters.drop_repeats,
        lambda log: filters.min_session_length(log, 2),
        lambda log: filters.user_sessions(log, 2),
    ],
)
def test_filters_of_sessions_need_sessions(call):
    log = EventLog.from_frame({"user": [1], "item": [1], "timestamp": [1]})
    with pytest.raises(ValueError, match=r"works on sessions, but this log has none yet\. Call"):
        call(log)


def test_an_order_has_no_before():
    log = EventLog.from_frame({"user": [1], "item": [1]}, timestamp=None)
    with pytest.raises(ValueError, match="`log` has no times, only an order"):
        filters.before(log, 5)
