"""Every step of an aligned stream against a loop over users and events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data.aligned import (
    LONGEST_GAP,
    aligned_stream,
    cut_evenly,
    lay_out_aligned,
    steps_of,
    whole_users,
)
from hrec_tf.data.histories import Histories, offsets_of

USERS = [[[1, 2], [3]], [[4]], [[5], [6, 7, 8]], [[9, 1]]]


def histories_of(users, **more):
    plain = Histories.from_lists(users)
    gaps = np.where(plain.session_starts, 4000, 7) + plain.item_ids
    return Histories(
        item_ids=plain.item_ids,
        timestamps=np.cumsum(gaps),
        session_offsets=plain.session_offsets,
        user_offsets=plain.user_offsets,
        num_items=plain.num_items,
        **more,
    )


def expected_steps(histories, first_events):
    """What a model is told, user by user in their own order; slow on purpose."""
    starts = set(histories.session_offsets.tolist())
    for user, (begin, end) in enumerate(
        zip(histories.user_offsets, histories.user_offsets[1:], strict=False)
    ):
        for target in range(begin, end):
            reads = target > begin
            if not (reads or first_events):
                continue
            event = target - 1 if reads else target
            yield {
                "item_ids": histories.item_ids[event] if reads else 0,
                "is_step": True,
                "user_start": target == begin + (not first_events),
                "session_start": event in starts,
                "next_gap": histories.timestamps[target] - histories.timestamps[event],
                "next_session_start": target in starts,
                "next_item": histories.item_ids[target],
                "user": user,
            }


def read_steps(stream):
    """The steps of an epoch in the order of the lanes, as the loop above has them."""
    windows = list(stream.as_numpy_iterator())
    events = {name: np.concatenate([w[0][name] for w in windows], axis=1) for name in windows[0][0]}
    next_ids = np.concatenate([w[1] for w in windows], axis=1)
    weights = np.concatenate([w[2] for w in windows], axis=1)
    is_step = events["is_step"]
    np.testing.assert_array_equal(weights > 0, is_step)
    found = []
    for lane, step in zip(*np.nonzero(is_step), strict=True):
        here = {name: values[lane, step] for name, values in events.items()}
        found.append(here | {"next_item": next_ids[lane, step]})
    return found


def assert_equal_steps(found, expected):
    expected = list(expected)
    assert len(found) == len(expected)
    for mine, other in zip(found, expected, strict=True):
        assert {name: mine[name] for name in other if name != "user"} == {
            name: value for name, value in other.items() if name != "user"
        }


@pytest.mark.parametrize("first_events", [False, True])
@pytest.mark.parametrize(("num_lanes", "steps"), [(1, 3), (2, 4), (5, 2), (40, 1)])
def test_every_step_stands_there_once_in_the_order_of_the_users(first_events, num_lanes, steps):
    """D-T7, D-T9: no target is of another user, and rows are pieces of one stream."""
    histories = histories_of(USERS)
    stream = aligned_stream(
        histories, num_lanes=num_lanes, steps=steps, order="given", first_events=first_events
    )
    assert_equal_steps(read_steps(stream), expected_steps(histories, first_events))


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(1, 5),
)
def test_for_any_histories(sizes, num_lanes, steps):
    item = iter(range(1, 99))
    users = [[[next(item) for _ in range(size)] for size in user] for user in sizes]
    histories = histories_of(users)
    stream = aligned_stream(
        histories, num_lanes=num_lanes, steps=steps, order="given", first_events=True
    )
    assert_equal_steps(read_steps(stream), expected_steps(histories, True))


def test_rows_are_even():
    grid = cut_evenly(10, num_lanes=3, steps=3)
    assert np.bincount(grid.lane).tolist() == [4, 4, 2]
    assert (grid.num_lanes, grid.num_steps) == (3, 6)


def test_users_that_must_not_be_cut_are_not():
    histories = histories_of(USERS)
    targets = steps_of(histories, order=np.array([2, 0, 3, 1]), first_events=True)
    grid = whole_users(histories, targets, num_lanes=2, steps=3)
    users = np.searchsorted(histories.user_offsets, targets, side="right") - 1
    for user in range(4):
        of_user = users == user
        assert len(set(grid.lane[of_user])) == 1
        np.testing.assert_array_equal(np.diff(grid.step[of_user]), 1)
    assert len({*zip(grid.lane, grid.step, strict=True)}) == len(targets) == histories.num_events
    assert grid.num_steps % 3 == 0


def test_features_go_with_their_events_and_users():
    plain = histories_of(USERS)
    draw = np.random.default_rng(0)
    feedback = draw.normal(size=(plain.num_events, 2)).astype(np.float32)
    of_users = draw.normal(size=(plain.num_users, 3)).astype(np.float32)
    histories = histories_of(USERS, feedback=feedback, user_features=of_users)
    stream = aligned_stream(histories, num_lanes=2, steps=3, order="given", first_events=True)
    for found, expected in zip(read_steps(stream), expected_steps(histories, True), strict=True):
        event = np.flatnonzero(histories.item_ids == found["next_item"])
        np.testing.assert_array_equal(found["user_features"], of_users[expected["user"]])
        if found["item_ids"] == 0:
            np.testing.assert_array_equal(found["feedback"], [0, 0])
        else:
            assert any(np.array_equal(found["feedback"], feedback[e - 1]) for e in event)


def test_each_epoch_has_an_order_of_its_own_that_its_number_fixes():
    histories = histories_of([[[user + 1, 20 + user]] for user in range(12)])
    arguments = {"num_lanes": 1, "steps": 4, "seed": 3}
    stream = aligned_stream(histories, **arguments)
    first, second = ([s["item_ids"] for s in read_steps(stream)] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(1, 13))
    assert first != second
    assert [s["item_ids"] for s in read_steps(stream.from_epoch(1))] == second
    assert stream.identity() == stream.from_epoch(1).identity()


def test_by_time_users_come_as_they_began():
    histories = histories_of([[[1, 2]], [[3, 4]]])
    later = Histories(
        item_ids=histories.item_ids,
        timestamps=np.array([100, 101, 5, 6]),
        session_offsets=histories.session_offsets,
        user_offsets=histories.user_offsets,
        num_items=4,
    )
    stream = aligned_stream(later, num_lanes=1, steps=2, order="time")
    assert [step["item_ids"] for step in read_steps(stream)] == [3, 1]


def test_targets_of_weight_zero_are_played_and_not_measured():
    histories = Histories(
        item_ids=np.array([1, 2, 3], np.int32),
        timestamps=np.arange(3),
        session_offsets=offsets_of([3]),
        user_offsets=offsets_of([3]),
        num_items=3,
        target_weights=np.array([0, 0, 1], np.float32),
    )
    (window,) = aligned_stream(histories, num_lanes=1, steps=2, order="given").as_numpy_iterator()
    assert window[2].tolist() == [[0, 1]]
    assert window[0]["is_step"].tolist() == [[True, True]]


def test_gaps_beyond_32_bits_are_cut_off():
    histories = Histories(
        item_ids=np.array([1, 2], np.int32),
        timestamps=np.array([0, 2**40]),
        session_offsets=offsets_of([2]),
        user_offsets=offsets_of([2]),
        num_items=2,
    )
    targets = steps_of(histories, order=np.arange(1), first_events=False)
    grid = cut_evenly(1, num_lanes=1, steps=1)
    events, _, _ = lay_out_aligned(histories, targets, grid, steps=1)
    assert events["next_gap"].tolist() == [[[LONGEST_GAP]]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_lanes": 0}, "`num_lanes`"),
        ({"num_lanes": 1, "steps": 0}, "`steps`"),
        ({"num_lanes": 1, "order": "tiem"}, "Did you mean 'time'?"),
        ({"num_lanes": 1, "order": "given", "seed": 1}, "nothing is drawn"),
        ({"num_lanes": 1, "first_epoch": -1}, "`first_epoch`"),
        ({"num_lanes": 1, "seed": -1}, "`seed`"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=r".") as error:
        aligned_stream(histories_of(USERS), **arguments)
    assert message in str(error.value)


def test_histories_without_a_step_are_refused():
    lonely = histories_of([[[1]], [[2]]])
    with pytest.raises(ValueError, match="none has a next one"):
        aligned_stream(lonely, num_lanes=1)
    assert len(read_steps(aligned_stream(lonely, num_lanes=1, first_events=True))) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"feedback": np.zeros((3, 1), np.float32)}, "one row for each of 10 events"),
        ({"user_features": np.zeros(4, np.float32)}, "one row for each of 4 users"),
        ({"user_features": np.array([[0.0], [np.nan], [0], [0]])}, r"user 1"),
    ],
)
def test_features_of_another_shape_are_refused(more, message):
    with pytest.raises(ValueError, match=message):
        histories_of(USERS, **more)


def test_features_are_selected_with_their_rows_and_change_the_fingerprint():
    of_users = np.arange(4, dtype=np.float32)[:, None]
    feedback = np.arange(10, dtype=np.float32)[:, None]
    histories = histories_of(USERS, feedback=feedback, user_features=of_users)
    kept = histories.item_ids >= 5
    part = histories.select(kept)
    np.testing.assert_array_equal(part.feedback, feedback[kept])
    assert part.user_features.ravel().tolist() == [2, 3]
    prints = {
        histories_of(USERS, **more).fingerprint
        for more in (
            {},
            {"feedback": feedback},
            {"feedback": feedback + 1},
            {"user_features": of_users},
        )
    }
    assert len(prints) == 4
