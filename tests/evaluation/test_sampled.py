"""evaluation 1.4: targets among drawn items, and among all items next to that."""

from dataclasses import replace

import numpy as np
import pytest

from hrec_tf.baselines import PersonalPopularity
from hrec_tf.baselines.baseline import Baseline
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import SampledNegatives, evaluate, rank_baseline, rank_model
from hrec_tf.recipe import Recipe
from tests.reference.counting_model import CountingModel, slow_counts

NUM_ITEMS = 30


def histories(num_users=12):
    draw = np.random.default_rng(3)
    users = [[[int(i) for i in draw.integers(1, NUM_ITEMS + 1, 6)]] for _ in range(num_users)]
    whole = Histories.from_lists(users, num_items=NUM_ITEMS)
    last = np.zeros(whole.num_events, np.float32)
    last[whole.user_offsets[1:] - 1] = 1
    return replace(whole, target_weights=last)


def slow_ranks(scores, target, drawn):
    own = scores[target - 1]
    others = [scores[item - 1] for item in drawn]
    return sum(s > own for s in others), sum(s == own for s in others)


@pytest.mark.parametrize("sampling", ["strict", "sasrec"])
def test_a_model_and_a_baseline_are_ranked_among_the_items_drawn(sampling):
    held = histories()
    sampled = SampledNegatives(10, sampling)
    model = CountingModel(num_items=NUM_ITEMS)
    ranks = rank_model(model, held, sampled=sampled, num_lanes=3, steps=4, score_bytes=500)
    drawn = sampled.draw(held, ranks.target)
    for row, target in enumerate(ranks.target):
        scores, item = model.slow_scores(held, target), int(held.item_ids[target])
        assert (ranks.greater[row], ranks.equal[row]) == slow_ranks(scores, item, drawn[row])
        assert (ranks.full.greater[row], ranks.full.equal[row]) == slow_counts(scores, item)
    assert (ranks.candidates, ranks.num_candidates) == (f"sampled=10, {sampling}", 10)

    personal = PersonalPopularity().fit(held)
    ranks = rank_baseline(personal, held, sampled=sampled, block=5)
    scores = personal.score(held, ranks.target)
    for row, target in enumerate(ranks.target):
        item = int(held.item_ids[target])
        found = (ranks.greater[row], ranks.equal[row])
        assert found == slow_ranks(scores[row], item, drawn[row])
    whole = rank_baseline(personal, held)
    np.testing.assert_array_equal(ranks.full.greater, whole.greater)
    np.testing.assert_array_equal(ranks.full.equal, whole.equal)


def test_strict_draws_each_item_once_and_none_that_the_user_took():
    held = histories()
    points = held.user_offsets[1:] - 1
    drawn = SampledNegatives(20).draw(held, points)
    for row, (first, end) in enumerate(
        zip(held.user_offsets[:-1], held.user_offsets[1:], strict=True)
    ):
        assert len(set(drawn[row])) == 20
        assert not set(drawn[row]) & set(held.item_ids[first:end])


def test_sasrec_draws_with_replacement_all_but_the_items_before_the_target():
    held = Histories.from_lists([[[5, 1], [1, 2, 3]], [[4]]], num_items=5)
    drawn = SampledNegatives(50, "sasrec").draw(held, np.array([4, 5]))
    assert set(drawn[0]) == {3, 4}  # the target, too
    assert set(drawn[1]) == {1, 2, 3, 4, 5}


def test_sasrec_draws_all_but_the_users_items_of_training():
    """That of validation may be drawn; where it was dropped, the one before is of training."""
    users = {"user_ids": np.array([1, 2, 3])}
    training = replace(Histories.from_lists([[[5, 1]], [[2, 1]], [[3]]], num_items=6), **users)
    held = Histories.from_lists([[[4, 6, 1]], [[2, 1, 3]], [[5, 1, 6, 2]]], num_items=6)
    held = replace(held, user_ids=np.array([9, 2, 1]))
    points = held.user_offsets[1:] - 1
    drawn = SampledNegatives(80, "sasrec", training=training).draw(held, points)
    assert set(drawn[0]) == {1, 2, 3, 4, 5, 6}, "a user that training does not have"
    assert set(drawn[1]) == {3, 4, 5, 6}
    assert set(drawn[2]) == {2, 3, 4, 6}, "6 is that of validation"
    for options, message in (
        ({"training": training}, "`training` was given with sampling='strict'"),
        ({"training": replace(training, user_ids=None), "sampling": "sasrec"}, "no `user_ids`"),
    ):
        with pytest.raises(ValueError, match=message):
            SampledNegatives(5, **options)
    with pytest.raises(ValueError, match="`histories` holds no `user_ids`"):
        SampledNegatives(5, "sasrec", training=training).draw(replace(held, user_ids=None), points)


def test_every_method_sees_the_same_draws_and_another_seed_others():
    held = histories()
    points = held.user_offsets[1:] - 1
    whole = SampledNegatives(8).draw(held, points)
    np.testing.assert_array_equal(SampledNegatives(8).draw(held, points[4:]), whole[4:])
    assert not np.array_equal(SampledNegatives(8, seed=1).draw(held, points), whole)


class RandomScores(Baseline):
    def _fit(self, histories):
        self.draw = np.random.default_rng(5)

    def _score(self, histories, targets):
        return self.draw.random((len(targets), histories.num_items))


def test_random_scores_hit_ten_times_in_a_hundred_and_one():
    """evaluation 4: Hit@10 among 100 drawn items and the target is 10 / 101."""
    users = [[[int(user % 200) + 1, int(user * 7 % 200) + 1]] for user in range(20_000)]
    held = Histories.from_lists(users, num_items=200)
    found = evaluate(RandomScores().fit(held), held, ks=[10], sampled=SampledNegatives())
    # Three standard deviations of a share of 20,000.
    assert found.metrics["Recall@10"] == pytest.approx(10 / 101, abs=3 * np.sqrt(0.09 / 20_000))
    assert found.metrics["full Recall@10"] == pytest.approx(10 / 200, abs=0.005)
    assert found.per_session["full MRR@10"].shape == (20_000,)


def test_what_does_not_fit_is_named_and_mended():
    held = histories()
    with pytest.raises(ValueError, match=r"`sampled_negatives` was 29, but \d+ of 30 items"):
        SampledNegatives(29).draw(held, held.user_offsets[1:] - 1)
    with pytest.raises(ValueError, match=r"`sampling` was 'strikt'.*Did you mean 'strict'"):
        SampledNegatives(5, "strikt")
    with pytest.raises(ValueError, match=r"with top_pop=3.*Leave out one"):
        rank_baseline(PersonalPopularity().fit(held), held, top_pop=3, sampled=SampledNegatives(5))


def test_a_recipe_asks_for_drawn_items():
    recipe = Recipe.from_dict({"model": "pop", "evaluation": {"sampled_negatives": 5, "ks": [3]}})
    from hrec_tf import fitting

    held = histories()
    found = fitting.evaluate(recipe, recipe.entry.build(num_items=NUM_ITEMS).fit(held), held)
    assert found.ranks.candidates == "sampled=5, strict"
    with pytest.raises(ValueError, match=r"`sampling` was 'sasrec' without `sampled_negatives`"):
        Recipe.from_dict({"model": "pop", "evaluation": {"sampling": "sasrec"}}).check()
