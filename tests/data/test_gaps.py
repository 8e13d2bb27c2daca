from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.data.gaps import gap_moments, gap_quantile
from hrec_tf.data.histories import Histories
from hrec_tf.schema import LARGEST_GAP


def timed(users, seconds):
    return replace(Histories.from_lists(users), timestamps=np.array(seconds))


# Gaps inside users: 5, 20 and 4, 11, 70; what lies between the users is none.
HISTORIES = timed([[[1, 2], [3]], [[4, 5], [6, 7]]], [10, 15, 35, 900, 904, 915, 985])


def test_moments_golden_value():
    # Gaps of 0 and 180 s: δ is 0 and log 4.
    moments = gap_moments(timed([[[1, 2, 3]]], [7, 7, 187]))
    np.testing.assert_allclose(moments, [np.log(4) / 2, np.log(4) / 2])


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.0, 4), (0.25, 5), (0.5, 11), (0.75, 20), (0.875, 45), (1.0, 70)]
)
def test_quantile_golden_values(share, seconds):
    """Gaps 4, 5, 11, 20, 70 stand at 0, 1/4, 1/2, 3/4 and 1; 45 lies between two."""
    assert gap_quantile(HISTORIES, share) == seconds


@settings(deadline=None, max_examples=30)
@given(gaps=st.lists(st.integers(0, 10**6), min_size=1, max_size=20), share=st.floats(0, 1))
def test_a_quantile_has_its_share_of_the_gaps_on_either_side(gaps, share):
    histories = timed([[list(range(1, len(gaps) + 2))]], np.cumsum([0, *gaps]))
    seconds, place = gap_quantile(histories, share), share * (len(gaps) - 1)
    rising = sorted(gaps)
    assert rising[int(np.floor(place))] <= seconds + 1e-6
    assert seconds - 1e-6 <= rising[int(np.ceil(place))]


def test_a_gap_is_at_most_the_longest_that_a_stream_tells():
    assert gap_quantile(timed([[[1, 2]]], [0, 2**40]), 1.0) == LARGEST_GAP


@pytest.mark.parametrize(
    ("histories", "share", "message"),
    [
        (HISTORIES, 1.5, "`share` was 1.5, but must be at most 1, all gaps. Pass e.g. 0.9"),
        (HISTORIES, -0.1, "`share` must be a finite number of at least 0"),
        (timed([[[1]], [[2]]], [0, 9]), 0.5, "2 events of 2 users, but a gap lies between two"),
    ],
)
def test_a_share_or_histories_without_a_gap_are_named_and_mended(histories, share, message):
    with pytest.raises(ValueError, match=message):
        gap_quantile(histories, share)
