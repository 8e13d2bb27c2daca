import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.inference import Inference
from hrec_tf.models import CollaborativeRNN
from hrec_tf.recipe import Recipe
from hrec_tf.schema import ITEM_IDS, SESSION_START, USER_IDS, USER_START
from tests.reference.weights import fill_drawn

NUM_ITEMS = 6
SIZES = {"num_items": NUM_ITEMS, "units": 4}


def events_of(user_id):
    return {
        ITEM_IDS: tf.constant([[2, 5, 1]]),
        USER_IDS: tf.fill((1, 3), user_id),
        SESSION_START: tf.constant([[True, False, True]]),
        USER_START: tf.constant([[True, False, False]]),
    }


def test_golden_score():
    """No recurrent matrix: h = z · 0 + (1 - 1/2) σ(0) = 1/4, and then z h + 1/4 = 3/8, 7/16.

    A new session is no new user.
    """
    model = CollaborativeRNN(num_items=2, num_users=1, units=1)
    for weight in model.trainable_weights:
        weight.assign(tf.zeros_like(weight))
    model.item_scores.table.assign([[0.0], [16.0], [-32.0]])
    events = events_of(1) | {ITEM_IDS: tf.constant([[2, 1, 2]])}
    expected = [[[4.0, -8.0], [6.0, -12.0], [7.0, -14.0]]]
    np.testing.assert_allclose(model.score(model(events)), expected, rtol=1e-6)


def test_what_follows_is_the_user_s_own():
    model = CollaborativeRNN(num_users=3, **SIZES)
    fill_drawn(model)
    scores = {user: model.score(model(events_of(user))).numpy() for user in (0, 1, 2, 3)}
    # The first event meets no state, and with it no matrix of the user.
    for user in (1, 2, 3):
        np.testing.assert_allclose(scores[user][:, 0], scores[0][:, 0], rtol=1e-5)
        assert np.abs(scores[user] - scores[0])[:, 1:].max() > 1e-2
    # Users who are numbered after training's are unknown, too.
    np.testing.assert_array_equal(model.score(model(events_of(4))), scores[0])
    for table in (model.recurrence.cell.recurrent_gates, model.recurrence.cell.recurrent_candidate):
        mean = np.asarray(table)[1:].mean(axis=0)
        table.assign(np.stack([np.zeros_like(mean), mean, mean, mean]))
    np.testing.assert_allclose(model.score(model(events_of(2))), scores[0], rtol=1e-5, atol=1e-6)


def test_only_the_shared_one_is_served():
    assert Inference(CollaborativeRNN(shared=True, **SIZES), np.ones(NUM_ITEMS)).signatures
    with pytest.raises(ValueError, match=r"`model` is a CollaborativeRNN, which knows users"):
        Inference(CollaborativeRNN(num_users=3, **SIZES), np.ones(NUM_ITEMS))


@pytest.mark.parametrize("arguments", [{}, {"num_users": 3, "shared": True}])
def test_users_are_told_apart_or_share(arguments):
    with pytest.raises(ValueError, match=r"`num_users` was \w+ with shared=\w+\. Pass .*\"log\""):
        CollaborativeRNN(**SIZES, **arguments)


def test_settings_are_those_of_its_authors():
    """docs/equations.md H.2, and what Keras' RMSprop makes of them: sums that begin with 0."""
    for name, units, rate, epochs in (
        ("collaborative-rnn", 32, 0.0075, 25),
        ("collaborative-rnn-lastfm", 128, 0.01, 10),
    ):
        recipe = Recipe.for_data(None, name).complete()
        assert recipe.arguments["units"] == units and recipe.epochs == epochs
        held = {key: recipe.optimizer[key] for key in ("name", "learning_rate", "rho", "epsilon")}
        assert held == {"name": "rmsprop", "learning_rate": rate, "rho": 0.997, "epsilon": 1e-8}
        assert (recipe.stream["num_lanes"], recipe.stream["steps"]) == (20, 64)
        assert recipe.loss["normalise"] == "batch_size" and recipe.negatives == {"name": "full"}
    weight, rms = keras.Variable([1.0]), keras.optimizers.RMSprop(0.1, rho=0.9, epsilon=0.0)
    rms.apply([tf.constant([2.0])], [weight])
    np.testing.assert_allclose(weight, [1 - 0.1 / np.sqrt(0.1)], rtol=1e-6)
