from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import lane_stream
from hrec_tf.evaluation import rank_model
from hrec_tf.inference import Inference
from hrec_tf.models import UserGRU
from hrec_tf.recipe import Recipe
from hrec_tf.schema import CONCATENATED, ITEM_IDS, SESSION_START, USER_IDS, USER_START
from tests.reference.weights import fill_distinct

NUM_ITEMS = 6
SIZES = {"num_items": NUM_ITEMS, "num_users": 3, "item_dim": 3, "user_dim": 2, "units": 4}
HISTORIES = replace(
    Histories.from_lists([[[1, 2], [3]], [[4, 5, 6]]], num_items=NUM_ITEMS),
    user_ids=np.array([3, 1]),
)


def built():
    model = UserGRU(**SIZES)
    fill_distinct(model)
    return model


def events_of(user_id):
    return {
        ITEM_IDS: tf.constant([[2, 5]]),
        USER_IDS: tf.constant([[user_id, user_id]]),
        SESSION_START: tf.constant([[True, False]]),
        USER_START: tf.constant([[True, False]]),
    }


def test_a_stream_says_whose_events_they_are():
    stream = lane_stream(
        HISTORIES, layout=CONCATENATED, num_lanes=1, steps=5, order="given", with_users=True
    )
    events, *_ = next(iter(stream))
    assert events[ITEM_IDS].numpy().tolist() == [[1, 2, 4, 5, 0]]
    assert events[USER_IDS].numpy().tolist() == [[3, 3, 1, 1, 0]]
    plain = Histories.from_lists([[[1, 2]]])
    with pytest.raises(ValueError, match=r"`with_users` was True, but .* no `user_ids`.*Pass"):
        lane_stream(plain, layout=CONCATENATED, num_lanes=1, with_users=True)


def test_an_unknown_user_is_the_mean_of_those_of_training():
    model = built()
    mean = np.asarray(model.users.table)[1:].mean(axis=0)
    unknown = model(events_of(0))
    model.users.table.assign(np.stack([np.zeros(2), mean, mean, mean]).astype("float32"))
    np.testing.assert_allclose(unknown, model(events_of(2)), rtol=1e-5, atol=1e-6)
    # Of those who are numbered after training's.
    np.testing.assert_array_equal(unknown, model(events_of(4)))


def test_ranks_follow_from_who_the_user_is():
    model = built()
    ranks = rank_model(model, HISTORIES, session_starts=True, num_lanes=2, steps=2)
    for row, target in enumerate(ranks.target):
        user = int(np.searchsorted(HISTORIES.user_offsets, target, side="right") - 1)
        first = HISTORIES.user_offsets[user]
        items = HISTORIES.item_ids[first:target]
        told = {
            ITEM_IDS: tf.constant(items[None]),
            USER_IDS: tf.fill((1, len(items)), int(HISTORIES.user_ids[user])),
            SESSION_START: tf.constant([[True] + [False] * (len(items) - 1)]),
            USER_START: tf.constant([[True] + [False] * (len(items) - 1)]),
        }
        scores = model.score(model(told)[0, -1:]).numpy()[0]
        assert ranks.greater[row] == (scores > scores[HISTORIES.item_ids[target] - 1]).sum()


def test_it_is_not_served_and_says_so():
    with pytest.raises(ValueError, match=r"`model` is a UserGRU, which knows users.*hrnn-init"):
        Inference(built(), np.ones(NUM_ITEMS))


def test_a_recipe_takes_the_number_of_users_from_the_log():
    recipe = Recipe.from_dict(
        {
            "model": "user-gru",
            "arguments": {"num_users": "log"},
            "optimizer": {"name": "adam"},
            "loss": {"name": "cross_entropy"},
            "stream": {"num_lanes": 2},
            "epochs": 1,
        }
    )
    assert recipe.fitted_to(None, HISTORIES).arguments["num_users"] == 3
    with pytest.raises(ValueError, match=r"no `user_ids`.*pass `users` to `histories_from_log`"):
        recipe.fitted_to(None, replace(HISTORIES, user_ids=None))
