import json

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import ControlSignals


def test_levels_of_the_paper():
    """Table 5: queries after 0, 60, 3 600 and 86 400 seconds have the levels 0 to 3."""
    control = ControlSignals(2)
    gaps = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 2**31 - 1]
    found = control.levels(tf.constant(gaps), tf.constant([False] * len(gaps)))
    assert found.numpy().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_users_start_has_a_level_of_its_own():
    control = ControlSignals(2, thresholds=(10,))
    found = control.levels(tf.constant([0, 99]), tf.constant([True, True]))
    assert found.numpy().tolist() == [2, 2]
    assert control.num_levels == 2


def test_each_level_has_its_row():
    control = ControlSignals(3, thresholds=(10, 20), seed=1)
    control.build()
    gaps = tf.constant([[25, 3], [12, 0]])
    starts = tf.constant([[False, False], [False, True]])
    expected = np.asarray(control.table)[[[2, 0], [1, 3]]]
    np.testing.assert_array_equal(control(gaps, starts), expected)
    again = ControlSignals.from_config(json.loads(json.dumps(control.get_config())))
    assert again.get_config() == control.get_config()


@pytest.mark.parametrize("thresholds", [(), (60, 60), (60, 30), (0,), (1.5,)])
def test_bad_thresholds_are_refused(thresholds):
    with pytest.raises(ValueError, match="`thresholds`"):
        ControlSignals(2, thresholds=thresholds)
