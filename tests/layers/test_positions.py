import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.layers import at_positions, is_read_at


def test_values_at_positions():
    values = tf.reshape(tf.range(12), (2, 3, 2))
    found = at_positions(values, tf.constant([[2, 0], [1, 1]]))
    assert found.numpy().tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def test_a_row_of_padding_has_a_value_and_reads_nothing():
    """The rows that fill up an epoch's last batch have position 0."""
    item_ids, positions = tf.zeros((1, 3), tf.int32), tf.zeros((1, 1), tf.int32)
    assert at_positions(tf.ones((1, 3, 2)), positions).shape == (1, 1, 2)
    assert not np.any(is_read_at(item_ids, positions))


@settings(deadline=None, max_examples=30)
@given(
    item_ids=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    positions=st.lists(st.integers(0, 3), min_size=1, max_size=3),
)
def test_events_up_to_the_position_are_read(item_ids, positions):
    is_read = is_read_at(tf.constant([item_ids]), tf.constant([positions]))
    expected = [[s <= p and item_ids[s] != 0 for s in range(4)] for p in positions]
    assert is_read.numpy().tolist() == [expected]
