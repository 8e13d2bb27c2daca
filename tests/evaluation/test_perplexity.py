"""Perplexity against slow loops, for networks and for baselines."""

from dataclasses import replace

import numpy as np
import pytest

from hrec_tf.baselines import Baseline, Popularity
from hrec_tf.data.histories import Histories
from hrec_tf.data.simulations import hierarchical_sessions, session_openings
from hrec_tf.evaluation import perplexity
from hrec_tf.models import GRU4Rec, HRNNMeta, RNNConcat
from tests.reference.weights import fill_drawn

USERS = [[[1, 2], [3, 1, 2]], [[3]], [[2, 2, 1]]]


class Probabilities(Baseline):
    """Says of each item how likely it is."""

    scores_are_logits = True

    def __init__(self, *shares):
        self._shares = np.log(shares)

    def _fit(self, histories):
        pass

    def _score(self, histories, targets):
        return np.tile(self._shares + 5, (len(targets), 1))  # what is added cancels


def slow_losses(model, histories):
    """-log p of each event, user by user and event by event."""
    losses = np.full(histories.num_events, np.nan)
    for begin, end in zip(histories.user_offsets, histories.user_offsets[1:], strict=False):
        states = model.initial_states(1)
        first = 0 if getattr(model, "first_events", False) else 1
        for target in range(begin + first, end):
            last = max(target - 1, begin)
            is_first = target == begin
            gap = histories.timestamps[target] - histories.timestamps[last]
            events = {
                "item_ids": [[0 if is_first else histories.item_ids[last]]],
                "is_step": [[True]],
                "user_start": [[target == begin + first]],
                "session_start": [[bool(histories.session_starts[last])]],
                "next_gap": [[int(gap)]],
                "next_session_start": [[bool(histories.session_starts[target])]],
            }
            events = {name: np.array(values) for name, values in events.items()}
            hidden, states = model.encode(events, states)
            scores = np.asarray(model.score(hidden)[0, 0], np.float64)
            losses[target] = np.log(np.exp(scores).sum()) - scores[histories.item_ids[target] - 1]
    return losses


def test_golden_value():
    """Shares 1/2, 1/4, 1/4 and the items 1, 2, 3: the mean of 1, 2, 2 bits is 2^(5/3)."""
    histories = Histories.from_lists([[[1, 2, 3]]])
    found = perplexity(Probabilities(0.5, 0.25, 0.25).fit(histories), histories)
    assert found.value == pytest.approx(2 ** (5 / 3))
    assert found.targets.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.log_losses, np.log([2, 4, 4]))


@pytest.mark.parametrize("first_events", [False, True])
@pytest.mark.parametrize("shape", [{}, {"num_lanes": 2, "steps": 2}])
def test_agrees_with_a_slow_loop(first_events, shape):
    histories = hierarchical_sessions(9, seed=3)
    sizes = {"units": 4, "item_dim": 4, "num_layers": 1, "hidden_dropout": 0.3}
    model = HRNNMeta(num_items=5, first_events=first_events, **sizes)
    fill_drawn(model, 1)
    found = perplexity(model, histories, **shape)
    expected = slow_losses(model, histories)
    is_target = ~np.isnan(expected)
    np.testing.assert_array_equal(found.targets, np.flatnonzero(is_target))
    np.testing.assert_allclose(found.log_losses, expected[is_target], rtol=1e-5, atol=1e-6)
    assert found.value == pytest.approx(np.exp(expected[is_target].mean()), rel=1e-5)
    openings = session_openings(histories)
    some = perplexity(model, histories, targets=openings, **shape)
    np.testing.assert_allclose(some.log_losses, expected[openings], rtol=1e-5, atol=1e-6)


def test_weights_say_which_events_are_targets():
    histories = Histories.from_lists(USERS)
    weights = np.array([1, 1, 0, 1, 0, 1, 1, 1, 0], np.float32)
    model = RNNConcat(num_items=3, units=(4,), seed=0)
    found = perplexity(model, replace(histories, target_weights=weights))
    assert found.targets.tolist() == [1, 3, 7]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda h: perplexity(Popularity().fit(h), h), "no logarithms of probabilities"),
        (lambda h: perplexity(GRU4Rec(num_items=3, units=(4,)), h), "'session_parallel'"),
        (
            lambda h: perplexity(RNNConcat(num_items=3, units=(4,)), h, targets=h.user_starts),
            "none of them is a target",
        ),
        (
            lambda h: perplexity(RNNConcat(num_items=3, units=(4,)), h, targets=[True]),
            "`targets` has shape (1,)",
        ),
        (
            lambda h: perplexity(Probabilities(0.5, 0.5, np.nan).fit(h), h),
            "-log p of the target in event 0 is nan",
        ),
    ],
)
def test_what_has_no_perplexity_is_refused(act, message):
    with pytest.raises(ValueError, match=r".") as error:
        act(Histories.from_lists(USERS))
    assert message in str(error.value)
