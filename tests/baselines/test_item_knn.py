import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.baselines import ItemKNN, item_knn
from hrec_tf.data.histories import Histories
from tests.reference import baseline_scores as slow

# Item 1 is in sessions a, b, c; item 2 in a, b, d; item 3 in c, d. Item 4 is alone in e.
TOY = Histories.from_lists([[[1, 2], [1, 2, 1]], [[1, 3], [2, 3], [4, 4]]])

users_strategy = st.lists(
    st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


def similarities(training, **options):
    return ItemKNN(**options).fit(training).similarities.toarray()


def test_without_regularisation_it_is_the_cosine():
    """models G.4: 1 and 2 share two of their three sessions, so the cosine is 2 / 3."""
    found = similarities(TOY, regularisation=0)
    expected = np.zeros((4, 4))
    expected[0, 1] = 2 / np.sqrt(3 * 3)
    expected[0, 2] = 1 / np.sqrt(3 * 2)
    expected[1, 2] = 1 / np.sqrt(3 * 2)
    np.testing.assert_allclose(found, expected + expected.T, rtol=1e-12)


def test_event_pairs_count_repeats():
    """models G.4: session 1-2-1 pairs items 1 and 2 twice, session 1-2 once; supp 4 and 3."""
    found = similarities(TOY, regularisation=20, co_occurrence="pairs")
    assert found[0, 1] == pytest.approx((1 + 2) / np.sqrt((4 + 20) * (3 + 20)))
    assert found[3].tolist() == [0, 0, 0, 0]


def test_alpha_shares_the_normalisation_between_both_items():
    found = similarities(TOY, regularisation=1, alpha=0.75)
    assert found[0, 2] == pytest.approx(1 / ((3 + 1) ** 0.75 * (2 + 1) ** 0.25))
    assert found[2, 0] == pytest.approx(1 / ((2 + 1) ** 0.75 * (3 + 1) ** 0.25))


def test_scores_follow_the_last_item_or_the_mean_of_the_session():
    table = similarities(TOY)
    evaluation = Histories.from_lists([[[2], [3, 1, 1, 2]]], num_items=4)
    targets = np.array([0, 1, 2, 4])
    last = ItemKNN().fit(TOY).score(evaluation, targets)
    # A user's very first event has nothing before it; a session's first has the past.
    np.testing.assert_allclose(last, [np.zeros(4), table[1], table[2], table[0]], rtol=1e-12)
    session = ItemKNN(query="session").fit(TOY).score(evaluation, targets)
    mean = (table[2] + 2 * table[0]) / 3
    np.testing.assert_allclose(session, [np.zeros(4), np.zeros(4), table[2], mean], rtol=1e-12)


def test_of_equal_similarities_the_lowest_ids_stay():
    training = Histories.from_lists([[[1, 2, 3, 4]]])
    found = similarities(training, neighbours=2) > 0
    assert found.astype(int).tolist() == [[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0]]


@settings(deadline=None, max_examples=30)
@given(
    users=users_strategy,
    others=users_strategy,
    neighbours=st.integers(1, 6),
    alpha=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    regularisation=st.sampled_from([0.0, 20.0]),
    co_occurrence=st.sampled_from(item_knn.CO_OCCURRENCES),
    query=st.sampled_from(item_knn.QUERIES),
)
def test_item_knn_equals_the_slow_loops(users, others, query, **options):
    training = Histories.from_lists(users, num_items=6)
    histories = Histories.from_lists(others, num_items=6)
    targets = np.arange(histories.num_events)
    found = ItemKNN(query=query, **options).fit(training).score(histories, targets)
    table = slow.item_similarities(training, **options)
    expected = [slow.item_knn(table, histories, target, query) for target in targets]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_catalogue_counted_in_blocks_gives_the_same(monkeypatch):
    whole = similarities(TOY)
    monkeypatch.setattr(item_knn, "MAX_PRODUCTS", 3)
    np.testing.assert_array_equal(similarities(TOY), whole)


def test_bad_options_are_named_and_mended():
    with pytest.raises(ValueError, match=r"`alpha` must be a share in \[0, 1\], but was 1\.5"):
        ItemKNN(alpha=1.5)
    with pytest.raises(ValueError, match=r"`query` was 'lst'.*Did you mean 'last'\?"):
        ItemKNN(query="lst")
    with pytest.raises(ValueError, match=r"`regularisation` must be a finite number.*Pass λ"):
        ItemKNN(regularisation=float("nan"))
