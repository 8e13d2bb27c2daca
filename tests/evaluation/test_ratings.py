"""Ratings: the head against a loop, multi-task training, and the protocol of errors."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from hrec_tf.data.aligned import aligned_stream
from hrec_tf.data.features import Numeric
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import rating_errors
from hrec_tf.losses import CrossEntropy
from hrec_tf.models import GRU4Rec, HRNNMeta
from tests.reference.weights import fill_drawn

USERS = [[[1, 2], [3, 1, 2]], [[3]], [[2, 2, 1, 3]]]
SMALL = {"units": 5, "item_dim": 5, "num_layers": 1, "hidden_dropout": 0.0, "control": None}
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


def rated(ratings=None, missing=()):
    histories = Histories.from_lists(USERS)
    values = np.random.default_rng(1).normal(size=10) if ratings is None else ratings
    feedback = np.stack([values, np.isin(np.arange(10), missing)], axis=1).astype(np.float32)
    return replace(histories, feedback=feedback)


def drawn(**arguments):
    model = HRNNMeta(num_items=3, seed=0, **SMALL | {"rating_weight": 1.0} | arguments)
    fill_drawn(model, 2)
    if model.num_item_features:
        model.set_item_features(np.random.default_rng(4).normal(size=(4, 2)))
    return model


@pytest.mark.parametrize("arguments", [{}, {"num_item_features": 2}, {"first_events": True}])
@pytest.mark.parametrize("shape", [{}, {"num_lanes": 2, "steps": 2}])
def test_errors_are_those_of_a_slow_loop(arguments, shape):
    model, histories = drawn(**arguments), rated(missing=[4])
    found = rating_errors(model, histories, **shape)
    assert found.targets.tolist() == [1, 2, 3, 7, 8, 9]  # no user's first, and not the missing
    table, bias = (np.asarray(t, np.float64) for t in tables_of(model))
    for place, target in enumerate(found.targets):
        begin = max(histories.user_offsets[histories.user_offsets <= target])
        item_ids = histories.item_ids[begin:target].tolist()
        if model.first_events:
            item_ids.insert(0, 0)
        starts = [True] + [False] * (len(item_ids) - 1)
        events = {
            "item_ids": np.array([item_ids]),
            "is_step": np.ones((1, len(item_ids)), bool),
            "user_start": np.array([starts]),
            "session_start": np.array([starts]),
        }
        hidden = np.asarray(model(events)[0, -1], np.float64)
        item = histories.item_ids[target]
        expected = float(model.mean_rating[0]) + hidden @ table[item] + bias[item]
        np.testing.assert_allclose(found.predicted[place], expected, **FLOAT32_NOISE)
        assert found.actual[place] == histories.feedback[target, 0]
    assert found.rmse == pytest.approx(np.sqrt(np.mean((found.predicted - found.actual) ** 2)))


def tables_of(model):
    """w' (N + 1, H) and b' (N + 1,), mixed with what features give."""
    decoder = model.rating_decoder
    if not model.num_item_features:
        return decoder.items.table.numpy(), decoder.bias.numpy()[:, 0]
    kernel, bias = decoder.maps[0]
    featured = decoder.features.numpy() @ kernel.numpy() + bias.numpy()
    own = np.concatenate([decoder.own.items.table.numpy(), decoder.own.bias.numpy()], axis=1)
    mixed = 0.5 * own + 0.5 * featured
    return mixed[:, :-1], mixed[:, -1]


def test_units_turn_ratings_back_and_clip_cuts_them():
    histories, model = rated(), drawn()
    plain = rating_errors(model, histories)
    units = Numeric(mean=3.0, sd=2.0, low=1.0, high=5.0)
    turned = rating_errors(model, histories, units=units)
    np.testing.assert_allclose(turned.predicted, 3 + 2 * plain.predicted)
    np.testing.assert_allclose(turned.actual, 3 + 2 * plain.actual)
    assert turned.rmse == pytest.approx(2 * plain.rmse)
    cut = rating_errors(model, histories, units=units, clip=True)
    np.testing.assert_array_equal(cut.predicted, np.clip(turned.predicted, 1, 5))
    assert cut.predicted.max() < turned.predicted.max()


def test_a_network_without_feedback_does_not_see_the_ratings():
    histories, model = rated(), drawn(num_feedback=0)
    other = rating_errors(model, rated(ratings=np.full(10, 9.0)))
    np.testing.assert_array_equal(rating_errors(model, histories).predicted, other.predicted)
    seeing = drawn(num_feedback=2, feedback_dim=3)
    mine = rating_errors(seeing, histories).predicted
    later = histories.feedback.copy()
    later[7:, 0] = 9.0  # of the last user all but the first
    changed = rating_errors(seeing, replace(histories, feedback=later))
    np.testing.assert_array_equal(changed.predicted[:5], mine[:5])
    assert np.abs(changed.predicted[5:] - mine[5:]).min() > 1e-4


def test_the_mean_squared_error_is_the_penalty():
    """Half the weight, half the penalty; a missing rating and an idle step have none."""
    histories = rated(missing=[4])
    penalties = []
    for weight in (1.0, 0.5):
        model = drawn(rating_weight=weight)
        ((events, *_),) = aligned_stream(histories, num_lanes=1, steps=16, order="given").take(1)
        _, _, penalty = model.encode_to_train(events, model.initial_states(1))
        penalties.append(float(penalty))
    assert penalties[0] == pytest.approx(rating_errors(drawn(), histories).rmse ** 2, rel=1e-5)
    assert penalties[1] == pytest.approx(penalties[0] / 2)


@pytest.mark.integration
@pytest.mark.parametrize(("rank_weight", "ranks"), [(1.0, True), (0.0, False)])
def test_both_tasks_are_learnt_or_ratings_alone(rank_weight, ranks):
    """Ratings that follow the item, and items that follow one another."""
    item_ids = (np.arange(40) % 5) + 1
    histories = Histories.from_lists([[item_ids.tolist()]] * 6)
    rating = np.tile((item_ids - 3) / 2.0, 6)
    feedback = np.stack([rating, np.zeros(len(rating))], axis=1).astype(np.float32)
    histories = replace(histories, feedback=feedback)
    sizes = SMALL | {"units": 12, "item_dim": 12, "rank_weight": rank_weight}
    model = HRNNMeta(num_items=5, seed=0, rating_weight=1.0, **sizes)
    model.compile(keras.optimizers.Adam(0.02), CrossEntropy(normalise="valid"))
    stream = aligned_stream(histories, num_lanes=4, steps=8, seed=0)
    history = model.fit(stream, epochs=25, verbose=0).history["loss"]
    assert rating_errors(model, histories).rmse < 0.15
    assert (history[-1] < 0.5 * history[0]) == ranks


def test_its_configuration_holds_the_weights_of_both_losses():
    config = drawn(rating_weight=0.5, rank_weight=2.0).get_config()
    again = HRNNMeta.from_config(config)
    assert (again.rating_weight, again.rank_weight) == (0.5, 2.0)
    assert again.rating_decoder is not None


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda h: rating_errors(drawn(), replace(h, feedback=None)), "has no feedback"),
        (lambda h: rating_errors(drawn(), h, clip=True), "`clip` was True without"),
        (lambda h: rating_errors(GRU4Rec(num_items=3), h), "GRU4Rec, which predicts no ratings"),
        (lambda h: rating_errors(drawn(rating_weight=0.0), h), "has not learnt ratings"),
        (lambda h: rating_errors(drawn(), rated(missing=range(10))), "none after a user's first"),
        (lambda h: drawn(rating_weight=0.0, rank_weight=0), "so there is no loss"),
    ],
)
def test_what_does_not_fit_is_refused(act, message):
    with pytest.raises(ValueError, match=r".") as error:
        act(rated())
    assert message in str(error.value)


def test_a_stream_without_ratings_is_refused_in_training():
    model = drawn()
    model.compile(keras.optimizers.Adam(), CrossEntropy())
    with pytest.raises(ValueError, match="also reads 'next_rating'"):
        model.fit(aligned_stream(Histories.from_lists(USERS), num_lanes=2), verbose=0)


def test_an_event_that_is_no_target_has_no_rating_to_predict():
    """As the sessions of validation histories that only bootstrap."""
    weights = np.ones(10, np.float32)
    weights[[2, 8]] = 0
    histories = replace(rated(), target_weights=weights)
    assert rating_errors(drawn(), histories).targets.tolist() == [1, 3, 4, 7, 9]
    ((events, *_),) = aligned_stream(histories, num_lanes=1, steps=16, order="given").take(1)
    is_rated = np.isfinite(events["next_rating"].numpy()[0][: 10 - 3])
    assert is_rated.tolist() == [True, False, True, True, True, False, True]
