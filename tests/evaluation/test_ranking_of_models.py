from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.evaluation import rank_model
from hrec_tf.models import HRNN, GRU4Rec, RNNConcat
from tests.reference.drawn_histories import drawn_histories, with_own_weights

NUM_ITEMS = 30
CASES = {
    "gru4rec": lambda: GRU4Rec(num_items=NUM_ITEMS, units=8, seed=1),
    "rnn_concat": lambda: RNNConcat(num_items=NUM_ITEMS, units=8, seed=2),
    "hrnn_init": lambda: HRNN(num_items=NUM_ITEMS, session_units=8, user_units=6, seed=3),
    "hrnn_all": lambda: HRNN(
        num_items=NUM_ITEMS, session_units=8, user_units=6, user_gates="rzh", seed=4
    ),
    "hrnn_feeding_the_last_item": lambda: HRNN(
        num_items=NUM_ITEMS, session_units=8, user_units=6, feed_last_item=True, seed=5
    ),
}


@pytest.fixture(scope="module")
def histories():
    return drawn_histories(NUM_ITEMS, seed=0)


def ranks_by_steps(model, histories):
    """Feeds every user's events one by one through `step`, as a server would."""
    greater = np.full(histories.num_events, -1)
    step = tf.function(model.step)
    scores, states = np.zeros(NUM_ITEMS), model.step_states(1)
    for event in range(histories.num_events):
        user_start = histories.user_starts[event]
        session_start = histories.session_starts[event]
        if model.layout == "session_parallel":
            user_start = session_start
        if user_start:
            states = model.step_states(1)
        elif not session_start:
            own = scores[histories.item_ids[event] - 1]
            greater[event] = np.count_nonzero(scores > own)
        item_ids = tf.constant(histories.item_ids[event : event + 1])
        flags = (tf.constant([bool(flag)]) for flag in (session_start, user_start))
        hidden, states = step(item_ids, *flags, states)
        scores = model.score(hidden).numpy()[0]
    return greater


@pytest.mark.parametrize("name", CASES)
def test_ranks_are_those_of_feeding_event_by_event(name, histories):
    """models B.6, B.7 and A-T8: bootstrapped evaluation equals `step`, in any lanes."""
    model = with_own_weights(CASES[name]())
    one_by_one = ranks_by_steps(model, histories)
    for num_lanes, steps in ((1, 5), (3, 2), (None, 32)):
        ranks = rank_model(model, histories, num_lanes=num_lanes, steps=steps)
        np.testing.assert_array_equal(ranks.greater, one_by_one[ranks.target])
    last_points = replace(
        histories, target_weights=np.isin(np.arange(histories.num_events), ranks.target[-3:])
    )
    few = rank_model(model, last_points)
    np.testing.assert_array_equal(few.greater, one_by_one[ranks.target[-3:]])


@pytest.mark.parametrize("score_bytes", [1 << 26, 7 * 4 * NUM_ITEMS], ids=["one block", "many"])
@pytest.mark.parametrize("top_pop", [None, 4])
def test_counting_by_xla_gives_the_same_ranks(monkeypatch, histories, score_bytes, top_pop):
    model, how = CASES["hrnn_init"](), {"score_bytes": score_bytes, "top_pop": top_pop}
    expected = rank_model(model, histories, **how)
    monkeypatch.setattr("hrec_tf.evaluation.ranking.MANY_POINTS", 1)
    assert expected.num_points % 7
    ranks = rank_model(model, histories, **how)
    np.testing.assert_array_equal(ranks.target, expected.target)
    np.testing.assert_array_equal(ranks.greater, expected.greater)
    np.testing.assert_array_equal(ranks.equal, expected.equal)
