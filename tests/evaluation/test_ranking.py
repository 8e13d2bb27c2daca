import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from hrec_tf.baselines import ItemKNN, PersonalPopularity, Popularity
from hrec_tf.baselines.baseline import Baseline
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import NonFiniteScoresError, Ranks, rank_baseline, rank_model
from hrec_tf.schema import CONCATENATED, LANE_LAYOUTS, SESSION_PARALLEL
from tests.reference.counting_model import CountingModel, slow_counts

NUM_ITEMS = 6
# Five users; each session but the last of a user only bootstraps.
USERS = [
    [[1, 2, 3], [4, 5], [2, 6, 1, 3]],
    [[6, 6, 2]],
    [[3], [1, 4, 1], [5, 2]],
    [[2, 3], [1]],
    [[4, 4, 5, 6], [3, 1, 2]],
]


def evaluation_histories(users=USERS):
    histories = Histories.from_lists(users, num_items=NUM_ITEMS)
    last_session = np.zeros(histories.num_events, np.float32)
    starts = histories.session_offsets
    for end in histories.user_offsets[1:]:
        last_session[starts[np.searchsorted(starts, end) - 1] : end] = 1
    return replace(histories, target_weights=last_session)


def assert_ranks_equal_the_slow_loops(ranks, model, histories, candidates=None):
    for point, target in enumerate(ranks.target):
        scores = model.slow_scores(histories, target)
        expected = slow_counts(scores, int(histories.item_ids[target]), candidates)
        assert (ranks.greater[point], ranks.equal[point]) == expected


class FixedScores(Baseline):
    """Gives every target the same scores."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, np.float64)

    def _fit(self, histories):
        pass

    def _score(self, histories, targets):
        return np.tile(self.scores, (len(targets), 1))


@pytest.mark.parametrize("layout", LANE_LAYOUTS)
def test_a_model_is_ranked_as_by_slow_loops(layout):
    """evaluation 2: earlier sessions only bootstrap; the first test event is no target."""
    histories = evaluation_histories()
    model = CountingModel(num_items=NUM_ITEMS, layout=layout)
    ranks = rank_model(model, histories, num_lanes=2, steps=3)
    assert ranks.target.tolist() == [6, 7, 8, 10, 11, 17, 26, 27]
    assert ranks.num_candidates == NUM_ITEMS
    assert_ranks_equal_the_slow_loops(ranks, model, histories)


def test_golden_ranks_of_a_bigram_model():
    """After 1 comes 2 (score 3), else 3 and 1 (both 2), else 4 (0): written out by hand."""
    table = np.zeros((8, 4))
    table[4 + 0] = [2, 3, 2, 0]  # the row of last item 1
    model = CountingModel(num_items=4, layout=SESSION_PARALLEL, table=table)
    histories = Histories.from_lists([[[1, 2]], [[1, 1]], [[1, 4]], [[2, 3]]], num_items=4)
    ranks = rank_model(model, histories)
    assert ranks.greater.tolist() == [0, 1, 3, 0]
    assert ranks.equal.tolist() == [0, 1, 0, 3]
    assert ranks.tie_share == 0.5
    assert ranks.ranks("conservative").tolist() == [1, 3, 4, 4]
    assert ranks.ranks("standard").tolist() == [1, 2, 4, 1]
    assert ranks.ranks("median").tolist() == [1, 2.5, 4, 2.5]


def test_feeding_the_last_item_changes_what_is_remembered():
    """models B.7: with `feed_last_item` a session's last event reaches the next session."""
    histories = evaluation_histories()
    fed = CountingModel(num_items=NUM_ITEMS, feed_last_item=True)
    ranks = rank_model(fed, histories, num_lanes=2, steps=4)
    assert_ranks_equal_the_slow_loops(ranks, fed, histories)
    unfed = rank_model(CountingModel(num_items=NUM_ITEMS), histories)
    assert not np.array_equal(ranks.greater, unfed.greater)


def test_history_tells_users_with_the_same_session_apart():
    """models B.6: equal current sessions, different pasts; and what is cut off is forgotten."""
    histories = evaluation_histories([[[1, 2], [4, 1, 5]], [[3, 3, 3, 2], [4, 1, 5]]])
    model = CountingModel(num_items=NUM_ITEMS)
    found = rank_model(model, histories).greater.reshape(2, 2)
    assert not np.array_equal(found[0], found[1])
    cut = rank_model(model, histories, bootstrap_sessions=0).greater.reshape(2, 2)
    assert np.array_equal(cut[0], cut[1])


@pytest.mark.integration
def test_models_that_are_gone_are_not_kept_alive():
    """What is compiled for a model goes with it."""
    model = CountingModel(num_items=NUM_ITEMS)
    rank_model(model, evaluation_histories())
    alive = weakref.ref(model)
    del model
    # A model and what was traced of it are freed in rounds.
    for _ in range(3):
        gc.collect()
    assert alive() is None


