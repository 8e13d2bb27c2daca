"""Tables in memory: exact ids, times, and every bad input of the data layer by its message."""

import math
from datetime import UTC, date, datetime
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data.event_log import EventLog
from hrec_tf.data.filter_report import Counts

ROWS = {"user": ["b", "a", "b"], "item": [3, 1, 3], "timestamp": [20, 10, 10]}


def changed(**columns):
    return ROWS | columns


def test_rows_keep_their_order_and_the_callers_frame_its_own():
    # pitfalls 4: unsorted rows; the caller's frame is never sorted in place.
    frame = pl.DataFrame(ROWS)
    before = frame.clone()
    log = EventLog.from_frame(frame)
    assert log.frame.rows() == [("b", 3, 20), ("a", 1, 10), ("b", 3, 10)]
    assert frame.equals(before)
    assert log.counts == Counts(events=3, sessions=None, users=2, items=2)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["007", "1e5", " x", "Straße"], ["007", "1e5", " x", "Straße"]),
        ([-(2**63), -1, 0, 2**63 - 1], [-(2**63), -1, 0, 2**63 - 1]),
        (np.array([1, 2, 3, 255], np.uint8), [1, 2, 3, 255]),
        ([UUID(int=5)] * 4, ["00000000-0000-0000-0000-000000000005"] * 4),
        (pl.Series(["u", "v", "u", "v"], dtype=pl.Categorical), ["u", "v", "u", "v"]),
        (np.array(["01", "1"] * 2), ["01", "1"] * 2),
    ],
)
def test_ids_are_kept_exactly(values, kept):
    # pitfalls 4: negative, text and UUID ids.
    log = EventLog.from_frame({"user": [1] * 4, "item": values, "timestamp": range(4)})
    assert log.frame["item"].to_list() == kept


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1, max_size=20))
def test_whole_number_ids_are_exact_or_refused(items):
    table = {"user": ["u"] * len(items), "item": items, "timestamp": [0] * len(items)}
    if None in items:
        with pytest.raises((ValueError, TypeError), match="`item`"):
            EventLog.from_frame(table)
    else:
        assert EventLog.from_frame(table).frame["item"].to_list() == items


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([1_506_826_828, 1_506_826_829], [1_506_826_828, 1_506_826_829]),
        ([1_506_826_828_999, 1_506_826_829_000], [1_506_826_828, 1_506_826_829]),
        ([1_506_826_828_999_999, 1_506_826_829_000_000], [1_506_826_828, 1_506_826_829]),
        ([1_506_826_828_999_999_999] * 2, [1_506_826_828] * 2),
        ([1.5, 2.25], [1, 2]),
        ([-1.5, 0.0], [-2, 0]),
        ([-1500, -1], [-1500, -1]),
        (["2010-12-01 08:26", "2010-12-01T08:26:01Z"], [1_291_191_960, 1_291_191_961]),
        (["2010-12-01T10:26:00+02:00", "2010-12-01"], [1_291_191_960, 1_291_161_600]),
        (["2010-12-01 03:26:00.75 -0500", "1969-12-31 23:59:59"], [1_291_191_960, -1]),
        ([datetime(2010, 12, 1, 8, 26), datetime(2010, 12, 1, 8, 26, 1)], None),
        ([datetime(2010, 12, 1, 8, 26, tzinfo=UTC)] * 2, [1_291_191_960] * 2),
        ([date(2010, 12, 1), date(2010, 12, 2)], [1_291_161_600, 1_291_248_000]),
    ],
)
def test_times_become_whole_unix_seconds(times, seconds):
    log = EventLog.from_frame({"user": [1, 1], "item": [1, 2], "timestamp": times})
    wanted = seconds or [1_291_191_960, 1_291_191_961]
    assert sorted(log.frame["timestamp"].to_list()) == sorted(wanted)
    assert log.frame.schema["timestamp"] == pl.Int64


def test_milliseconds_are_recognised_and_named():
    # pitfalls 4: timestamps in milliseconds.
    log = EventLog.from_frame(changed(timestamp=[1_506_826_828_000] * 3))
    assert log.notes == (
        "`timestamp` is read as milliseconds, judged by its magnitude, and turned into seconds.",
    )
    told = EventLog.from_frame(changed(timestamp=[5000, 6000, 7000]), timestamp_unit="ms")
    assert (told.frame["timestamp"].to_list(), told.notes) == ([5, 6, 7], ())


def test_fractions_of_seconds_order_the_rows_before_they_are_cut():
    log = EventLog.from_frame({"user": [1] * 3, "item": [1, 2, 3], "timestamp": [5.9, 5.1, 5.5]})
    assert log.frame["item"].to_list() == [2, 3, 1]
    assert log.frame["timestamp"].to_list() == [5, 5, 5]
    assert "then were cut to whole seconds" in log.notes[0]


def test_an_order_only_log_counts_its_rows():
    log = EventLog.from_frame({"user": ["b", "a"], "item": [1, 2]}, timestamp=None)
    assert log.frame["timestamp"].to_list() == [0, 1]
    assert not log.has_times


def test_without_users_each_session_is_its_own_user():
    table = {"visit": [7, 7, 9], "item": [1, 2, 1], "timestamp": [1, 2, 3]}
    log = EventLog.from_frame(table, user=None, session="visit")
    assert log.frame["user"].to_list() == [7, 7, 9]
    assert not log.has_users


