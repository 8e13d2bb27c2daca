"""Which test histories are read: sessions with a target, as many as asked, the longest drawn."""

import numpy as np
import pytest

from hrec_tf.data.histories import Histories
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models import HMRNN, HSLSTM
from hrec_tf.reporting.explained import chosen
from tests.reference.made_explanations import ExplainingGRU

MODEL = ExplainingGRU(num_items=6, units=(2,), seed=0)
VOCABULARY = Vocabulary(["tea", "jam", "rum", "gin", "ale", "cola"])


def made(weights=None):
    test = Histories.from_lists([[[1, 2, 3], [4]], [[5, 6], [1, 2, 3, 4]]], num_items=6)
    if weights is None:
        return test
    arrays = {name: getattr(test, name) for name in ("item_ids", "session_offsets", "user_offsets")}
    return Histories(
        **arrays,
        timestamps=test.timestamps,
        num_items=6,
        target_weights=np.array(weights, np.float32),
    )


def test_sessions_with_a_target_are_read():
    # Of one event, of events that bootstrap alone, and of a first event with a weight: no target.
    weights = [0, 0, 1, 1, 1, 0, 0, 0, 1, 0]
    assert chosen.sessions_to_read(MODEL, made()).tolist() == [0, 2, 3]
    assert chosen.sessions_to_read(MODEL, made(weights)).tolist() == [0, 3]


def test_lengths_are_those_that_are_read(monkeypatch):
    assert chosen.lengths(MODEL, made(), np.array([0, 3])).tolist() == [3, 4]
    monkeypatch.setattr(chosen, "MAX_EVENTS", 2)
    assert chosen.lengths(MODEL, made(), np.array([0, 3])).tolist() == [2, 2]
    found = chosen.explain_session(MODEL, VOCABULARY, made(), 3)
    assert found.raw_ids == ("rum", "gin"), "the latest"


def test_a_session_is_read_whole_with_its_times():
    found = chosen.explain_session(MODEL, VOCABULARY, made(), 2)
    assert found.raw_ids == ("ale", "cola") and found.timestamps.tolist() == [4, 5]
    assert found.item_ids.tolist() == [5, 6]


@pytest.mark.parametrize(
    "model",
    [
        HMRNN(num_items=6, item_dim=2, units=2, seed=0),
        HSLSTM(num_items=6, item_dim=2, lower_units=2, upper_units=2, seed=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_of_whole_histories_reads_its_user_up_to_the_session_s_end(model, monkeypatch):
    found = chosen.explain_session(model, VOCABULARY, made(), 3)
    assert found.item_ids.tolist() == [5, 6, 1, 2, 3, 4]
    assert found.session_start.tolist() == [True, False, True, False, False, False]
    assert len(found.boundaries) == 1
    sessions = np.array([0, 1, 2, 3])
    assert chosen.lengths(model, made(), sessions).tolist() == [3, 4, 2, 6]
    monkeypatch.setattr(chosen, "MAX_EVENTS", 5)
    assert chosen.lengths(model, made(), sessions).tolist() == [3, 4, 2, 6], "all of it"
    assert chosen.sessions_to_read(model, made()).tolist() == [0, 3], "every event once"


@pytest.mark.parametrize("wanted", [3, 4, 100])
def test_all_are_averaged_if_there_are_no_more(wanted):
    assert chosen.chosen(3, wanted).tolist() == [0, 1, 2]


def test_so_many_are_drawn_from_all_over_and_always_the_same():
    found = chosen.chosen(1000, 50)
    assert len(set(found)) == 50 and (np.diff(found) > 0).all()
    assert found.min() < 200 and found.max() >= 800
    np.testing.assert_array_equal(found, chosen.chosen(1000, 50))


def test_the_longest_of_the_averaged_is_shown_or_any_by_its_number():
    lengths = np.array([3, 9, 5, 5])
    assert chosen.number_to_show("longest", lengths, np.array([0, 2, 3])) == 2
    assert chosen.number_to_show("1", lengths, np.array([0, 2, 3])) == 1


@pytest.mark.parametrize("show", ["4", "-1", "1.0", "²", "", "Longest", "1 "])
def test_a_history_that_is_not_there_cannot_be_shown(show):
    with pytest.raises(ValueError, match=r"but must be longest or the number of .*, 0\.\.3\. Pass"):
        chosen.number_to_show(show, np.ones(4), np.arange(4))


def test_none_to_average_is_refused():
    with pytest.raises(ValueError, match=r"`users` must be a positive int, but was 0\. Pass how"):
        chosen.chosen(3, 0)
