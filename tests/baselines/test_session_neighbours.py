import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.baselines import STAN, VSKNN, SessionKNN, session_neighbours
from hrec_tf.data.histories import Histories
from tests.reference import baseline_scores as slow

DAY = 24 * 60 * 60


def timed(users, seed=1, num_items=6):
    """Histories whose events are some hours apart, so that ages differ and some ends are equal."""
    rng = np.random.default_rng(seed)
    histories = Histories.from_lists(users, num_items=num_items)
    hours = rng.integers(0, 30, histories.num_events)
    times = np.concatenate(
        [
            np.cumsum(hours[first:end])
            for first, end in zip(
                histories.user_offsets[:-1], histories.user_offsets[1:], strict=True
            )
        ]
    )
    return Histories(
        item_ids=histories.item_ids,
        timestamps=times * 3600,
        session_offsets=histories.session_offsets,
        user_offsets=histories.user_offsets,
        num_items=num_items,
    )


users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)
user_aware = {
    "extend": st.sampled_from([0, 2, 4]),
    "boost": st.sampled_from([0.0, 1.7]),
    "remind": st.booleans(),
}
# Similarities that differ in their last bits alone must not decide who is a neighbour: where
# weights are no whole numbers, all that are compared are neighbours.
sizes = st.sampled_from([(1, 1), (3, 3), (100, 1000)])


def same_as_slow(model, users, others):
    training, histories = timed(users), timed(others, seed=2)
    targets = np.arange(histories.num_events)
    found = model.fit(training).score(histories, targets)
    expected = [
        slow.session_neighbours(training, histories, target, model=model) for target in targets
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    users=users_strategy,
    others=users_strategy,
    sizes=st.sampled_from([(1, 1), (2, 3), (1, 9), (100, 1000)]),
    **user_aware,
)
def test_sknn_equals_the_slow_loops(users, others, sizes, **options):
    same_as_slow(SessionKNN(neighbours=sizes[0], sample_size=sizes[1], **options), users, others)


@settings(deadline=None, max_examples=40)
@given(
    users=users_strategy,
    others=users_strategy,
    sizes=sizes,
    weighting=st.sampled_from(sorted(session_neighbours.WEIGHTINGS)),
    decay=st.sampled_from(sorted(session_neighbours.DECAYS)),
    idf=st.sampled_from([0.0, 2.0]),
    **user_aware,
)
def test_v_sknn_equals_the_slow_loops(users, others, sizes, **options):
    same_as_slow(VSKNN(neighbours=sizes[0], sample_size=sizes[1], **options), users, others)


@settings(deadline=None, max_examples=40)
@given(
    users=users_strategy,
    others=users_strategy,
    sizes=sizes,
    place_scale=st.sampled_from([None, 1.02]),
    age_scale_days=st.sampled_from([None, 0.7]),
    nearness_scale=st.sampled_from([None, 2.05]),
    **user_aware,
)
def test_stan_equals_the_slow_loops(users, others, sizes, **options):
    same_as_slow(STAN(neighbours=sizes[0], sample_size=sizes[1], **options), users, others)


TOY = Histories.from_lists([[[1, 2], [1, 3, 4], [5, 6]]])


def test_sknn_adds_the_cosines_of_the_sessions_that_share():
    """After 1, 2: sessions 1-2 (2 shared of 2 and 2) and 1-3-4 (1 shared of 2 and 3)."""
    asked = Histories.from_lists([[[1, 2, 3]]], num_items=6)
    scores = SessionKNN().fit(TOY).score(asked, [2])
    first, second = 2 / np.sqrt(2 * 2), 1 / np.sqrt(2 * 3)
    np.testing.assert_allclose(scores, [[first + second, first, second, second, 0, 0]])


def test_v_sknn_weighs_places_steps_and_rarity():
    """After 1, 2: w is 1/2 and 2/2; 1-3-4 shares the event that is two steps back."""
    asked = Histories.from_lists([[[1, 2, 3]]], num_items=6)
    scores = VSKNN(idf=1.0).fit(TOY).score(asked, [2])
    first, second = (0.5 + 1) / 2 * 1, 0.5 / 2 * (1 / 2)
    common, rare = 1 + np.log(3 / 2), 1 + np.log(3 / 1)
    expected = [common * (first + second), rare * first, rare * second, rare * second, 0, 0]
    np.testing.assert_allclose(scores, [expected])


