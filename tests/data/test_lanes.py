import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import (
    concatenated_stream,
    first_free_lane,
    lane_stream,
    lay_out,
    offsets_of_units,
    order_of_units,
    pack_lanes,
    session_parallel_stream,
    user_parallel_stream,
)
from hrec_tf.schema import LANE_LAYOUTS

users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=4),
    min_size=1,
    max_size=7,
)


def stream_columns(stream):
    """The stream's windows joined along time, as lists of lists: one list a lane."""
    windows = list(stream.as_numpy_iterator())
    events = {
        name: np.concatenate([window[0][name] for window in windows], axis=1)
        for name in windows[0][0]
    }
    next_item_ids = np.concatenate([window[1] for window in windows], axis=1)
    weights = np.concatenate([window[2] for window in windows], axis=1)
    return events, next_item_ids, weights


def test_three_users_in_two_lanes():
    """B-T4: three users with 2, 1 and 3 sessions; the whole output, written out."""
    histories = Histories.from_lists(
        [[[1, 2, 3], [4, 5]], [[6, 7]], [[8, 9, 10], [11, 12], [13, 14]]]
    )
    events, next_item_ids, weights = stream_columns(
        user_parallel_stream(histories, num_lanes=2, steps=1, order="given")
    )
    # Lane 1 is free after one pair, so the third user enters there.
    assert events["item_ids"].tolist() == [[1, 2, 4, 0, 0], [6, 8, 9, 11, 13]]
    assert next_item_ids.tolist() == [[2, 3, 5, 0, 0], [7, 9, 10, 12, 14]]
    assert events["session_start"].astype(int).tolist() == [[1, 0, 1, 1, 1], [1, 1, 0, 1, 1]]
    assert events["user_start"].astype(int).tolist() == [[1, 0, 0, 1, 1], [1, 1, 0, 0, 0]]
    assert weights.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert weights.sum() == histories.num_pairs == 14 - 6


def test_three_sessions_in_two_lanes():
    """A-T1: the pointer algorithm's (in, out, reset) triples for B=2 and three sessions."""
    histories = Histories.from_lists([[[1, 2, 3]], [[4, 5]], [[6, 7, 8]]])
    events, next_item_ids, _ = stream_columns(
        session_parallel_stream(histories, num_lanes=2, order="given")
    )
    triples = np.stack([events["item_ids"], next_item_ids, events["session_start"]], axis=-1)
    assert triples.tolist() == [
        [[1, 2, 1], [2, 3, 0], [0, 0, 1]],
        [[4, 5, 1], [6, 7, 1], [7, 8, 0]],
    ]
    np.testing.assert_array_equal(events["user_start"], events["session_start"])


def test_concatenated_sessions_are_one_sequence():
    histories = Histories.from_lists([[[1, 2], [3], [4, 5]], [[6, 7]]])
    events, next_item_ids, weights = stream_columns(
        concatenated_stream(histories, num_lanes=1, steps=3, order="given")
    )
    assert events["item_ids"].tolist() == [[1, 2, 3, 4, 6, 0]]
    assert next_item_ids.tolist() == [[2, 3, 4, 5, 7, 0]]
    assert events["session_start"].astype(int).tolist() == [[1, 0, 1, 1, 1, 1]]
    assert events["user_start"].astype(int).tolist() == [[1, 0, 0, 0, 1, 1]]
    assert weights.tolist() == [[1, 1, 1, 1, 1, 0]]


def test_feeding_the_last_item_adds_one_event_of_weight_zero():
    histories = Histories.from_lists([[[1, 2], [3]], [[4, 5]]])
    events, next_item_ids, weights = stream_columns(
        user_parallel_stream(histories, num_lanes=1, order="given", feed_last_item=True)
    )
    assert events["item_ids"].tolist() == [[1, 2, 3, 4, 5]]
    assert next_item_ids.tolist() == [[2, 0, 0, 5, 0]]
    assert weights.tolist() == [[1, 0, 0, 1, 0]]
    assert events["session_start"].astype(int).tolist() == [[1, 0, 1, 1, 0]]
    assert events["user_start"].astype(int).tolist() == [[1, 0, 0, 1, 0]]


