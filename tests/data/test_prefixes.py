import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data import prefixes
from hrec_tf.data.histories import Histories
from hrec_tf.data.prefixes import (
    batches_by_length,
    padded_stream,
    prefix_rows,
    prefix_stream,
    sequence_rows,
    sequence_stream,
)
from hrec_tf.schema import PADDED_LAYOUTS

# Events 0..2 and 3..4 are the first user's sessions, 5 the second user's, 6..9 the third's.
THREE_USERS = Histories.from_lists([[[1, 2, 3], [4, 5]], [[6]], [[7, 8, 9, 7]]])

users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=4),
    min_size=1,
    max_size=6,
)


def epoch(stream):
    return list(stream.as_numpy_iterator())


def as_lists(stream):
    """Each batch of one epoch: item ids, positions, next item ids and weights."""
    return [
        [values.tolist() for values in (*events.values(), next_item_ids, weights)]
        for events, next_item_ids, weights in epoch(stream)
    ]


def examples(batches):
    """What batches ask for: (items read, target, weight) of every target that counts."""
    found = []
    for events, next_item_ids, weights in batches:
        for row, target in zip(*np.nonzero(weights), strict=True):
            read = events["item_ids"][row, : events["positions"][row, target] + 1]
            item, weight = next_item_ids[row, target], weights[row, target]
            found.append((tuple(read.tolist()), int(item), float(weight)))
    return found


def weighted(histories, *weights):
    return replace(histories, target_weights=np.array(weights, np.float32))


def sessions_of_length(lengths):
    """One user for each session; the item ids say nothing."""
    return Histories.from_lists([[[1] * length] for length in lengths])


def test_prefixes_of_three_users():
    """models C.6: L - 1 examples of a session; the long ones come first, padded at the end."""
    stream = prefix_stream(THREE_USERS, batch_size=3, order="given")
    assert as_lists(stream) == [
        [
            [[7, 8, 9], [1, 2, 0], [7, 8, 0]],
            [[2], [1], [1]],
            [[7], [3], [9]],
            [[1], [1], [1]],
        ],
        [
            [[1], [4], [7]],
            [[0], [0], [0]],
            [[2], [5], [8]],
            [[1], [1], [1]],
        ],
    ]


def test_sequences_of_three_users():
    """The same targets, each session in one row; the last batch is filled up."""
    stream = sequence_stream(THREE_USERS, batch_size=2, order="given")
    assert as_lists(stream) == [
        [
            [[7, 8, 9], [1, 2, 0]],
            [[0, 1, 2], [0, 1, 2]],
            [[8, 9, 7], [2, 3, 0]],
            [[1, 1, 1], [1, 1, 0]],
        ],
        [
            [[4], [0]],
            [[0], [0]],
            [[5], [0]],
            [[1], [0]],
        ],
    ]


def test_types_and_names_are_those_that_models_read():
    for stream in (
        prefix_stream(THREE_USERS, batch_size=4),
        sequence_stream(THREE_USERS, batch_size=4),
    ):
        events, next_item_ids, weights = next(stream.as_numpy_iterator())
        assert {name: values.dtype.name for name, values in events.items()} == {
            "item_ids": "int32",
            "positions": "int32",
        }
        assert (next_item_ids.dtype, weights.dtype) == (np.int32, np.float32)


def test_a_batch_that_is_not_full_is_filled_up_with_weight_zero():
    stream = prefix_stream(THREE_USERS, batch_size=4, order="given")
    assert as_lists(stream)[1] == [
        [[4], [7], [0], [0]],
        [[0], [0], [0], [0]],
        [[5], [8], [0], [0]],
        [[1], [1], [0], [0]],
    ]


def test_max_length_keeps_the_latest_events():
    stream = prefix_stream(THREE_USERS, batch_size=6, order="given", max_length=2)
    item_ids, positions, next_item_ids, _ = as_lists(stream)[0]
    assert item_ids == [[1, 2], [7, 8], [8, 9], [1, 0], [4, 0], [7, 0]]
    assert positions == [[1], [1], [1], [0], [0], [0]]
    assert next_item_ids == [[3], [9], [7], [2], [5], [8]]


def test_without_augmentation_each_session_is_its_longest_prefix():
    stream = prefix_stream(THREE_USERS, batch_size=3, augment=False)
    assert sorted(examples(epoch(stream))) == [((1, 2), 3, 1), ((4,), 5, 1), ((7, 8, 9), 7, 1)]


