from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.baselines.likelihoods import PopularityFM, PopularityLikelihood, _pair_counts
from hrec_tf.data.histories import Histories
from hrec_tf.data.simulations import bets_bound, gamblers_bets

TRAINING = Histories.from_lists([[[1, 2, 1], [1, 3]], [[3, 1]]], num_items=5)
FEATURES = np.random.default_rng(0).normal(size=(6, 2))
PARAMETERS = ("b", "w", "V", "Q")

users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)


def drawn(histories=TRAINING, **options):
    """A model that stands at parameters which all differ."""
    model = PopularityFM(FEATURES, factors=3, epochs=1, **options).fit(histories)
    rng = np.random.default_rng(1)
    for name in PARAMETERS:
        setattr(model, name, rng.normal(size=getattr(model, name).shape))
    return model


def slow_scores(model, last_item):
    """s_j by loops; a last item of 0 is none."""
    scores = []
    for j in range(1, 6):
        f_j, f_last = FEATURES[j], FEATURES[last_item] if last_item else np.zeros(2)
        score = model.b[j - 1] + sum(f_j[a] * model.w[a] for a in range(2))
        for k in range(model.V.shape[1]):
            left = sum(f_last[a] * model.V[a, k] for a in range(2))
            score += left * sum(f_j[a] * model.Q[a, k] for a in range(2))
        scores.append(score)
    return np.array(scores)


def last_item_of(histories, event):
    return 0 if event in histories.user_offsets else int(histories.item_ids[event - 1])


def slow_loss(model, histories):
    """Mean of -log p over all events, event by event, and the penalty."""
    losses = []
    for event, item in enumerate(histories.item_ids):
        scores = slow_scores(model, last_item_of(histories, event))
        losses.append(np.log(np.exp(scores).sum()) - scores[item - 1])
    squares = sum((getattr(model, name) ** 2).sum() for name in ("w", "V", "Q"))
    return np.mean(losses) + model.l2 / 2 * squares


def test_popularity_counts_one_event_more_of_every_item():
    """models D.7: supports 4, 1, 2, 0, 0, so p = 5, 2, 3, 1, 1 in 12."""
    scores = PopularityLikelihood().fit(TRAINING).score(TRAINING, [0, 6])
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, [np.array([5, 2, 3, 1, 1]) / 12] * 2, rtol=1e-12)


def test_features_golden_values():
    """models D.7: after item 1, f_last V = 2 and f Q = 3, 6; a user's first event has b + f w."""
    histories = Histories.from_lists([[[1], [2]], [[2]]])
    model = PopularityFM(np.array([[9.0], [1.0], [2.0]]), factors=1, epochs=1).fit(histories)
    model.b, model.w = np.array([0.5, 0.25]), np.array([10.0])
    model.V, model.Q = np.array([[2.0]]), np.array([[3.0]])
    expected = [[10.5, 20.25], [10.5 + 6, 20.25 + 12], [10.5, 20.25]]
    np.testing.assert_allclose(model.score(histories, [0, 1, 2]), expected, rtol=1e-12)


def test_pairs_go_from_session_to_session_but_not_from_user_to_user():
    expected = np.zeros((6, 5))
    for last_item, item in ((0, 1), (1, 2), (2, 1), (1, 1), (1, 3), (0, 3), (3, 1)):
        expected[last_item, item - 1] += 1
    np.testing.assert_array_equal(_pair_counts(TRAINING).toarray(), expected)


@settings(deadline=None, max_examples=15)
@given(users=users_strategy)
def test_scores_equal_the_slow_loops(users):
    histories, model = Histories.from_lists(users, num_items=5), drawn()
    events = np.arange(histories.num_events)[::-1]
    expected = [slow_scores(model, last_item_of(histories, event)) for event in events]
    np.testing.assert_allclose(model.score(histories, events), expected, rtol=1e-10)


def test_a_step_goes_down_the_loss():
    """The gradients are the slopes of the loss written with loops, of every parameter."""
    model, counts = drawn(l2=0.3), _pair_counts(TRAINING)
    last_items = np.flatnonzero(np.diff(counts.indptr))
    found = model._gradients(last_items, counts[last_items].toarray())
    for name, gradients in zip(PARAMETERS, found, strict=True):
        values = getattr(model, name)
        for place in np.ndindex(values.shape):
            held, losses = values[place], []
            for offset in (1e-5, -1e-5):
                values[place] = held + offset
                losses.append(slow_loss(model, TRAINING))
            values[place] = held
            assert gradients[place] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-8)


