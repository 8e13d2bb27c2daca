from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.baselines import BPRMF, FMC, FPMC
from hrec_tf.data.histories import Histories
from tests.reference import baseline_scores as slow

USERS = [[[1, 2, 3], [2, 3]], [[4, 5, 4]], [[6]]]
users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=3),
    min_size=1,
    max_size=4,
).filter(lambda users: any(sum(map(len, user)) > 1 for user in users))


def known(users, num_items=6, first=1):
    """Histories whose users are numbered from `first` on."""
    histories = Histories.from_lists(users, num_items=num_items)
    return replace(histories, user_ids=np.arange(first, first + histories.num_users))


@pytest.mark.parametrize("cls", [FMC, FPMC])
@settings(deadline=None, max_examples=8)
@given(users=users_strategy, others=users_strategy, l2=st.sampled_from([0.0, 0.2]))
def test_it_equals_the_slow_loops(cls, users, others, l2):
    training, histories = known(users), known(others, first=2)
    options = {"factors": 3, "learning_rate": 0.3, "epochs": 2, "item_l2": l2 / 2}
    model = cls(**options, context_l2=l2, init_range=0.5, seed=4).fit(training)
    p, before, v, b = slow.fpmc(
        training, **options, l2=l2, init_range=0.5, seed=4, with_users=cls is FPMC
    )
    targets = np.arange(histories.num_events)
    expected = []
    for target in targets:
        user = np.searchsorted(histories.user_offsets, target, side="right") - 1
        is_first = target == histories.user_offsets[user]
        c = np.zeros(3) if is_first else before[histories.item_ids[target - 1] - 1]
        if p is not None:
            # User number n of training is row n - 1; here users are numbered from 2 on.
            row = user + 1
            c = np.concatenate([p[row] if row < len(p) else p.mean(axis=0), c])
        expected.append(v @ c + b)
    np.testing.assert_allclose(model.score(histories, targets), expected, rtol=1e-4, atol=1e-5)


def test_without_user_vectors_fpmc_is_fmc():
    """equations G.7: p = 0."""
    training = known(USERS)
    fpmc, fmc = (cls(factors=3).fit(training) for cls in (FPMC, FMC))
    of_users, before = fpmc.context_vectors
    of_users[:] = 0
    fmc.context_vectors = [before]
    fmc.item_vectors, fmc.item_biases = fpmc.item_vectors[:, 3:], fpmc.item_biases
    targets = np.arange(training.num_events)
    np.testing.assert_allclose(fpmc.score(training, targets), fmc.score(training, targets))
    rows, items = np.array([0, 1]), np.array([3, 1])
    fpmc._descend([np.array([2, 0]), rows], items, items[::-1])
    fmc._descend([rows], items, items[::-1])
    np.testing.assert_allclose(fpmc.item_vectors[:, 3:], fmc.item_vectors)
    np.testing.assert_allclose(fpmc.context_vectors[1], fmc.context_vectors[0])


def test_without_item_vectors_of_the_past_fpmc_is_bpr_mf():
    """equations G.7: l = 0."""
    training = known(USERS)
    fpmc = FPMC(factors=3).fit(training)
    bpr = BPRMF(factors=3, user="known_user", learning_rate=fpmc.learning_rate).fit(training)
    of_users, before = fpmc.context_vectors
    before[:] = 0
    bpr.context_vectors = [of_users]
    bpr.item_vectors, bpr.item_biases = fpmc.item_vectors[:, :3], fpmc.item_biases
    targets = np.arange(training.num_events)
    np.testing.assert_allclose(fpmc.score(training, targets), bpr.score(training, targets))
    rows, items = np.array([0, 1]), np.array([3, 1])
    fpmc._descend([rows, np.array([2, 0])], items, items[::-1])
    bpr._descend([rows], items, items[::-1])
    np.testing.assert_allclose(fpmc.item_vectors[:, :3], bpr.item_vectors)
    np.testing.assert_allclose(fpmc.context_vectors[0], bpr.context_vectors[0])


def test_one_step_golden_values():
    """equations G.7: c = [1, 2], v_i = [log 3, 0], v_j = 0, so σ(-log 3) = 1/4."""
    model = FPMC(factors=1, learning_rate=0.4)
    model.context_vectors = [np.array([[1.0]]), np.array([[2.0]])]
    model.item_vectors = np.array([[np.log(3), 0.0], [0.0, 0.0]])
    model.item_biases = np.zeros(2)
    model._descend([np.array([0]), np.array([0])], np.array([0]), np.array([1]))
    np.testing.assert_allclose(model.context_vectors[0], [[1 + 0.1 * np.log(3)]])
    np.testing.assert_allclose(model.context_vectors[1], [[2.0]])
    np.testing.assert_allclose(model.item_vectors, [[np.log(3) + 0.1, 0.2], [-0.1, -0.2]])
    np.testing.assert_allclose(model.item_biases, [0.1, -0.1])


def test_a_known_user_of_bpr_mf_is_scored_by_its_own_vector_and_others_by_their_items():
    training = known(USERS)
    model = BPRMF(factors=3, user="known_user", learning_rate=0.2).fit(training)
    asked = replace(known([[[1, 2]], [[1, 2]]]), user_ids=np.array([2, 0]))
    q, b = model.item_vectors, model.item_biases
    expected = [q @ model.context_vectors[0][1] + b, q @ q[0] + b]
    np.testing.assert_allclose(model.score(asked, [1, 3]), expected)


def test_a_user_that_training_did_not_number_is_unknown_in_both():
    training = replace(known(USERS), user_ids=np.array([0, 1, 2]))
    model = FPMC(factors=3, learning_rate=0.2).fit(training)
    asked = replace(known([[[1, 2]]]), user_ids=np.array([0]))
    p = np.concatenate([model.context_vectors[0].mean(axis=0), model.context_vectors[1][0]])
    expected = model.item_vectors @ p + model.item_biases
    np.testing.assert_allclose(model.score(asked, [1])[0], expected)


def test_histories_that_do_not_tell_users_apart_are_refused():
    plain = Histories.from_lists(USERS, num_items=6)
    with pytest.raises(ValueError, match=r"`histories` has no `user_ids`, but vectors .* Pass"):
        FPMC().fit(plain)
    with pytest.raises(ValueError, match=r"`histories` has no `user_ids`, but .* of known users"):
        FPMC().fit(known(USERS)).score(plain, [1])
    with pytest.raises(ValueError, match=r"holds 2 events, each its user's only one"):
        FMC().fit(Histories.from_lists([[[1]], [[2]]]))
    with pytest.raises(ValueError, match=r"`context_l2` must be a finite number"):
        FPMC(context_l2=-1)
