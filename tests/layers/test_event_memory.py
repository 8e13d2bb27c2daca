import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import EventMemory

LANES, STEPS, SIZE = 40, 6, 3


def remember(memory, item_ids, session_start, user_start, states=None):
    """Returns items and f after every step, and states."""
    item_ids = tf.constant(item_ids)
    states = memory.initial_states(item_ids.shape[0]) if states is None else states
    starts = (tf.constant(np.array(flag, bool)) for flag in (session_start, user_start))
    columns, states = memory(item_ids, *starts, states)
    return *memory.read(columns), states


def by_loop(item_ids, session_start, user_start):
    """Items and f after every event, event by event, in lists; None after padding."""
    found = []
    for lane in zip(item_ids, session_start, user_start, strict=True):
        events, after = [], []
        for item, starts, is_new in zip(*lane, strict=True):
            if item == 0:
                after.append(None)
                continue
            if is_new:
                events = []
            elif starts:
                events = [(other, 0.0) for other, _ in events]
            events = [(item, 1.0), *events][:SIZE]
            after.append(events + [(0, 0.0)] * (SIZE - len(events)))
        found.append(after)
    return found


def test_a_user_of_two_sessions_and_the_next_user():
    item_ids, in_session, _ = remember(
        EventMemory(9, 3),
        [[4, 7, 0, 7, 5, 2]],
        [[1, 0, 0, 1, 0, 1]],
        [[1, 0, 0, 0, 0, 1]],
    )
    assert item_ids.numpy()[0].tolist() == [
        [4, 0, 0],
        [7, 4, 0],
        [7, 4, 0],  # padding has what was last
        [7, 7, 4],
        [5, 7, 7],
        [2, 0, 0],
    ]
    assert in_session.numpy()[0, [1, 3, 4, 5]].tolist() == [
        [1, 1, 0],
        [1, 0, 0],
        [1, 1, 0],
        [1, 0, 0],
    ]


def test_it_is_the_loop_over_events_and_may_be_cut_anywhere():
    memory, draw = EventMemory(9, SIZE), np.random.default_rng(0)
    item_ids = draw.integers(0, 10, (LANES, STEPS)) * (draw.random((LANES, STEPS)) < 0.8)
    user_start = draw.random((LANES, STEPS)) < 0.2
    rows = [item_ids, user_start | (draw.random((LANES, STEPS)) < 0.3), user_start]
    whole = remember(memory, *rows)
    for cut in (1, 4):
        *head, states = remember(memory, *(values[:, :cut] for values in rows))
        *tail, states = remember(memory, *(values[:, cut:] for values in rows), states)
        parts = [np.concatenate(both, axis=1) for both in zip(head, tail, strict=True)]
        for lane, after in enumerate(by_loop(*rows)):
            for step, events in enumerate(after):
                if events is not None:
                    for item_ids, in_session in (whole[:2], parts):
                        read = np.stack([item_ids[lane, step], in_session[lane, step]], axis=1)
                        np.testing.assert_array_equal(read, events)
        for mine, other in zip(whole[2], states, strict=True):
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    ("policy", "num_items", "digits"),
    [
        ("float32", (1 << 24) - 1, 1),
        ("mixed_bfloat16", 255, 1),
        ("mixed_bfloat16", 70_000, 3),
        ("mixed_float16", 2_048, 2),
        ("mixed_float16", 4_000_000, 2),
    ],
)
def test_ids_are_exact_in_every_type(policy, num_items, digits):
    memory = EventMemory(num_items, 2, dtype=keras.dtype_policies.get(policy))
    assert memory.width == 2 * (digits + 1)
    item_ids = [[1, num_items], [num_items // 2, num_items - 1]]
    never = np.zeros((2, 2), bool)
    read, in_session, states = remember(memory, item_ids, never, never)
    assert read.numpy()[:, 1].tolist() == [row[::-1] for row in item_ids]
    assert {part.dtype.name for part in (in_session, *states)} == {memory.compute_dtype}


def test_a_configuration_rebuilds_it_and_a_bad_size_is_refused():
    memory = EventMemory(9, 3)
    again = EventMemory.from_config(json.loads(json.dumps(memory.get_config())))
    assert again.get_config() == memory.get_config()
    with pytest.raises(ValueError, match="`size` must be a positive int, but was 0"):
        EventMemory(9, 0)