def test_targets_of_weight_zero_are_no_examples_and_other_weights_are_kept():
    marked = weighted(THREE_USERS, 1, 0.5, 1, 1, 0, 1, 1, 2, 0, 3)
    kept = [((1,), 2, 0.5), ((1, 2), 3, 1), ((7,), 8, 2), ((7, 8, 9), 7, 3)]
    assert sorted(examples(epoch(prefix_stream(marked, batch_size=2)))) == kept
    assert sorted(examples(epoch(sequence_stream(marked, batch_size=2)))) == kept
    # The last prefix of session 3..4 does not count, and a shorter one is no longest.
    longest = prefix_stream(marked, batch_size=2, augment=False)
    assert sorted(examples(epoch(longest))) == [((1, 2), 3, 1), ((7, 8, 9), 7, 3)]


def test_a_sequence_ends_with_the_last_event_before_a_target():
    marked = weighted(THREE_USERS, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0)
    rows = sequence_rows(marked, np.flatnonzero(marked.target_weights))
    assert (rows.first.tolist(), rows.last.tolist()) == ([0, 6], [0, 7])
    item_ids, _, next_item_ids, weights = as_lists(sequence_stream(marked, batch_size=2))[0]
    assert sorted(item_ids) == [[1, 0], [7, 8]]
    assert sorted(next_item_ids) == [[2, 0], [8, 9]]
    assert sorted(weights) == [[0, 1], [1, 0]]


@pytest.mark.integration
@settings(deadline=None, max_examples=40)
@given(
    users=users_strategy,
    batch_size=st.integers(1, 5),
    layout=st.sampled_from(PADDED_LAYOUTS),
    order=st.sampled_from(prefixes.ORDERS),
    max_length=st.none() | st.integers(1, 4),
    augment=st.booleans(),
)
def test_an_epoch_holds_every_pair_of_prefix_and_target_exactly_once(
    users, batch_size, layout, order, max_length, augment
):
    histories = Histories.from_lists([*users, [[1, 2]]], num_items=9)
    options = {"max_length": max_length, "augment": augment} if layout == "prefixes" else {}
    expected = []
    for session in (session for user in [*users, [[1, 2]]] for session in user):
        for place in range(1, len(session)):
            if options.get("augment", True) or place == len(session) - 1:
                first = max(place - (options.get("max_length") or place), 0)
                expected.append((tuple(session[first:place]), session[place], 1.0))
    stream = padded_stream(histories, layout=layout, batch_size=batch_size, order=order, **options)
    batches = epoch(stream)
    assert sorted(examples(batches)) == sorted(expected)
    if options.get("augment", True):
        assert len(expected) == histories.num_events - histories.num_sessions
    for events, next_item_ids, weights in batches:
        num_targets = events["item_ids"].shape[1] if layout == "sequences" else 1
        assert events["positions"].shape == next_item_ids.shape == (batch_size, num_targets)
        # Padding stands behind the events of a row and nowhere else, and is as short as can be.
        lengths = (events["item_ids"] > 0).sum(axis=1)
        assert lengths.max() == events["item_ids"].shape[1]
        assert not (np.diff((events["item_ids"] > 0).astype(int), axis=1) > 0).any()
        assert ((next_item_ids > 0) >= (weights > 0)).all()


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=200),
    batch_size=st.integers(1, 7),
    seed=st.none() | st.integers(0, 3),
)
def test_batches_hold_each_row_once_and_are_full_but_for_one(lengths, batch_size, seed):
    lengths = np.array(lengths)
    rng = None if seed is None else np.random.default_rng(seed)
    batches = batches_by_length(lengths, batch_size=batch_size, rng=rng)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert sorted(map(len, batches))[1:] == [batch_size] * (len(batches) - 1)
    if rng is None:
        assert (np.diff(lengths[np.concatenate(batches)]) <= 0).all()


def test_rows_of_a_batch_are_of_like_lengths():
    lengths = np.random.default_rng(0).integers(1, 100, size=4000)
    by_chance = np.random.default_rng(1).permutation(4000).reshape(-1, 50)

    def padding(batches):
        cells = sum(len(batch) * lengths[batch].max() for batch in batches)
        return 1 - lengths.sum() / cells

    assert padding(by_chance) > 0.45
    for rng in (np.random.default_rng(0), None):
        assert padding(batches_by_length(lengths, batch_size=50, rng=rng)) < 0.06