def test_stan_weighs_places_age_and_nearness():
    """After 1 alone, half a day after session 1-3-4 ended and a day and a half after 1-2 did."""
    training = Histories(
        item_ids=np.array([1, 2, 1, 3, 4]),
        timestamps=np.array([0, 0, 1, 1, 1]) * DAY,
        session_offsets=np.array([0, 2, 5]),
        user_offsets=np.array([0, 5]),
        num_items=4,
    )
    asked = Histories(
        item_ids=np.array([1, 2]),
        timestamps=np.array([3, 3]) * (DAY // 2),
        session_offsets=np.array([0, 2]),
        user_offsets=np.array([0, 2]),
        num_items=4,
    )
    model = STAN(place_scale=1.0, age_scale_days=1.0, nearness_scale=2.0).fit(training)
    old, new = np.exp(-1.5) / np.sqrt(2), np.exp(-0.5) / np.sqrt(3)
    expected = [old + new, old * np.exp(-0.5), new * np.exp(-0.5), new * np.exp(-1.0)]
    np.testing.assert_allclose(model.score(asked, [1]), [expected])


def test_stan_without_its_scales_is_sknn():
    users = [[[1, 2, 5], [2, 3]], [[3, 4, 1, 3], [6]], [[5, 2], [4, 4, 1]]]
    training = timed(users)
    targets = np.arange(training.num_events)
    plain = STAN(neighbours=3, place_scale=None, age_scale_days=None, nearness_scale=None)
    np.testing.assert_allclose(
        plain.fit(training).score(training, targets),
        SessionKNN(neighbours=3).fit(training).score(training, targets),
    )


def test_a_session_is_extended_by_the_users_last_events_and_own_sessions_count_more():
    asked = Histories.from_lists([[[5, 1], [1, 2]]], num_items=6)
    # The second session's first event has nothing before it but the user's past: 5, 1.
    alone = SessionKNN().fit(TOY).score(asked, [2])
    extended = SessionKNN(extend=2).fit(TOY).score(asked, [2])
    before = SessionKNN().fit(TOY).score(Histories.from_lists([[[5, 1, 1]]], num_items=6), [2])
    assert not alone.any()
    np.testing.assert_array_equal(extended, before)
    # After 1, the user's own session 5-1 shares one of its two items.
    boosted = SessionKNN(boost=3.0).fit(TOY).score(asked, [3])
    gained = boosted - SessionKNN().fit(TOY).score(asked, [3])
    np.testing.assert_allclose(gained, 3 / np.sqrt(2) * np.array([[1, 0, 0, 0, 1, 0]]), atol=1e-12)


@pytest.mark.parametrize("cls", [SessionKNN, VSKNN, STAN])
def test_what_comes_later_is_never_read(cls):
    training = timed([[[1, 2, 5], [2, 3]], [[3, 4, 1, 3], [6]]])
    model = cls(extend=3, boost=2.0).fit(training)
    whole = Histories.from_lists([[[1, 2], [3, 4, 5]]], num_items=6)
    cut = Histories.from_lists([[[1, 2], [3, 4]]], num_items=6)
    np.testing.assert_array_equal(model.score(whole, [3]), model.score(cut, [3]))


@pytest.mark.parametrize("cls", [SessionKNN, VSKNN, STAN])
@pytest.mark.parametrize("k", [1, 4, 6])
@given(users=users_strategy, others=users_strategy)
@settings(max_examples=15, deadline=None)
def test_the_best_are_those_of_all_scores(cls, k, users, others):
    model = cls(remind=False, boost=0.5, extend=2).fit(timed(users))
    asked = timed(others, seed=2)
    targets = np.arange(asked.num_events)
    scores = model.score(asked, targets)
    best = model.best(asked, targets, k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(best.item_ids, order + 1)
    np.testing.assert_array_equal(best.scores, np.take_along_axis(scores, order, axis=1))


def test_targets_taken_in_blocks_score_the_same(monkeypatch):
    training = timed([[[1, 2, 5], [2, 3]], [[3, 4, 1, 3], [6]]])
    targets = np.arange(training.num_events)
    model = VSKNN(extend=2, boost=1.0).fit(training)
    whole = model.score(training, targets)
    monkeypatch.setattr(session_neighbours, "MAX_POSTINGS", 2)
    np.testing.assert_array_equal(model.score(training, targets), whole)


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`sample_size` was 10, but 100 `neighbours`.*Pass at"):
        SessionKNN(sample_size=10)
    with pytest.raises(ValueError, match=r"`weighting` was 'dif'.*Did you mean 'div'\?"):
        VSKNN(weighting="dif")
    with pytest.raises(ValueError, match=r"`nearness_scale` was 0, but .* Pass a scale above 0"):
        STAN(nearness_scale=0)
    with pytest.raises(ValueError, match=r"`boost` must be a finite number.*Pass the weight"):
        STAN(boost=-1)