def test_a_user_whose_first_session_is_too_short_still_starts():
    histories = Histories.from_lists([[[1, 2]], [[3], [4, 5]]])
    events, _, _ = stream_columns(user_parallel_stream(histories, num_lanes=1, order="given"))
    assert events["item_ids"].tolist() == [[1, 4]]
    assert events["user_start"].tolist() == [[True, True]]


@settings(deadline=None, max_examples=60)
@given(
    users=users_strategy,
    num_lanes=st.integers(1, 5),
    steps=st.integers(1, 4),
    layout=st.sampled_from(LANE_LAYOUTS),
    seed=st.integers(0, 3),
)
def test_every_pair_stands_in_the_grid_exactly_once(users, num_lanes, steps, layout, seed):
    """Pitfall 1.3: no lane's tail is lost, however lanes run out of units."""
    histories = Histories.from_lists(users)
    order = order_of_units(histories, layout=layout, order="random", seed=seed, epoch=0)
    lanes = pack_lanes(histories, layout=layout, num_lanes=num_lanes, steps=steps, order=order)
    expected = []
    for user in users:
        parts = [[*itertools.chain(*user)]] if layout == "concatenated" else user
        expected += [pair for part in parts for pair in itertools.pairwise(part)]
    events, next_item_ids, weights, fed = lay_out(histories, lanes, layout=layout, steps=steps)
    real = weights > 0
    pairs = zip(events["item_ids"][real].tolist(), next_item_ids[real].tolist(), strict=True)
    assert sorted(pairs) == sorted(expected)
    assert real.sum() == len(expected)
    np.testing.assert_array_equal(fed >= 0, real)
    np.testing.assert_array_equal(histories.item_ids[fed[real]], events["item_ids"][real])
    assert lanes.fill == pytest.approx(real.mean())
    # A part of the windows is what it is in all of them.
    first, last = len(fed) // 3, len(fed) // 3 + 1
    part = lay_out(histories, lanes, layout=layout, steps=steps, first=first, last=last)
    np.testing.assert_array_equal(part[3], fed[first:last])
    np.testing.assert_array_equal(part[0]["user_start"], events["user_start"][first:last])
    # A lane begins with a new user, so no state needs a reset between epochs.
    assert events["user_start"][0, :, 0].all()


@settings(deadline=None, max_examples=30)
@given(users=users_strategy, num_lanes=st.integers(1, 4))
def test_a_lane_plays_each_user_in_order_without_gaps(users, num_lanes):
    histories = Histories.from_lists(users)
    lanes = pack_lanes(histories, layout="user_parallel", num_lanes=num_lanes, steps=1)
    fed, begins = lanes.events(0, lanes.num_steps)
    users = histories.user_of_event()
    assert len(fed[fed >= 0]) == histories.num_pairs
    for number in np.unique(users[fed[fed >= 0]]):
        lane, step = np.nonzero((fed >= 0) & (users[fed] == number))
        assert len(set(lane.tolist())) == 1
        assert np.diff(step).tolist() == [1] * (len(step) - 1)
        assert np.diff(fed[lane[0], step]).min(initial=1) > 0
        assert begins[lane, step].tolist() == [True] + [False] * (len(step) - 1)


def test_the_lane_that_is_free_first_takes_the_next_unit():
    lane, offset = first_free_lane(np.array([3, 1, 0, 1, 2, 2]), num_lanes=2)
    # Lane 1 is free after 1 and again after 2; at step 3 lane 0 is free first.
    assert lane[[0, 1, 3, 4, 5]].tolist() == [0, 1, 1, 1, 0]
    assert offset[[0, 1, 3, 4, 5]].tolist() == [0, 0, 1, 2, 3]