def test_pools_are_drawn_anew_so_that_batches_are_not_always_the_same():
    lengths = np.repeat([1, 2], 80)
    first, second = (
        {frozenset(batch.tolist()) for batch in batches_by_length(lengths, batch_size=2, rng=rng)}
        for rng in map(np.random.default_rng, (0, 1))
    )
    assert len(first & second) < 10
    # Five pools of 32 rows: played as they are sorted, lengths would fall four times at most.
    batches = batches_by_length(lengths, batch_size=2, rng=np.random.default_rng(0))
    played = [lengths[batch].max() for batch in batches]
    assert (np.diff(played) < 0).sum() > 10


def test_each_iteration_is_the_next_epoch_and_follows_from_seed_and_number():
    histories = Histories.from_lists([[[item, item + 1]] for item in range(1, 40)])

    def first_items(stream):
        return [batch[0]["item_ids"][:, 0].tolist() for batch in epoch(stream)]

    stream = prefix_stream(histories, batch_size=4, seed=3)
    first, second = first_items(stream), first_items(stream)
    assert first != second
    assert first_items(prefix_stream(histories, batch_size=4, seed=3)) == first
    assert first_items(prefix_stream(histories, batch_size=4, seed=4)) != first
    unseeded, zero = (prefix_stream(histories, batch_size=4, seed=seed) for seed in (None, 0))
    assert first_items(unseeded) == first_items(zero)
    resumed = padded_stream(histories, layout="prefixes", batch_size=4, seed=3, first_epoch=1)
    assert first_items(resumed.skip(2)) == second[2:]
    # An epoch that is asked for, of a stream that stands at another one.
    assert first_items(stream.from_epoch(0)) == first
    assert first_items(stream.from_epoch(1)) == second
    assert (stream.from_epoch(1).first_epoch, stream.first_epoch) == (1, 0)
    assert stream.from_epoch(1).identity() == stream.identity()
    given = prefix_stream(histories, batch_size=4, order="given")
    assert first_items(given) == first_items(given)


def test_a_stream_says_what_a_model_and_a_resumed_training_ask():
    stream = prefix_stream(THREE_USERS, batch_size=2, seed=1, max_length=3, augment=False)
    assert (stream.layout, stream.max_length) == ("prefixes", 3)
    assert stream.from_epoch(2).max_length == 3
    assert stream.identity() == {
        "layout": "prefixes",
        "batch_size": 2,
        "order": "random",
        "seed": 1,
        "augment": False,
        "max_length": 3,
        "data": THREE_USERS.fingerprint,
    }
    assert sequence_stream(THREE_USERS, batch_size=2).layout == "sequences"
    assert sequence_stream(THREE_USERS, batch_size=2).max_length is None


def test_rows_are_pairs_of_indices_and_one_batch_is_laid_out_at_a_time():
    # 4 000 prefixes of 2 000 events on average: 32 MB of item ids, if all were laid out.
    histories = sessions_of_length([4001])
    rows = prefix_rows(histories, np.arange(1, 4001))
    assert rows.first.nbytes + rows.last.nbytes == 4000 * 2 * 8
    tracemalloc.start()
    try:
        stream = prefix_stream(histories, batch_size=8)
        next(stream.as_numpy_iterator())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "prefix"}, "`layout` was 'prefix', .* Did you mean 'prefixes'"),
        ({"batch_size": 0}, "`batch_size` must be a positive int, but was 0. Pass e.g. 512"),
        ({"order": "time"}, "`order` was 'time', but must be one of 'random', 'given'"),
        ({"seed": -1}, "`seed` must be an int of at least 0, but was -1. Pass e.g. seed=0"),
        (
            {"seed": 3, "order": "given"},
            "`seed` was 3 with order='given', where nothing is drawn. Leave it out",
        ),
        ({"first_epoch": 0.5}, "`first_epoch` must be an int of at least 0, but was 0.5. Pass the"),
        ({"max_length": 0}, "`max_length` must be a positive int, but was 0. Leave it out"),
        (
            {"layout": "sequences", "max_length": 5},
            "`max_length` was set for a 'sequences' stream, .* would be ignored. Leave it out",
        ),
        (
            {"layout": "sequences", "augment": False},
            "`augment` was set for a 'sequences' stream, .* or use `prefix_stream`",
        ),
    ],
)
def test_bad_stream_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        padded_stream(THREE_USERS, **({"layout": "prefixes", "batch_size": 2} | arguments))


@pytest.mark.parametrize(
    "histories",
    [Histories.from_lists([[[1], [2]]]), weighted(Histories.from_lists([[[1, 2]]]), 1, 0)],
)
def test_histories_without_a_target_are_refused(histories):
    message = "holds 2 events but no target with an event before it.*Check how sessions were cut"
    with pytest.raises(ValueError, match=message):
        prefix_stream(histories, batch_size=1)
