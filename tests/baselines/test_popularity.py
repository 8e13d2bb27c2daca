import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.baselines import (
    BPRMF,
    ItemKNN,
    PersonalPopularity,
    Popularity,
    SessionPopularity,
)
from hrec_tf.data.histories import Histories
from tests.reference import baseline_scores as slow

# Supports of items 1..5 by events: 4, 3, 2, 1, 0; by sessions: 2, 3, 2, 1, 0.
TRAINING = Histories.from_lists([[[1, 1, 1, 2], [2, 3]], [[1, 2, 3, 4]]], num_items=5)
# Events 0..2 are the first user's past; 3..6 its session; 7..8 another user's first session.
EVALUATION = Histories.from_lists([[[3, 4, 4], [5, 2, 2, 1]], [[5, 3]]], num_items=5)

users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


def test_popularity_is_the_support_of_events_or_sessions():
    """models G.1: every target gets the same scores."""
    scores = Popularity().fit(TRAINING).score(EVALUATION, np.array([4, 8]))
    assert scores.tolist() == [[4, 3, 2, 1, 0]] * 2
    scores = Popularity(support="sessions").fit(TRAINING).score(EVALUATION, np.array([4]))
    assert scores.tolist() == [[2, 3, 2, 1, 0]]


def test_reference_popularity_knows_only_its_top():
    """models G.1, reference: supp / (1 + supp) for the top, 0 for the others."""
    scores = Popularity(top_n=2).fit(TRAINING).score(EVALUATION, np.array([4]))
    assert scores.tolist() == [[4 / 5, 3 / 4, 0, 0, 0]]


def test_session_popularity_golden_values():
    """models G.2: before event 6 the session held 5 once and 2 twice; the current item counts."""
    scores = SessionPopularity().fit(TRAINING).score(EVALUATION, np.array([3, 4, 6]))
    tie_break = np.array([4 / 5, 3 / 4, 2 / 3, 1 / 2, 0])
    counts = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 2, 0, 0, 1]])
    np.testing.assert_array_equal(scores, counts + tie_break)


def test_session_popularity_breaks_ties_by_the_top_only():
    scores = SessionPopularity(top_n=1).fit(TRAINING).score(EVALUATION, np.array([6]))
    assert scores.tolist() == [[4 / 5, 2, 0, 0, 1]]


def test_personal_popularity_golden_values():
    """models G.3: the past held 3 once and 4 twice; the session so far is an option."""
    tie_break = np.array([4 / 5, 3 / 4, 2 / 3, 1 / 2, 0])
    targets = np.array([6, 3])
    past_only = PersonalPopularity(include_current_session=False).fit(TRAINING)
    np.testing.assert_array_equal(
        past_only.score(EVALUATION, targets), np.array([[0, 0, 1, 2, 0]] * 2) + tie_break
    )
    with_session = PersonalPopularity().fit(TRAINING)
    np.testing.assert_array_equal(
        with_session.score(EVALUATION, targets),
        np.array([[0, 2, 1, 2, 1], [0, 0, 1, 2, 0]]) + tie_break,
    )


def test_an_unknown_user_gets_the_order_of_popularity():
    """models G.3: event 8 belongs to a user without earlier sessions."""
    personal = PersonalPopularity(include_current_session=False).fit(TRAINING)
    scores = personal.score(EVALUATION, np.array([8]))
    popular = Popularity().fit(TRAINING).score(EVALUATION, np.array([8]))
    np.testing.assert_array_equal(np.argsort(-scores), np.argsort(-popular))


@settings(deadline=None, max_examples=25)
@given(users=users_strategy, others=users_strategy)
def test_popularity_family_equals_the_slow_loops(users, others):
    training = Histories.from_lists(users, num_items=6)
    histories = Histories.from_lists(others, num_items=6)
    targets = np.arange(histories.num_events)[::-1]
    found = SessionPopularity(top_n=None).fit(training).score(histories, targets)
    expected = [slow.session_popularity(training, histories, target) for target in targets]
    np.testing.assert_array_equal(found, expected)
    for with_session in (True, False):
        personal = PersonalPopularity(include_current_session=with_session).fit(training)
        expected = [
            slow.personal_popularity(training, histories, target, with_session)
            for target in targets
        ]
        np.testing.assert_array_equal(personal.score(histories, targets), expected)
    for support in ("events", "sessions"):
        found = Popularity(support=support).fit(training).score(histories, targets[:1])
        np.testing.assert_array_equal(found[0], slow.supports(training, support))


def same_with_another_future(baselines, users, data):
    """pitfalls 2: with the rest of the user's events changed, the scores stay the same."""
    histories = Histories.from_lists(users, num_items=6)
    target = data.draw(st.integers(0, histories.num_events - 1))
    changed = Histories(
        **{
            **vars_of(histories),
            "item_ids": np.where(
                np.arange(histories.num_events) >= target,
                7 - histories.item_ids,
                histories.item_ids,
            ),
        }
    )
    for baseline in baselines:
        baseline.fit(histories)
        np.testing.assert_array_equal(
            baseline.score(histories, [target]), baseline.score(changed, [target])
        )


@settings(deadline=None, max_examples=25)
@given(users=users_strategy, data=st.data())
def test_no_baseline_reads_the_target_or_anything_later(users, data):
    counting = Popularity(), SessionPopularity(), PersonalPopularity()
    neighbours = ItemKNN(), ItemKNN(query="session")
    same_with_another_future((*counting, *neighbours), users, data)


@settings(deadline=None, max_examples=4)
@given(users=users_strategy, data=st.data())
def test_nor_does_one_that_learns(users, data):
    same_with_another_future((BPRMF(), BPRMF(user="user")), users, data)


def vars_of(histories):
    names = ("timestamps", "session_offsets", "user_offsets", "num_items", "target_weights")
    return {name: getattr(histories, name) for name in names}


def test_bad_input_is_named_and_mended():
    """pitfalls 4: score before fit, another catalogue, an event that is not there, no events."""
    with pytest.raises(ValueError, match=r"`score` was called on a Popularity.*Call `fit"):
        Popularity().score(EVALUATION, [1])
    with pytest.raises(ValueError, match=r"num_items 6.*fitted on 5 items.*Encode both"):
        Popularity().fit(TRAINING).score(Histories.from_lists([[[1, 2]]], num_items=6), [1])
    with pytest.raises(ValueError, match=r"`targets` holds 9 \(row 1\).*events 0\.\.8\. Pass"):
        Popularity().fit(TRAINING).score(EVALUATION, [1, 9])
    with pytest.raises(TypeError, match=r"`targets` has shape \(1,\) and type float64, but must"):
        Popularity().fit(TRAINING).score(EVALUATION, [1.5])
    empty = TRAINING.select(np.zeros(TRAINING.num_events, bool))
    with pytest.raises(ValueError, match=r"`histories` holds 0 events.*Check how"):
        ItemKNN().fit(empty)
    with pytest.raises(ValueError, match=r"`top_n` must be a positive int, but was 0\. Pass"):
        SessionPopularity(top_n=0)
    with pytest.raises(ValueError, match=r"`support` was 'event'.*Did you mean 'events'\?"):
        Popularity(support="event")
