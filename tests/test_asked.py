import numpy as np
import pytest

from hrec_tf.asked import Asked, context_inputs
from hrec_tf.user_history import read_history

HISTORIES = [read_history([("tea", 10), ("jam", 70), ("rum", 90)]), read_history([])]
NAMES = ["a", "b"]
WIDTHS = {"at": None, "feedback": 2, "user_features": 1}
FEEDBACK = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_is_padded_and_asked_at_the_last_event_if_nothing_is_said():
    asked = [Asked(None, FEEDBACK, [7.0]), Asked(5, None, [8.0])]
    made = context_inputs(asked, HISTORIES, NAMES, WIDTHS, columns=4)
    assert made["at"].tolist() == [90, 5]
    np.testing.assert_array_equal(made["feedback"][0, :3], FEEDBACK)
    assert not made["feedback"][0, 3].any() and not made["feedback"][1].any()
    assert made["user_features"].tolist() == [[7.0], [8.0]]
    assert made["at"].dtype == np.int64 and made["feedback"].dtype == np.float32


def test_of_long_histories_the_newest_events_are_kept():
    asked = [Asked(None, FEEDBACK, [7.0])]
    made = context_inputs(asked, HISTORIES[:1], ["a"], WIDTHS, columns=8, longest=2)
    np.testing.assert_array_equal(made["feedback"][0, :2], FEEDBACK[1:])
    assert not made["feedback"][0, 2:].any()


def test_a_model_that_is_told_nothing_has_no_inputs():
    assert context_inputs([Asked()], HISTORIES[:1], ["a"], {}, columns=3) == {}


def test_a_time_of_asking_is_whole_seconds():
    with pytest.raises(TypeError, match=r"`at` has the time 95\.7 \(of `a`\), but times are whole"):
        context_inputs([Asked(at=95.7)], HISTORIES[:1], ["a"], {"at": None}, columns=3)


@pytest.mark.parametrize(
    ("asked", "widths", "message"),
    [
        (Asked(at=100), {}, "`at` was passed for `a`, but this model does not read it"),
        (Asked(feedback=FEEDBACK), {"at": None}, "`feedback` was passed"),
        (Asked(at=89), {"at": None}, "`at` was 89, but `a` has an event at 90"),
        (Asked(at=10**12), {"at": None}, "`at` has the time 1000000000000 (of `a`), but times"),
        (Asked(), {"feedback": 2}, "`feedback` was not passed for `a`"),
        (Asked(), {"user_features": 2}, "`user_features` was not passed"),
        (Asked(feedback=FEEDBACK[1:]), {"feedback": 2}, "shape (2, 2)"),
        (Asked(user_features=[np.nan]), {"user_features": 1}, "holds NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_refused(asked, widths, message):
    with pytest.raises(ValueError, match=r".") as error:
        context_inputs([asked], HISTORIES[:1], ["a"], widths, columns=3)
    assert message in str(error.value)
