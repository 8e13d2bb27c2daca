"""What readers tell a model of the time of events."""

import numpy as np
import tensorflow as tf

from hrec_tf import readers


def test_minutes_are_those_of_whole_numbers():
    """Around whole minutes, where a quotient in float32 is wrong by several of them."""
    begin = np.array([0, 60, 86_400, 1_700_000_040, 2**31, 2**33, 253_402_300_740])
    times = (begin[:, None] + np.array([-121, -60, -1, 0, 1, 59, 60, 119])).ravel()
    found = readers._minutes(tf.constant(times, tf.int64))
    np.testing.assert_array_equal(found, (times // 60).clip(max=2**31 - 1))
    assert found.dtype == tf.int32
