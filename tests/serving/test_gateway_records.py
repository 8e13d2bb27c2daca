"""Records of users: their bytes, and how new events find their places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.schema import Recommendation
from hrec_tf.serving.client import State
from hrec_tf.serving.gateway.records import Event, Record, merge, pack, unpack

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
numbers = st.integers(-(2**63), 2**63 - 1)
float32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
feedback = st.none() | st.lists(float32, max_size=2).map(tuple)
events = st.builds(Event, ids | numbers, numbers, st.none() | ids, feedback)
states = st.builds(
    lambda values, info: State(np.array(values, np.float32), np.array(info, np.int64)),
    st.lists(float32, max_size=5),
    st.lists(numbers, max_size=5),
)
records = st.builds(
    Record,
    st.integers(0, 2**63 - 1),
    st.lists(events, max_size=4).map(tuple),
    st.booleans(),
    st.lists(st.builds(Recommendation, ids | numbers, float32), max_size=4).map(tuple),
    st.none() | states,
)


def plain(record):
    state = record.state and [(part.dtype.str, part.tolist()) for part in record.state]
    return record._replace(state=state)


@settings(deadline=None, max_examples=100)
@given(record=records)
def test_a_record_is_read_as_it_was_written(record):
    assert plain(unpack(pack(record))) == plain(record)


RECORD = Record(3, (Event("tea", 5),), False, (Recommendation("jam", 1.5),), None)


@settings(deadline=None, max_examples=200)
@given(place=st.integers(0, len(pack(RECORD)) - 1), bit=st.integers(0, 7))
def test_a_record_of_which_a_bit_fell_over_is_not_read(place, bit):
    raw = bytearray(pack(RECORD))
    raw[place] ^= 1 << bit
    with pytest.raises(ValueError, match=r"it begins with|its checksum is not"):
        unpack(bytes(raw))
    with pytest.raises(ValueError, match=r"its checksum is not|but a record has more"):
        unpack(pack(RECORD)[:place])


def history(*times, prefix="e", is_cut=False):
    kept = tuple(Event("tea", second, f"{prefix}{second}") for second in times)
    return RECORD._replace(events=kept, is_cut=is_cut)


def test_events_that_follow_on_are_appended():
    new = Event("a", 9), Event("b", 9), Event("a", 9), Event("c", 12, "x")
    merged = merge(history(5, 9), new, 10)
    assert merged.events == (*history(5, 9).events, *new)
    assert merged.appended == new
    assert merged[3:] == (4, 0, 0)
    assert merge(None, new, 10) == (new, False, new, 4, 0, 0)


def test_a_known_id_changes_nothing_and_a_late_event_finds_its_place():
    repeat, late, same = Event("z", 99, "e5"), Event("late", 6, "n"), Event("same", 5)
    merged = merge(history(5, 9), (repeat, late, same, late), 10)
    assert [event.item for event in merged.events] == ["tea", "same", "late", "tea"]
    assert merged.appended is None
    assert merged[3:] == (2, 2, 0)
    nothing = merge(history(5, 9), (repeat,), 10)
    assert nothing == (history(5, 9).events, False, (), 0, 1, 0)


def test_what_is_older_than_all_is_dropped_only_if_older_ones_were():
    old, as_old, with_id = Event("old", 4), Event("as old", 5), Event("as old", 5, "n")
    assert merge(history(5, 9), (old,), 10).events[0] == old
    assert merge(history(5, 9), (with_id,), 10).added == 1
    # The id may be one of those that were left out; without an id, none can be.
    merged = merge(history(5, 9, is_cut=True), (old, as_old, with_id), 10)
    assert [event.item for event in merged.events] == ["tea", "as old", "tea"]
    assert merged[3:] == (1, 0, 2)


def test_above_the_most_the_older_half_goes():
    full = merge(history(*range(7)), (Event("a", 7),), 8)
    assert len(full.events) == 8 and not full.is_cut and full.appended
    over = merge(history(*range(8)), (Event("a", 8),), 8)
    assert [event.timestamp for event in over.events] == [5, 6, 7, 8]
    assert over.is_cut and over.appended is None
    assert len(merge(history(0), (Event("a", 8),), 1).events) == 1


def assert_nothing_counts_twice(requests, max_history):
    """After each request, whatever was sent so far adds nothing when it is sent again."""
    record, sent = None, set()
    for new in requests:
        merged = merge(record, new, max_history)
        record = RECORD._replace(events=merged.events, is_cut=merged.is_cut)
        sent |= {*new}
        assert [event for event in sent if merge(record, (event,), max_history).added] == []


def test_nine_events_of_one_second_of_which_the_older_half_goes_count_once():
    nine = tuple(Event("tea", 5, f"e{n}") for n in range(9))
    assert_nothing_counts_twice([nine], 8)
    assert_nothing_counts_twice([(event,) for event in nine], 8)


@settings(deadline=None, max_examples=200)
@given(
    seconds=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    draw=st.data(),
    max_history=st.integers(1, 6),
)
def test_an_id_counts_once_however_often_it_is_sent(seconds, draw, max_history):
    events = st.sampled_from([Event("tea", second, f"e{n}") for n, second in enumerate(seconds)])
    request = st.lists(events, min_size=1, max_size=8).map(tuple)
    assert_nothing_counts_twice(draw.draw(st.lists(request, max_size=12)), max_history)