def test_each_iteration_is_the_next_epoch_and_follows_from_seed_and_number():
    histories = Histories.from_lists([[[item, item + 1]] for item in range(1, 40)])

    def first_items(stream):
        return [window[0]["item_ids"][:, 0].tolist() for window in stream.as_numpy_iterator()]

    stream = user_parallel_stream(histories, num_lanes=4, seed=3)
    first, second = first_items(stream), first_items(stream)
    assert first != second
    again = user_parallel_stream(histories, num_lanes=4, seed=3)
    assert first_items(again) == first
    resumed = lane_stream(histories, layout="user_parallel", num_lanes=4, seed=3, first_epoch=1)
    assert first_items(resumed.skip(2)) == second[2:]
    # An epoch that is asked for, of a stream that stands at another one.
    assert first_items(again.from_epoch(0)) == first
    assert first_items(again.from_epoch(1)) == second == first_items(again)
    assert (again.from_epoch(1).first_epoch, again.first_epoch) == (1, 0)
    assert again.from_epoch(1).identity() == again.identity()
    assert first_items(user_parallel_stream(histories, num_lanes=4, seed=4)) != first


def test_targets_that_only_bootstrap_have_weight_zero():
    histories = Histories.from_lists([[[1, 2], [3, 4]]])
    marked = Histories(
        histories.item_ids,
        histories.timestamps,
        histories.session_offsets,
        histories.user_offsets,
        histories.num_items,
        target_weights=np.array([0, 0, 0, 1], np.float32),
    )
    _, _, weights = stream_columns(user_parallel_stream(marked, num_lanes=1, order="given"))
    assert weights.tolist() == [[0, 1]]


def test_fewer_sessions_than_lanes_leaves_idle_lanes():
    """Pitfall 1.12."""
    histories = Histories.from_lists([[[1, 2, 3]]])
    _, _, weights = stream_columns(session_parallel_stream(histories, num_lanes=3))
    assert weights.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_windows_in_chunks_are_the_windows_one_by_one():
    histories = Histories.from_lists([[[item, item + 1, item + 2]] for item in range(1, 40)])
    stream = user_parallel_stream(histories, num_lanes=4, steps=2, seed=3)
    epochs = [list(stream.as_numpy_iterator()) for _ in range(2)]
    again = stream.from_epoch(0)
    for windows in epochs:
        chunks = list(again.in_chunks(3))
        assert [len(chunk[2]) for chunk in chunks[:-1]] == [3] * (len(chunks) - 1)
        for name in windows[0][0]:
            joined = np.concatenate([chunk[0][name] for chunk in chunks])
            np.testing.assert_array_equal(joined, np.stack([w[0][name] for w in windows]))
        for part in (1, 2):
            joined = np.concatenate([chunk[part] for chunk in chunks])
            np.testing.assert_array_equal(joined, np.stack([w[part] for w in windows]))


def test_histories_without_a_pair_are_refused():
    histories = Histories.from_lists([[[1], [2]]])
    with pytest.raises(ValueError, match="holds 2 events but no next-item pair"):
        user_parallel_stream(histories, num_lanes=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_lanes": 0}, "`num_lanes` must be a positive int, but was 0"),
        ({"num_lanes": 2, "steps": 1.5}, "`steps` must be a positive int, but was 1.5"),
        (
            {"num_lanes": 2, "layout": "user-parallel"},
            "Did you mean 'user_parallel'",
        ),
        (
            {"num_lanes": 2, "layout": "session_parallel", "feed_last_item": True},
            "only 'user_parallel' carries",
        ),
        ({"num_lanes": 2, "order": "shuffled"}, "`order` was 'shuffled', but must be one of"),
        ({"num_lanes": 2, "seed": -1}, "`seed` must be an int of at least 0, but was -1"),
        ({"num_lanes": 2, "first_epoch": 0.5}, "`first_epoch` must be an int of at least 0"),
    ],
)
def test_bad_stream_arguments(arguments, message):
    histories = Histories.from_lists([[[1, 2]]])
    with pytest.raises(ValueError, match=message):
        lane_stream(histories, **({"layout": "user_parallel", "feed_last_item": True} | arguments))


