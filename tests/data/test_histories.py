from dataclasses import replace

import numpy as np
import pytest

from hrec_tf.data.histories import Histories


def make(**changes):
    arguments = {
        "item_ids": np.array([1, 2, 3, 1], np.int32),
        "timestamps": np.arange(4),
        "session_offsets": np.array([0, 2, 4]),
        "user_offsets": np.array([0, 4]),
        "num_items": 3,
    }
    return Histories(**(arguments | changes))


def test_lists_become_flat_arrays():
    histories = Histories.from_lists([[[1, 2, 3], [4, 5]], [[1, 2]]])
    assert histories.item_ids.tolist() == [1, 2, 3, 4, 5, 1, 2]
    assert histories.session_offsets.tolist() == [0, 3, 5, 7]
    assert histories.user_offsets.tolist() == [0, 5, 7]
    assert (histories.num_users, histories.num_sessions, histories.num_pairs) == (2, 3, 4)
    assert histories.session_of_event().tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert histories.user_of_event().tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert histories.item_supports().tolist() == [2, 2, 1, 1, 1]


def test_select_drops_rows_left_without_events():
    histories = Histories.from_lists([[[1, 2], [3]], [[4]], [[5, 6]]])
    kept = histories.select(np.array([True, False, True, False, True, True]))
    assert kept.item_ids.tolist() == [1, 3, 5, 6]
    assert kept.session_offsets.tolist() == [0, 1, 2, 4]
    assert kept.user_offsets.tolist() == [0, 2, 4]
    assert kept.timestamps.tolist() == [0, 2, 4, 5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_items": 2}, r"`item_ids` holds 3 \(event 2\), but this vocabulary knows ids 1..2"),
        ({"item_ids": np.array([1, 0, 3, 1])}, r"holds 0 \(event 1\)"),
        ({"item_ids": np.array([1, -4, 3, 1])}, r"holds -4 \(event 1\)"),
        ({"session_offsets": np.array([0, 2, 2, 4])}, "must rise, but row 1 goes from 2 to 2"),
        ({"session_offsets": np.array([0, 2])}, "must run from 0 to 4"),
        ({"user_offsets": np.array([0, 3, 4])}, r"holds 3 \(row 1\), which is not the first"),
        ({"timestamps": np.arange(3)}, "`timestamps` has 3 values, but `item_ids` has 4"),
        ({"num_items": 0}, "`num_items` must be a positive int, but was 0"),
        (
            {"target_weights": np.array([0, 1, np.nan, 1])},
            r"`target_weights` holds nan \(event 2\), but weights are finite .* Pass 0 for events",
        ),
        ({"target_weights": np.array([0, -1, 0, 1])}, r"`target_weights` holds -1 \(event 1\)"),
    ],
)
def test_histories_that_do_not_fit_are_refused(changes, message):
    """pitfalls 4: negative ids, ids that are not known, values that are not finite."""
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_users_keep_their_numbers_when_others_vanish():
    histories = Histories.from_lists([[[1, 2], [3]], [[4]], [[5, 6]]])
    numbered = replace(histories, user_ids=np.array([7, 2, 0]))
    kept = numbered.select(np.array([True, False, True, False, True, True]))
    assert kept.user_ids.tolist() == [7, 0]


@pytest.mark.parametrize(
    ("user_ids", "error", "message"),
    [
        (np.arange(4), TypeError, r"shape \(4,\) .* one for each of 3 users.*Pass 0 for unknown"),
        (np.array(list("abc")), TypeError, "must be whole numbers"),
        (np.array([2, 0, 2]), ValueError, "below 0 or one twice.*Number the users"),
        (np.array([2, 0, -1]), ValueError, "below 0 or one twice"),
    ],
)
def test_user_ids_are_whole_numbers_each_once(user_ids, error, message):
    histories = Histories.from_lists([[[1, 2], [3]], [[4]], [[5, 6]]])
    with pytest.raises(error, match=message):
        replace(histories, user_ids=user_ids)
    replace(histories, user_ids=np.array([0, 0, 1]))  # several unknown users


@pytest.mark.parametrize(
    "item_ids", [np.array([1.0, np.nan, 3.0, 1.0]), np.array(list("1231")), np.ones((4, 1), int)]
)
def test_item_ids_are_flat_whole_numbers(item_ids):
    """pitfalls 4: float and text ids, a wrong rank."""
    with pytest.raises(TypeError, match=r"`item_ids` has shape .* Encode raw ids with `Vocab"):
        make(item_ids=item_ids)


def test_lists_without_an_event_are_refused():
    """pitfalls 4: an empty log."""
    with pytest.raises(ValueError, match=r"`users` holds no event to tell `num_items` by\. Pass"):
        Histories.from_lists([])
    with pytest.raises(ValueError, match="`user_offsets` must rise, but row 1 goes from 1 to 1"):
        Histories.from_lists([[[1]], []])


def test_fingerprint_changes_with_any_array():
    """Equal histories have one fingerprint; whatever differs in them shows in it."""
    same, first = make(), make()
    assert first.fingerprint == same.fingerprint and len(first.fingerprint) == 64
    others = [
        make(item_ids=first.item_ids[::-1].copy()),
        make(timestamps=first.timestamps + 1),
        make(num_items=9),
        make(target_weights=np.array([0, 1, 1, 1], np.float32)),
        make(user_ids=np.arange(first.num_users)),
        make(user_ids=np.arange(1, 1 + first.num_users)),
        Histories.from_lists([[[1, 2]]], num_items=2),
        Histories.from_lists([[[1], [2]]], num_items=2),
        Histories.from_lists([[[1]], [[2]]], num_items=2),
    ]
    assert len({histories.fingerprint for histories in [first, *others]}) == 10


def test_repr_is_one_line_whatever_the_size():
    histories = Histories.from_lists([[[1, 2], [3]], [[2]]], num_items=5)
    assert repr(histories) == "Histories(num_users=2, num_sessions=3, num_events=4, num_items=5)"
