import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.baselines import BPRMF, Popularity
from hrec_tf.data.histories import Histories
from tests.reference import baseline_scores as slow

USER, SESSION = [[1, 2, 3], [2, 3]], [[4, 5, 4]]
TRAINING = Histories.from_lists([USER, SESSION], num_items=6)

users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=3),
    min_size=1,
    max_size=4,
)


def parameters(model):
    return [model.context_vectors[0], model.item_vectors, model.item_biases]


def started(p, q, **options):
    """A model that stands at given vectors, without biases."""
    model = BPRMF(factors=len(p[0]), **options)
    model.context_vectors, model.item_vectors = [np.array(p, float)], np.array(q, float)
    model.item_biases = np.zeros(len(q))
    return model


def test_one_step_golden_values():
    """equations G.5: p = 1, q_i = log 3, q_j = 0, so x_ui - x_uj = log 3 and σ(-log 3) = 1/4."""
    model = started([[1.0]], [[np.log(3)], [0.0], [7.0]], learning_rate=0.4)
    model._descend([np.array([0])], np.array([0]), np.array([1]))
    np.testing.assert_allclose(model.context_vectors[0], [[1 + 0.1 * np.log(3)]], rtol=1e-6)
    np.testing.assert_allclose(model.item_vectors, [[np.log(3) + 0.1], [-0.1], [7]], rtol=1e-6)
    np.testing.assert_allclose(model.item_biases, [0.1, -0.1, 0], rtol=1e-6)


def test_an_item_drawn_against_itself_only_shrinks():
    """equations G.5: x_ui - x_ui = 0, and λ_q counts for i and for j."""
    model = started([[1.0]], [[2.0]], learning_rate=0.1, context_l2=0.5, item_l2=0.25)
    model._descend([np.array([0])], np.array([0]), np.array([0]))
    np.testing.assert_allclose(model.context_vectors[0], [[1 - 0.1 * 0.5]], rtol=1e-6)
    np.testing.assert_allclose(model.item_vectors, [[2 - 2 * 0.1 * 0.25 * 2]], rtol=1e-6)


@pytest.mark.parametrize("i, j", [(2, 1), (1, 1)])
def test_a_step_descends_the_loss(i, j):
    """equations G.5: it is the rate times the gradient of the example's loss."""
    rng = np.random.default_rng(0)
    model = started(rng.normal(size=(2, 3)), rng.normal(size=(3, 3)), context_l2=0.3, item_l2=0.2)
    model.item_biases = rng.normal(size=3)
    before = [values.copy() for values in parameters(model)]

    def loss(p, q, b):
        return (
            np.log1p(np.exp(-(b[i] - b[j] + p[1] @ (q[i] - q[j]))))
            + 0.3 / 2 * p[1] @ p[1]
            + 0.2 / 2 * (q[i] @ q[i] + q[j] @ q[j] + b[i] ** 2 + b[j] ** 2)
        )

    model._descend([np.array([1])], np.array([i]), np.array([j]))
    for values, after in zip(before, parameters(model), strict=True):
        for place in np.ndindex(values.shape):
            held, losses = values[place], []
            for offset in (1e-6, -1e-6):
                values[place] = held + offset
                losses.append(loss(*before))
            values[place] = held
            slope = (losses[0] - losses[1]) / 2e-6
            assert after[place] - held == pytest.approx(-model.learning_rate * slope, abs=1e-6)


@settings(deadline=None, max_examples=8)
@given(
    users=users_strategy,
    others=users_strategy,
    user=st.sampled_from(["session", "user"]),
    l2=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 3),
)
def test_it_equals_the_slow_loops(users, others, user, l2, seed):
    training = Histories.from_lists(users, num_items=6)
    histories = Histories.from_lists(others, num_items=6)
    options = {
        "factors": 3,
        "learning_rate": 0.3,
        "epochs": 2,
        "context_l2": l2,
        "item_l2": l2 / 2,
        "init_range": 0.5,
        "user": user,
        "seed": seed,
    }
    found = BPRMF(**options).fit(training)
    p, q, b = slow.bpr_mf(training, **options)
    for values, expected in zip(parameters(found), (p, q, b), strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
    targets = np.arange(histories.num_events)
    expected = [slow.bpr_mf_scores(q, b, histories, target, user) for target in targets]
    np.testing.assert_allclose(found.score(histories, targets), expected, rtol=1e-4, atol=1e-5)


def test_without_vectors_only_biases_are_learnt_and_rank_as_popularity():
    """equations G.5: vectors that start at 0 stay there, so every target gets the biases."""
    often = Histories.from_lists([[[1, 1, 1, 1, 2, 2, 3]] * 8], num_items=4)
    model = BPRMF(init_range=0.0, learning_rate=0.05, epochs=20).fit(often)
    assert not model.item_vectors.any() and not model.context_vectors[0].any()
    scores = model.score(often, np.arange(7))
    np.testing.assert_array_equal(scores, np.tile(model.item_biases, (7, 1)))
    popular = Popularity().fit(often).score(often, [0])[0]
    np.testing.assert_array_equal(np.argsort(-scores[0]), np.argsort(-popular))


def test_without_biases_a_first_event_scores_nothing():
    model = BPRMF(item_bias=False, learning_rate=0.5).fit(TRAINING)
    assert not model.item_biases.any() and model.item_vectors.any()
    assert not model.score(TRAINING, [0, 3, 5]).any()


def test_the_mean_is_over_the_session_or_over_the_user():
    by_session = BPRMF(learning_rate=0.2).fit(TRAINING)
    by_user = BPRMF(learning_rate=0.2, user="user").fit(TRAINING)
    assert (len(by_session.context_vectors[0]), len(by_user.context_vectors[0])) == (3, 2)
    # Event 4 is the second of its user's second session.
    for model, seen in ((by_session, [2]), (by_user, [1, 2, 3, 2])):
        q = model.item_vectors
        mean = q[np.array(seen) - 1].mean(axis=0)
        np.testing.assert_allclose(
            model.score(TRAINING, [4])[0], q @ mean + model.item_biases, rtol=1e-12
        )


def test_items_of_one_session_come_to_lie_together():
    groups = Histories.from_lists([[[1, 2, 3], [2, 1, 3]] * 5, [[4, 5, 6], [6, 5, 4]] * 5])
    model = BPRMF(factors=8, learning_rate=0.1, epochs=60).fit(groups)
    scores = model.score(groups, [1])[0]
    assert scores[:3].min() > scores[3:].max()


def test_scores_follow_from_the_seed():
    first, again, other = (BPRMF(seed=seed).fit(TRAINING) for seed in (1, 1, 2))
    for same, values, different in zip(*map(parameters, (first, again, other)), strict=True):
        np.testing.assert_array_equal(same, values)
        assert (same != different).any()


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`user` was 'usr'.*Did you mean 'user'\?"):
        BPRMF(user="usr")
    with pytest.raises(ValueError, match=r"`factors` must be a positive int, but was 0\. Pass"):
        BPRMF(factors=0)
    with pytest.raises(ValueError, match=r"`item_l2` must be a finite number.*Pass λ_v"):
        BPRMF(item_l2=-1)
    with pytest.raises(ValueError, match=r"`seed` must be an int of at least 0, but was None"):
        BPRMF(seed=None)
    with pytest.raises(
        ValueError, match=r"`learning_rate` was 1e\+200, .*grew beyond.*smaller rate"
    ):
        BPRMF(learning_rate=1e200).fit(TRAINING)
