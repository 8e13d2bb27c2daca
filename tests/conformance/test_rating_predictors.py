"""What every predictor of ratings promises. A new one is covered by its row in the registry."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hrec_tf import registry
from hrec_tf.data.histories import Histories

FLOAT64_NOISE = {"rtol": 1e-12, "atol": 1e-12}
NUM_ITEMS, NUM_USERS = 12, 80
NAMES = registry.names("rating")
every_predictor = pytest.mark.parametrize("name", NAMES)

LEARNING: dict[str, dict[str, Any]] = {
    "fm": {"learning_rate": 0.02, "l2": 0.01, "batch_size": 64},
    "i-autorec": {"units": 20, "learning_rate": 0.01, "epochs": 300, "l2": 0.1, "mask": 0.2},
    "u-autorec": {"units": 20, "learning_rate": 0.01, "epochs": 200, "l2": 0.1},
}
"""Settings of those whose own are for logs many times as large."""


def rated(rng, user_ids):
    """Users who rate all but one item, in their own order, by their taste and an item's worth."""
    sign = np.where(np.arange(NUM_ITEMS) % 2, 1.0, -1.0)
    orders = [rng.permutation(NUM_ITEMS)[1:] for _ in user_ids]
    ratings = [
        rng.choice([-1.0, 1.0]) * sign[order] + order / 6 + rng.normal(0, 0.1, len(order))
        for order in orders
    ]
    histories = Histories.from_lists(
        [[(order[:6] + 1).tolist(), (order[6:] + 1).tolist()] for order in orders],
        num_items=NUM_ITEMS + 1,  # the last one is never rated
    )
    feedback = np.concatenate(ratings)[:, None]
    return replace(histories, feedback=feedback, user_ids=np.array(user_ids))


WHOLE = rated(np.random.default_rng(3), range(1, NUM_USERS + 1))
IS_LATER = np.tile(np.arange(NUM_ITEMS - 1) >= 8, NUM_USERS)
TRAINING = WHOLE.select(~IS_LATER)
STRANGERS = rated(np.random.default_rng(4), [0, NUM_USERS + 1, NUM_USERS + 2])
STRANGERS.item_ids[-1] = NUM_ITEMS + 1


def fit(name, **arguments):
    return registry.entry(name).build(num_items=NUM_ITEMS + 1, **arguments).fit(TRAINING)


@functools.cache
def predictions_of(name):
    """Those of all events of strangers; made once, never to be changed."""
    return fit(name, seed=1).predict(STRANGERS, np.arange(STRANGERS.num_events))


@every_predictor
def test_it_is_built_again_from_its_settings(name):
    again = fit(name, **registry.entry(name).settings(), seed=1)
    predicted = again.predict(STRANGERS, np.arange(STRANGERS.num_events))
    np.testing.assert_array_equal(predicted, predictions_of(name))


@every_predictor
def test_a_seed_fixes_what_draws_and_is_refused_by_what_does_not(name):
    row, events = registry.entry(name), np.arange(WHOLE.num_events)
    if row.is_random:
        first, again, other = (fit(name, seed=s).predict(WHOLE, events) for s in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
    else:
        with pytest.raises(TypeError, match=r"'seed'|takes no arguments"):
            row.load_class()(seed=1)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "global-average"])
def test_a_fit_beats_the_mean_of_all_on_later_ratings(name):
    def error(model):
        events = np.flatnonzero(IS_LATER)
        return np.sqrt(np.mean((model.predict(WHOLE, events) - WHOLE.ratings[events]) ** 2))

    mean = error(fit("global-average"))
    assert error(fit(name, **LEARNING.get(name, {}), seed=1)) < 0.95 * mean


@every_predictor
def test_strangers_and_items_without_ratings_have_finite_predictions(name):
    assert predictions_of(name).shape == (STRANGERS.num_events,)
    assert predictions_of(name).dtype == np.float64
    assert np.isfinite(predictions_of(name)).all()


@every_predictor
def test_a_rating_is_predicted_as_if_it_were_asked_alone(name):
    """Whatever else is asked, in whatever order, twice or not at all."""
    model, targets = fit(name, seed=1), np.array([9, 3, 0, 30, 3, 12, 5])
    together = model.predict(STRANGERS, targets)
    alone = [model.predict(STRANGERS, [target])[0] for target in targets]
    np.testing.assert_allclose(together, alone, **FLOAT64_NOISE)
    np.testing.assert_allclose(together, predictions_of(name)[targets], **FLOAT64_NOISE)
