import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.compiled_reader import CompiledReader
from hrec_tf.readers import events_of
from hrec_tf.schema import FEEDBACK


class ShapeReader:
    """Tells the sum of a row's items and times, and keeps the shapes that it was traced with."""

    context = "its own"

    def __init__(self):
        self.shapes = []

    def replay(self, events, **told):
        self.shapes.append([tuple(part.shape) for part in (*events, *told.values())])
        return [tf.reduce_sum(events.item_ids, 1), tf.reduce_sum(events.timestamps, 1)]

    def step(self, item_ids, timestamps, state, state_info, **told):
        self.shapes.append(
            [
                tuple(part.shape)
                for part in (item_ids, timestamps, state, state_info, *told.values())
            ]
        )
        return [item_ids, tf.reduce_sum(state, 1)]


@pytest.mark.parametrize(
    ("rows", "length", "padded_rows", "padded_length"),
    [(1, 1, 1, 8), (1, 8, 1, 8), (2, 9, 2, 16), (3, 0, 4, 8), (5, 33, 8, 64)],
)
def test_histories_are_padded_to_powers_of_two_and_answers_cut_back(
    rows, length, padded_rows, padded_length
):
    reader = ShapeReader()
    compiled = CompiledReader(reader)
    item_ids = tf.reshape(tf.range(1, rows * length + 1), (rows, length))
    times, lengths = tf.cast(item_ids, tf.int64) * 10, tf.fill((rows,), length)
    events = events_of(item_ids, times, lengths, idle_seconds=60)
    told = {
        "at": tf.zeros((rows,), tf.int64),
        FEEDBACK: tf.ones((rows, length, 2)),
        "user_features": tf.ones((rows, 3)),
    }
    found = compiled.replay(events, **told)
    np.testing.assert_array_equal(found[0], np.sum(item_ids, axis=1))
    np.testing.assert_array_equal(found[1], np.sum(times, axis=1))
    whole = (padded_rows, padded_length + 1)  # events have one column more
    assert reader.shapes == [
        [
            whole,
            whole,
            whole,
            whole[:1],
            whole[:1],
            (padded_rows, padded_length, 2),
            (padded_rows, 3),
        ]
    ]


def test_what_was_compiled_serves_all_of_one_bucket():
    reader = ShapeReader()
    compiled = CompiledReader(reader)
    for rows in (3, 4):
        event = tf.fill((rows,), 2), tf.zeros((rows,), tf.int64)
        state, info = tf.ones((rows, 5)), tf.zeros((rows, 4), tf.int64)
        item_ids, sums = compiled.step(*event, state, info, at=tf.zeros((rows,), tf.int64))
        np.testing.assert_array_equal(item_ids, [2] * rows)
        np.testing.assert_array_equal(sums, [5.0] * rows)
    assert reader.shapes == [[(4,), (4,), (4, 5), (4, 4), (4,)]]
    assert compiled.context == "its own"