def test_fitting_lowers_the_loss_and_gradients_vanish_at_its_end():
    model = PopularityFM(FEATURES, epochs=1, learning_rate=0.0, l2=0.05).fit(TRAINING)
    before = slow_loss(model, TRAINING)
    model = PopularityFM(FEATURES, epochs=3_000, learning_rate=0.02, l2=0.05).fit(TRAINING)
    assert slow_loss(model, TRAINING) < before - 0.05
    counts = _pair_counts(TRAINING)
    rows = np.flatnonzero(np.diff(counts.indptr))
    _, *found = model._gradients(rows, counts[rows].toarray())  # b of unseen items has no end
    assert max(np.abs(values).max() for values in found) < 1e-3


def test_without_features_it_starts_as_popularity():
    model = PopularityFM(np.zeros((6, 2)), learning_rate=0.0).fit(TRAINING)
    popular = PopularityLikelihood().fit(TRAINING)
    np.testing.assert_array_equal(model.score(TRAINING, [0, 4]), popular.score(TRAINING, [0, 4]))


def test_where_a_log_has_no_features_it_ranks_as_popularity():
    model = PopularityFM(learning_rate=0.001, epochs=2).fit(TRAINING)
    popular = PopularityLikelihood().fit(TRAINING).score(TRAINING, [0])[0]
    scores = model.score(TRAINING, [0, 4])
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_allclose(scores[0], popular, atol=0.01)


def test_without_vectors_every_target_gets_the_same():
    model = drawn()
    model.V = np.zeros_like(model.V)
    scores = model.score(TRAINING, np.arange(7))
    expected = model.b + FEATURES[1:] @ model.w
    np.testing.assert_allclose(scores, np.tile(expected, (7, 1)), rtol=1e-12)


@settings(deadline=None, max_examples=15)
@given(users=users_strategy, data=st.data())
def test_neither_the_target_nor_anything_later_is_read(users, data):
    histories = Histories.from_lists(users, num_items=5)
    target = data.draw(st.integers(0, histories.num_events - 1))
    later = np.arange(histories.num_events) >= target
    item_ids = np.where(later, 6 - histories.item_ids, histories.item_ids)
    changed = replace(histories, item_ids=item_ids)
    for model in (PopularityLikelihood().fit(TRAINING), drawn()):
        np.testing.assert_array_equal(
            model.score(histories, [target]), model.score(changed, [target])
        )


def test_on_gamblers_bets_it_knows_the_parity_and_popularity_nothing():
    """models D.9: 53.9 and about 100, over all bets, on sequences it was not trained on."""
    training, test = gamblers_bets(seed=1), gamblers_bets(seed=2).histories

    def perplexity(model):
        scores = model.fit(training.histories).score(test, np.arange(test.num_events))
        assert model.scores_are_logits
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return np.exp(-np.log(p[np.arange(test.num_events), test.item_ids - 1]).mean())

    bound = bets_bound(sequence=False, parity=True)
    assert perplexity(PopularityFM(training.item_features)) == pytest.approx(bound, rel=0.1)
    assert perplexity(PopularityLikelihood()) == pytest.approx(100, rel=0.1)


def test_scores_follow_from_the_seed():
    first, again, other = (
        PopularityFM(FEATURES, epochs=3, batch_size=2, seed=seed).fit(TRAINING)
        for seed in (1, 1, 2)
    )
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert (getattr(first, name) != getattr(other, name)).any()


def test_given_features_stay_as_they_are():
    given_features = FEATURES.copy()
    PopularityFM(given_features)
    np.testing.assert_array_equal(given_features, FEATURES)


def test_bad_input_is_named_and_mended():
    with pytest.raises(ValueError, match=r"`item_features` has shape \(6,\), but must .*Pass for"):
        PopularityFM(np.zeros(6))
    with pytest.raises(ValueError, match=r"`item_features` holds \[nan\] \(row 1\).*A schema"):
        PopularityFM(np.array([[0.0], [np.nan]]))
    with pytest.raises(
        ValueError, match=r"`item_features` has 4 rows.*num_items 5, which makes 6.*Lay the table"
    ):
        PopularityFM(np.zeros((4, 2))).fit(TRAINING)
    with pytest.raises(ValueError, match=r"`factors` must be a positive int, but was 0\. Pass"):
        PopularityFM(FEATURES, factors=0)
    with pytest.raises(ValueError, match=r"`l2` must be a finite number.*was -1\. Pass λ"):
        PopularityFM(FEATURES, l2=-1)
    with pytest.raises(ValueError, match=r"`seed` must be an int of at least 0, but was None"):
        PopularityFM(FEATURES, seed=None)
    with pytest.raises(ValueError, match=r"`learning_rate` was 1e\+300, .*grew beyond.*smaller"):
        PopularityFM(FEATURES, learning_rate=1e300).fit(TRAINING)