def test_new_weights_are_seen_though_the_model_was_compiled_before():
    model = CountingModel(num_items=NUM_ITEMS)
    model.table = tf.Variable(model.table)
    before = rank_model(model, evaluation_histories())
    model.table.assign(-model.table)
    after = rank_model(model, evaluation_histories())
    np.testing.assert_array_equal(after.greater, NUM_ITEMS - 1 - before.greater - before.equal)


@pytest.mark.integration
def test_reading_by_xla_gives_the_same():
    histories = evaluation_histories()
    model = CountingModel(num_items=NUM_ITEMS)
    plain, xla = (rank_model(model, histories, jit_compile=jit) for jit in (False, True))
    np.testing.assert_array_equal(plain.greater, xla.greater)
    np.testing.assert_array_equal(plain.equal, xla.equal)


@settings(deadline=None, max_examples=8)
@given(
    users=st.lists(
        st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=3),
        min_size=1,
        max_size=5,
    ).filter(lambda users: any(len(session) > 1 for user in users for session in user)),
    layout=st.sampled_from(LANE_LAYOUTS),
    num_lanes=st.integers(1, 7),
    steps=st.integers(1, 5),
    score_bytes=st.sampled_from([1, 60, 10_000]),
)
def test_every_target_is_ranked_once_whatever_the_lanes(
    users, layout, num_lanes, steps, score_bytes
):
    """pitfalls 1, lines 3, 11 and 12: all tails, every event after the first, few sessions."""
    histories = Histories.from_lists(users, num_items=NUM_ITEMS)
    model = CountingModel(num_items=NUM_ITEMS, layout=layout)
    ranks = rank_model(model, histories, num_lanes=num_lanes, steps=steps, score_bytes=score_bytes)
    assert ranks.num_points == histories.num_pairs
    assert ranks.target.tolist() == np.flatnonzero(~histories.session_starts).tolist()
    assert_ranks_equal_the_slow_loops(ranks, model, histories)


@pytest.mark.parametrize("layout", LANE_LAYOUTS)
def test_order_of_users_does_not_matter(layout):
    """pitfalls 1, line 2: the state of one user or session never reaches the next."""
    model = CountingModel(num_items=NUM_ITEMS, layout=layout)
    forward = rank_model(model, evaluation_histories(), num_lanes=2, steps=2)
    backward = rank_model(model, evaluation_histories(USERS[::-1]), num_lanes=2, steps=2)
    assert sorted(zip(forward.greater, forward.equal, strict=True)) == sorted(
        zip(backward.greater, backward.equal, strict=True)
    )


def test_order_of_sessions_does_not_matter_without_history():
    sessions = [[1, 2, 3], [4, 5], [2, 6, 1, 3], [5, 5]]
    model = CountingModel(num_items=NUM_ITEMS, layout=SESSION_PARALLEL)
    forward = rank_model(model, Histories.from_lists([sessions], num_items=NUM_ITEMS))
    backward = rank_model(model, Histories.from_lists([sessions[::-1]], num_items=NUM_ITEMS))
    assert sorted(forward.greater) == sorted(backward.greater)


@pytest.mark.parametrize("top_pop", [1, 3, 6])
def test_top_pop_ranks_against_the_most_supported_items(top_pop):
    """evaluation 1.4: candidates are items 1..n and the target."""
    histories = evaluation_histories()
    candidates = range(1, top_pop + 1)
    model = CountingModel(num_items=NUM_ITEMS)
    ranks = rank_model(model, histories, top_pop=top_pop, num_lanes=2, score_bytes=40)
    assert (ranks.candidates, ranks.num_candidates) == (f"top_pop={top_pop}", top_pop)
    assert_ranks_equal_the_slow_loops(ranks, model, histories, candidates)
    baseline = FixedScores([1, 5, 5, 2, 1, 7]).fit(histories)
    ranks = rank_baseline(baseline, histories, top_pop=top_pop, block=3)
    for point, target in enumerate(ranks.target):
        expected = slow_counts(baseline.scores, int(histories.item_ids[target]), candidates)
        assert (ranks.greater[point], ranks.equal[point]) == expected


def test_concatenated_models_may_rank_first_events_of_sessions():
    """models A.4: dropped by default, for a fair comparison."""
    histories = evaluation_histories()
    model = CountingModel(num_items=NUM_ITEMS, layout=CONCATENATED)
    ranks = rank_model(model, histories, session_starts=True)
    assert ranks.target.tolist() == [5, 6, 7, 8, 10, 11, 16, 17, 20, 25, 26, 27]
    assert_ranks_equal_the_slow_loops(ranks, model, histories)
    baseline = rank_baseline(Popularity().fit(histories), histories, session_starts=True)
    assert baseline.target.tolist() == ranks.target.tolist()