def test_feedback_and_context_are_kept_under_their_names():
    table = changed(kind=["view", "buy", "view"], stars=[1, 2, 3], price=[1.5, None, 2.0])
    log = EventLog.from_frame(table, event_type="kind", rating="stars", context=["price"])
    assert log.frame.columns == ["user", "item", "timestamp", "event_type", "rating", "price"]
    assert log.frame["rating"].to_list() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (
            changed(item=[1, None, 3]),
            ValueError,
            "`item` is missing at row 1 of `frame`, but every event needs one. Drop or mend such",
        ),
        (
            changed(user=["a", "", "b"]),
            ValueError,
            "`user` is an empty string at row 1 of `frame`, but every event needs an id. Drop such",
        ),
        (
            changed(item=[1.0, 2.0, 3.0]),
            TypeError,
            r"`item` holds floating-point ids in `frame` \(row 0: 1.0\), but ids are text or whole "
            "numbers. Tables with missing values turn whole numbers into floats: drop those rows",
        ),
        (
            changed(item=np.array([1, 2, 2**64 - 1], np.uint64)),
            ValueError,
            "`item` holds 18446744073709551615 at row 2 of `frame`, beyond 64-bit whole numbers. "
            "Cast the column to text",
        ),
        (
            changed(item=[[1], [2], [3]]),
            TypeError,
            r"`item` holds values of type List\(Int64\) in `frame`, but ids are text or whole "
            "numbers. Cast",
        ),
        (
            changed(item=[1, "a", 2]),
            TypeError,
            "`frame` holds values of several types in 'item': int, str, but a column has one .*"
            "Convert it first",
        ),
        (
            changed(timestamp=[1, None, 2]),
            ValueError,
            "`timestamp` is missing at row 1 of `frame`",
        ),
        (
            changed(timestamp=[1.0, 2.0, math.nan]),
            ValueError,
            "`timestamp` is nan at row 2 of `frame`, but must be a finite number. Drop such rows",
        ),
        (
            changed(timestamp=[-math.inf, 2.0, 1.0]),
            ValueError,
            "`timestamp` is -inf at row 0",
        ),
        (
            changed(timestamp=["2010-12-01", "yesterday", "2010-12-01"]),
            ValueError,
            "`timestamp` is 'yesterday' at row 1 of `frame`, but must be ISO 8601, e.g. 2024-05-01 "
            "17:30. Mend or drop that row",
        ),
        (
            changed(timestamp=["5", "6", "x"]),
            ValueError,
            "`timestamp` is 'x' at row 2 of `frame`, but must be a number, as in other rows. Mend",
        ),
        (
            changed(timestamp=[1_506_826_828_000, 1_506_826_828, 1_506_826_828_000]),
            ValueError,
            "`timestamp` mixes units: 1506826828 at row 1 of `frame`, beside values up to "
            "1506826828000, which look like milliseconds. Mend the rows, or pass `timestamp_unit`",
        ),
        (
            changed(timestamp=[True, False, True]),
            TypeError,
            "`timestamp` holds values of type Boolean in `frame`, but times are numbers, dates or "
            "ISO 8601 text. Cast",
        ),
        (
            {"user": [1], "itemid": [2], "timestamp": [3]},
            ValueError,
            "`item` names the column 'item', but `frame` has 'user', 'itemid', 'timestamp'. Did "
            "you mean 'itemid'?",
        ),
        (
            {"user": [1], "item": [2]},
            ValueError,
            "`timestamp` names the column 'timestamp', but .* For a log that is only in order "
            "pass timestamp=None",
        ),
        (
            {"user": [], "item": [], "timestamp": []},
            ValueError,
            "`frame` holds no events; at least one row with an item is needed. Check",
        ),
        (
            {"user": [1], "item": [1, 2], "timestamp": [1]},
            ValueError,
            "`frame` has columns of different lengths .* Pass columns of one length",
        ),
        (7, TypeError, "`frame` was a int, but must be a table. Pass a Polars or pandas frame"),
    ],
)
def test_bad_tables_say_what_where_and_the_cure(table, error, message):
    # pitfalls 4, line by line.
    with pytest.raises(error, match=message):
        EventLog.from_frame(table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user": None}, "`user` and `session` were both None, but .* Name the column"),
        ({"timestamp_unit": "min"}, "`timestamp_unit` was 'min', but must be one of 'auto', 's'"),
        ({"timestamp": None, "timestamp_unit": "s"}, "`timestamp_unit` was 's', but `timestamp`"),
        ({"context": ["rating"]}, "`context` was .* none of them called .* Rename"),
        ({"context": ["prise"]}, "`context` names the column 'prise', but .*"),
        ({"rating": "user"}, "`rating` is 'b' at row 0 of `frame`, but must be a finite number"),
        ({"session": "visit"}, "`session` names the column 'visit'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    # pitfalls 4: an option that would be ignored is an error.
    with pytest.raises(ValueError, match=message):
        EventLog.from_frame(ROWS, **arguments)


def test_dates_take_no_unit():
    with pytest.raises(ValueError, match="`timestamp_unit` was 's', but `frame` holds dates"):
        EventLog.from_frame(changed(timestamp=["2010-12-01"] * 3), timestamp_unit="s")


def test_the_constructor_checks_its_columns():
    with pytest.raises(ValueError, match=r"needs 'item'\. Map other names with"):
        EventLog(pl.DataFrame({"user": [1], "timestamp": [1]}))
    with pytest.raises(ValueError, match="'item' as Float64, but it must be Int64 or String"):
        EventLog(pl.DataFrame({"user": [1], "item": [1.0], "timestamp": [1]}))


def test_a_frame_with_pandas_manners_is_read():
    class Column(list):
        def to_numpy(self):
            return np.array(self)

    class Frame:
        columns = ("user", "item", "timestamp")

        def __getitem__(self, name):
            return Column(ROWS[name])

    assert EventLog.from_frame(Frame()).frame.rows() == EventLog.from_frame(ROWS).frame.rows()