def test_sessions_are_played_by_the_time_of_their_first_event():
    """Pitfall 1.15: the histories' own order is by user, not by time."""
    histories = Histories.from_lists([[[1, 2], [3, 4]], [[5, 6]]])
    late_first_user = Histories(
        histories.item_ids,
        np.array([10, 11, 30, 31, 20, 21]),
        histories.session_offsets,
        histories.user_offsets,
        histories.num_items,
    )
    events, _, _ = stream_columns(session_parallel_stream(late_first_user, num_lanes=1))
    assert events["item_ids"].tolist() == [[1, 5, 3]]


def test_the_reference_tail_ends_the_epoch_with_the_first_free_lane():
    """docs/equations.md B.4: the authors' epoch; pairs after it are lost on purpose."""
    histories = Histories.from_lists([[[1, 2, 3, 4, 5, 6]], [[7, 8, 9]], [[10, 11]]])
    events, next_item_ids, _ = stream_columns(
        user_parallel_stream(histories, num_lanes=2, order="given", reference_tail=True)
    )
    # Lane 1 plays two users, three pairs; lane 0 would go on for two more.
    assert events["item_ids"].tolist() == [[1, 2, 3], [7, 8, 10]]
    assert next_item_ids.tolist() == [[2, 3, 4], [8, 9, 11]]


def test_a_long_user_is_played_in_parts_of_whole_sessions():
    histories = Histories.from_lists([[[1, 2, 3], [4, 5], [6, 7], [8, 9, 10, 11]], [[12, 13]]])
    events, next_item_ids, weights = stream_columns(
        user_parallel_stream(histories, num_lanes=3, order="given", max_events=5)
    )
    # The first two sessions fill a part, the next would not fit beside the last.
    assert events["item_ids"].tolist() == [[1, 2, 4], [6, 12, 0], [8, 9, 10]]
    assert events["user_start"].astype(int).tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 0]]
    assert next_item_ids.tolist() == [[2, 3, 5], [7, 13, 0], [9, 10, 11]]
    assert weights.sum() == histories.num_pairs


def test_a_session_longer_than_a_part_stays_whole():
    histories = Histories.from_lists([[[1, 2], [3, 4, 5, 6, 7], [8, 9]]])
    offsets = offsets_of_units(histories, "user_parallel", max_events=2)
    assert offsets.tolist() == [0, 2, 7, 9]


def test_pairs_between_the_parts_of_one_sequence_are_played():
    histories = Histories.from_lists([[[1, 2], [3, 4], [5, 6]]])
    events, next_item_ids, weights = stream_columns(
        concatenated_stream(histories, num_lanes=3, order="given", max_events=2)
    )
    assert events["item_ids"].tolist() == [[1, 2], [3, 4], [5, 0]]
    assert next_item_ids.tolist() == [[2, 3], [4, 5], [6, 0]]
    assert weights.sum() == 5


@given(users_strategy, st.integers(1, 12))
def test_parts_are_as_many_whole_sessions_as_fit(users, max_events):
    histories = Histories.from_lists(users)
    found = offsets_of_units(histories, "user_parallel", max_events=max_events)
    expected, held = [0], 0
    for user in users:
        for session in user:
            if held and held + len(session) > max_events:
                expected.append(expected[-1] + held)
                held = 0
            held += len(session)
        expected.append(expected[-1] + held)
        held = 0
    assert found.tolist() == expected
    whole = offsets_of_units(histories, "user_parallel", max_events=histories.num_events)
    np.testing.assert_array_equal(whole, histories.user_offsets)


def test_parts_of_sessions_are_refused():
    histories = Histories.from_lists([[[1, 2]]])
    with pytest.raises(ValueError, match="`max_events` was 9 with layout 'session_parallel'"):
        lane_stream(histories, layout="session_parallel", num_lanes=1, max_events=9)
    with pytest.raises(ValueError, match="`max_events` must be a positive int, but was 0"):
        user_parallel_stream(histories, num_lanes=1, max_events=0)


def test_a_seed_without_a_draw_is_refused():
    histories = Histories.from_lists([[[1, 2]]])
    with pytest.raises(ValueError, match="`seed` was 3 with order='time', where nothing is drawn"):
        session_parallel_stream(histories, num_lanes=1, seed=3)