@pytest.mark.parametrize(
    "baseline", [PersonalPopularity(), ItemKNN(regularisation=0), ItemKNN(query="session")]
)
def test_a_baseline_is_ranked_by_its_scores_in_any_block(baseline):
    histories = evaluation_histories()
    baseline.fit(histories)
    whole, cut = rank_baseline(baseline, histories), rank_baseline(baseline, histories, block=3)
    scores = baseline.score(histories, whole.target)
    expected = [
        slow_counts(row, int(histories.item_ids[target]))
        for row, target in zip(scores, whole.target, strict=True)
    ]
    assert list(zip(whole.greater, whole.equal, strict=True)) == expected
    assert list(zip(cut.greater, cut.equal, strict=True)) == expected


def test_a_baseline_forgets_sessions_that_are_cut_off():
    histories = evaluation_histories([[[5, 5], [1], [3, 2]]])
    personal = PersonalPopularity(include_current_session=False).fit(histories)
    # Supports rank 5 first. Without the past, 2 shares its support of one with 1 and 3.
    assert rank_baseline(personal, histories).greater.tolist() == [2]
    assert rank_baseline(personal, histories, bootstrap_sessions=1).greater.tolist() == [2]
    assert rank_baseline(personal, histories, bootstrap_sessions=0).greater.tolist() == [1]
    assert rank_baseline(personal, histories, bootstrap_sessions=0).equal.tolist() == [2]


def test_constant_scores_under_each_tie_mode():
    """evaluation 1.3: N=100 equal scores; Recall@5 is 1, 0, 0 and about .05."""
    histories = Histories.from_lists([[[item, item % 100 + 1]] for item in range(1, 101)] * 20)
    ranks = rank_baseline(FixedScores(np.full(100, 0.5)).fit(histories), histories)
    assert (ranks.greater == 0).all() and (ranks.equal == 99).all()
    assert ranks.tie_share == 1.0
    hits = {ties: np.mean(ranks.ranks(ties) <= 5) for ties in ("standard", "conservative")}
    assert hits == {"standard": 1.0, "conservative": 0.0}
    assert (ranks.ranks("median") == 50.5).all()
    drawn = ranks.ranks("random", seed=1)
    assert (drawn.min(), drawn.max()) == (1, 100)
    assert np.mean(drawn <= 5) == pytest.approx(0.05, abs=0.02)
    assert np.array_equal(drawn, ranks.ranks("random", seed=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("top_pop", [None, 2])
def test_scores_that_are_not_finite_stop_the_run(bad, top_pop):
    """pitfalls 1, line 10, and 2: no rank is invented; the first such target is named."""
    table = np.ones((2 * NUM_ITEMS, NUM_ITEMS))
    table[NUM_ITEMS + 3, 1] = bad
    model = CountingModel(num_items=NUM_ITEMS, layout=SESSION_PARALLEL, table=table)
    histories = Histories.from_lists([[[1, 2, 4, 3]], [[4, 1]]], num_items=NUM_ITEMS)
    with pytest.raises(NonFiniteScoresError, match=r"of 4 of 4 points hold NaN or infinity.*Look"):
        rank_model(model, histories, top_pop=top_pop)
    scores = np.array([1, bad, 2, 3, 4, 5.0])
    with pytest.raises(NonFiniteScoresError, match=r"4 of 4 points.*event 1 \(item 2\)"):
        rank_baseline(FixedScores(scores).fit(histories), histories, top_pop=top_pop)


def test_bad_options_are_named_and_mended():
    histories = evaluation_histories()
    sessions_only = CountingModel(num_items=NUM_ITEMS, layout=SESSION_PARALLEL)
    with pytest.raises(ValueError, match=r"`bootstrap_sessions` was 2.*Leave it out"):
        rank_model(sessions_only, histories, bootstrap_sessions=2)
    with pytest.raises(ValueError, match=r"`session_starts` was True.*only 'concatenated'"):
        rank_model(CountingModel(num_items=NUM_ITEMS), histories, session_starts=True)
    with pytest.raises(ValueError, match=r"`top_pop` was 7.*has 6 items. Pass a smaller"):
        rank_model(sessions_only, histories, top_pop=7)
    with pytest.raises(ValueError, match=r"`histories` has num_items 6.*knows 5 items\. Encode"):
        rank_model(CountingModel(num_items=5), histories)
    with pytest.raises(ValueError, match="`block` must be a positive int"):
        rank_baseline(Popularity().fit(histories), histories, block=0)


def test_ranks_can_be_narrowed():
    ranks = Ranks(np.array([3, 5, 8]), np.array([0, 1, 2]), np.array([0, 0, 4]), 10)
    kept = ranks.select(np.array([True, False, True]))
    assert kept.target.tolist() == [3, 8] and kept.greater.tolist() == [0, 2]
    assert (kept.tie_share, kept.num_candidates) == (0.5, 10)
