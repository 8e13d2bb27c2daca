"""Recipes: changing keys, refusing what would be ignored, training what they say."""

from dataclasses import replace

import numpy as np
import pytest

from hrec_tf.baselines import PopularityFM
from hrec_tf.data.features import FeatureSchema, FeatureTable
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_features import FeatureSchemas, LogFeatures
from hrec_tf.data.recent_counts import recent_shares
from hrec_tf.fitting import best_epoch, count_held_out, evaluate, num_pairs, train, with_chosen
from hrec_tf.recipe import Recipe, parse_value, with_shared_changes
from hrec_tf.training import Checkpoint
from hrec_tf.training.head_weights import WEIGHTS
from tests.reference import prefix_mean
from tests.reference.tiny_log import ring_histories

SMALL = {"session_units": 8, "user_units": 8, "num_lanes": 4, "epochs": 2}


def hrnn(**changes):
    return Recipe.load("quadrana2017", "hrnn-init").with_changes(changes)


def test_keys_are_found_by_name_and_by_section():
    recipe = hrnn(epochs=3, num_lanes=7, **{"loss.activation": "linear"})
    assert (recipe.epochs, recipe.stream["num_lanes"]) == (3, 7)
    assert recipe.loss["activation"] == "linear"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "epoch",
            r"`epoch` is no key of the recipe 'hrnn-init' for hrnn-init\. Did you mean 'epochs'",
        ),
        ("stream.num_lane", r"Did you mean 'stream.num_lanes'"),
        ("los.form", r"Did you mean 'loss.form'"),
        ("name", r"`name` may mean optimizer.name, loss.name, negatives.name"),
        ("sample_size", r"`sample_size` is no key"),
    ],
)
def test_a_key_that_there_is_not_is_refused_with_the_nearest(key, message):
    with pytest.raises(ValueError, match=message):
        hrnn(**{key: 1})


def test_a_new_loss_drops_the_arguments_of_the_old_one():
    recipe = hrnn(**{"loss.logq": 0.5, "loss.name": "cross_entropy"})
    assert recipe.loss == {"name": "cross_entropy", "logq": 0.5}
    with pytest.raises(ValueError, match=r"`loss.name` was 'topp1'.*Did you mean 'top1'"):
        hrnn(**{"loss.name": "topp1"})


@pytest.mark.parametrize("key", ["epochs", "learning_rate", "stream.num_lanes", "loss.name"])
def test_what_a_baseline_would_ignore_is_refused(key):
    """pitfalls 4: an option that would be ignored is an error, never silence."""
    recipe = Recipe.load("quadrana2017", "item-knn")
    with pytest.raises(ValueError, match=f"`{key}` (was set for|is no key)"):
        recipe.with_changes({key: 3})


def test_extra_negatives_need_sampled_ones():
    with pytest.raises(ValueError, match=r"`negatives.extra` is no key of the recipe"):
        hrnn(**{"negatives.name": "full", "negatives.extra": 5})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ks", (5, 0), r"`ks?` must be a positive int, but was 0"),
        ("ks", (), r"`ks` was empty"),
        ("ties", "optimistic", r"`ties` was 'optimistic', but must be one of"),
        ("average", "macro", r"`average` was 'macro', but must be one of"),
        ("top_pop", 0, r"`top_pop` must be a positive int, but was 0"),
        ("bootstrap_sessions", -2, r"`bootstrap_sessions` must be an int of at least -1"),
    ],
)
def test_measures_are_checked_before_any_training(key, value, message):
    """pitfalls 4: k = 0."""
    with pytest.raises(ValueError, match=message):
        hrnn(**{key: value})


def test_what_ranking_would_refuse_is_refused_before_training():
    """pitfalls 4: an option that would be ignored; candidates beyond the catalogue."""
    with pytest.raises(ValueError, match="`bootstrap_sessions` was 2, but a model with layout 's"):
        Recipe.load("quadrana2017", "gru4rec").with_changes({"bootstrap_sessions": 2})
    with pytest.raises(ValueError, match="`top_pop` was 21, but the catalogue has 20 items"):
        train(hrnn(top_pop=21), ring_histories(num_users=4), seed=0)


@pytest.fixture
def padded(monkeypatch):
    """Returns the recipe of a model that reads prefixes, with some keys changed."""
    prefix_mean.register(monkeypatch)
    return lambda **changes: Recipe.from_dict(prefix_mean.VALUES).with_changes(changes)


def test_a_padded_model_has_a_batch_size_and_the_full_softmax(padded):
    recipe = padded().complete()
    assert recipe.stream == {"batch_size": 16, "order": "random", "augment": True}
    assert recipe.negatives == {"name": "full"}
    assert Recipe.from_dict(recipe.to_dict()).to_dict() == recipe.to_dict()
    with pytest.raises(ValueError, match="`num_lanes` is no key of the recipe 'prefix-mean'"):
        padded(num_lanes=3)
    without = {key: value for key, value in prefix_mean.VALUES.items() if key != "stream"}
    with pytest.raises(ValueError, match=r"`stream` of prefix-mean has no `batch_size`. Pass the"):
        Recipe.from_dict(without).check()


def test_pairs_of_prefixes_are_those_of_the_stream(padded):
    histories = ring_histories(num_users=2, num_sessions=3, length=4)
    assert num_pairs(padded(), histories) == 2 * 3 * 3
    assert num_pairs(padded(augment=False), histories) == 2 * 3
    for augment in (True, False):
        recipe = padded(augment=augment, epochs=1)
        logs = train(recipe, histories, seed=0).history.history
        assert logs["events"] == [num_pairs(recipe, histories)]


@pytest.mark.integration
def test_validation_of_prefixes_ranks_every_target(padded):
    """Only training may leave targets out."""
    histories = ring_histories(num_users=3)
    recipe, short = (padded(augment=augment, dropout=0.0, epochs=1) for augment in (True, False))
    model = train(short, histories, seed=0, validation=histories)
    found = evaluate_loss(model, histories)
    assert model.history.history["val_loss"] == [pytest.approx(found, rel=1e-5)]
    assert train(recipe, histories, seed=0, validation=histories).history.history["val_recall@20"]


def evaluate_loss(model, histories):
    """Cross-entropy over all targets, one prefix at a time."""
    losses = []
    for first, last in zip(
        histories.session_offsets[:-1], histories.session_offsets[1:], strict=True
    ):
        for target in range(first + 1, last):
            prefix = histories.item_ids[None, first:target]
            events = {
                "item_ids": prefix,
                "positions": np.full((1, 1), target - first - 1, np.int32),
            }
            logits = model.score(model(events)).numpy()[0, 0].astype(np.float64)
            losses.append(np.log(np.exp(logits).sum()) - logits[histories.item_ids[target] - 1])
    return np.mean(losses)


@pytest.mark.integration
def test_patience_stops_and_leaves_the_best_epoch(padded):
    histories = ring_histories(num_users=4)
    recipe = padded(epochs=40, patience=2, ks=(1, 3), learning_rate=0.3)
    model = train(recipe, histories, seed=0, validation=histories)
    values = model.history.history[recipe.monitor]
    assert recipe.monitor == "val_recall@3"
    assert len(values) == best_epoch(recipe, model) + 2 < 40
    shorter = padded(epochs=best_epoch(recipe, model), ks=(1, 3), learning_rate=0.3)
    again = train(shorter, histories, seed=0, validation=histories)
    np.testing.assert_array_equal(again.table.numpy(), model.table.numpy())
    assert best_epoch(shorter, again) is None


@pytest.mark.integration
def test_patience_survives_a_resume(padded, tmp_path):
    histories = ring_histories(num_users=4)
    recipe = padded(epochs=40, patience=2, ks=(1, 3), learning_rate=0.3)

    def run():
        checkpoint = Checkpoint(tmp_path / "training.npz")
        return train(recipe, histories, seed=0, validation=histories, checkpoint=checkpoint)

    first, again = run(), run()
    assert again.history.history[recipe.monitor] == first.history.history[recipe.monitor]
    np.testing.assert_array_equal(again.table.numpy(), first.table.numpy())


def test_weights_are_averaged_from_an_epoch_on(padded):
    """Of the last two epochs: half of what each has moved from where the two began."""
    histories = ring_histories(num_users=2)
    model = train(padded(epochs=3, average_from=2), histories, seed=0)
    ends = [train(padded(epochs=n), histories, seed=0).table.numpy() for n in (2, 3)]
    np.testing.assert_allclose(model.table.numpy(), np.mean(ends, axis=0), atol=1e-6)
    assert np.abs(ends[1] - ends[0]).max() > 1e-3
    recipe = padded(epochs=3, average_from=2)
    assert Recipe.from_dict(recipe.to_dict()).average_from == 2
    assert recipe.with_changes({"average_from": None}).average_from is None


def test_an_average_of_one_epoch_is_refused(padded):
    """pitfalls 4: an option that would be ignored."""
    with pytest.raises(ValueError, match="`average_from` of prefix-mean was 3 with epochs=3"):
        padded(epochs=3, average_from=3)
    with pytest.raises(ValueError, match="`average_from` must be a positive int, but was 0"):
        padded(epochs=3, average_from=0)
    with pytest.raises(ValueError, match="`average_from` was set for pop, which is counted"):
        Recipe.load("quadrana2017", "pop").with_changes({"average_from": 2})


def test_patience_has_something_to_watch(padded):
    """pitfalls 4: an option that would be ignored."""
    histories = ring_histories(num_users=2)
    with pytest.raises(ValueError, match="`patience` of prefix-mean is 2, but there is no `valida"):
        train(padded(patience=2), histories, seed=0)
    with pytest.raises(ValueError, match="`patience` must be a positive int, but was 0"):
        padded(patience=0)
    with pytest.raises(ValueError, match="`patience` was set for pop, which is counted"):
        Recipe.load("quadrana2017", "pop").with_changes({"patience": 2})


def test_shared_changes_go_where_they_belong():
    recipes = [Recipe.load("quadrana2017", name) for name in ("pop", "item-knn", "hrnn-init")]
    pop, knn, init = with_shared_changes(recipes, {"epochs": 2, "neighbours": 5, "ties": "median"})
    assert (pop.epochs, knn.epochs, init.epochs) == (None, None, 2)
    assert knn.arguments["neighbours"] == 5
    assert {r.evaluation["ties"] for r in (pop, knn, init)} == {"median"}
    with pytest.raises(ValueError, match="`epochs` was set for item-knn"):
        with_shared_changes(recipes[:2], {"epochs": 2})


def test_complete_recipe_survives_its_plain_values():
    recipe = hrnn(**SMALL).complete()
    assert recipe.loss["diagonal_divisor"] is None
    again = Recipe.from_dict(recipe.to_dict())
    assert again.to_dict() == recipe.to_dict()
    assert recipe.to_dict()["arguments"]["user_gates"] == "none"


def test_values_are_read_as_toml_reads_them():
    assert parse_value("true") is True
    assert parse_value("a = b") == "a = b"
    assert parse_value('"quoted"') == "quoted"


def test_pairs_of_an_epoch_follow_from_the_layout():
    histories = ring_histories(num_users=2, num_sessions=3, length=4)
    assert num_pairs(hrnn(), histories) == 2 * 3 * 3
    assert num_pairs(Recipe.load("quadrana2017", "rnn-concat"), histories) == 2 * 11


@pytest.mark.integration
def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    histories = ring_histories(num_users=4)
    weights = [
        np.concatenate(
            [w.numpy().ravel() for w in train(hrnn(**SMALL), histories, seed=seed).weights]
        )
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.abs(weights[0] - weights[2]).max() > 0.01


@pytest.mark.integration
def test_training_by_recipe_learns_and_ranks_with_validation():
    histories = ring_histories()
    recipe = hrnn(**SMALL | {"epochs": 8, "ks": (1, 3)})
    model = train(recipe, histories, seed=0, validation=histories)
    assert model.history.history["loss"][-1] < model.history.history["loss"][0]
    assert {"val_recall@3", "val_mrr@3"} <= set(model.history.history)
    found = evaluate(recipe, model, histories)
    assert found.metrics["Recall@1"] > 0.5
    assert evaluate(recipe, model, histories, ties="standard").ties == "standard"


def test_a_baseline_of_features_is_given_those_of_the_log():
    histories = Histories.from_lists([[[1, 2, 1, 2, 3]]])
    schema = FeatureSchema.infer({"price": [1.0, 2.0, 9.0]})
    table = FeatureTable(schema, np.array([[0.0], [1.0], [-1.0], [0.5]], np.float32))
    features = LogFeatures(FeatureSchemas(items=schema), items=table)
    recipe = Recipe.load("ma_narayanaswamy", "pop-fm")
    found = train(recipe, histories, seed=3, features=features).score(histories, [1])
    expected = PopularityFM(table.values, seed=3).fit(histories).score(histories, [1])
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    without = train(recipe, histories, seed=3).score(histories, [1])
    alone = PopularityFM().fit(histories).score(histories, [1])
    np.testing.assert_allclose(without, alone, rtol=1e-9)
    assert np.abs(found - without).max() > 0.1
    with pytest.raises(ValueError, match=r"`item_features` is no key of the recipe 'pop-fm'"):
        recipe.with_changes({"item_features": 3})


@pytest.mark.integration
def test_training_counts_what_was_popular_in_its_histories():
    """ "log" is the number of their moments; after a step of training the counts gain something."""
    histories = ring_histories(num_users=4)
    popular = {"popular": 3, "popular_hours": 0.1, "popular_moments": "log"}
    given = SMALL | {"epochs": 1, "arguments.inputs": "constrained"}
    recipe = hrnn(**given).with_changes(popular)
    model = train(recipe, histories, seed=0)
    expected = recent_shares(histories, size=3, hours=0.1)
    recent = model.heads.recent
    np.testing.assert_array_equal(recent.item_ids, expected.item_ids)
    np.testing.assert_array_equal(recent.shares, expected.shares)
    assert int(recent.first_minute) == expected.first_minute
    assert np.any(expected.shares)
    assert float(recent.amount[0]) != 0
    with pytest.raises(ValueError, match=r"`popular_hours` was 0\.1, but popular is 0, so it"):
        train(hrnn(**given).with_changes({"popular_hours": 0.1}), histories, seed=0)


@pytest.mark.integration
def test_validation_chooses_how_much_neighbours_count_beside_a_network_trained_as_ever():
    histories = ring_histories(num_users=4)
    recipe = hrnn(**SMALL | {"epochs": 1, "learning_rate": 1e-5, "ks": (1, 3)})
    network = train(recipe, histories, seed=0, validation=histories)
    both = train(recipe.with_changes({"neighbours": 5}), histories, seed=0, validation=histories)
    for mine, other in zip(both.trainable_weights, network.trainable_weights, strict=True):
        np.testing.assert_array_equal(mine, other)

    def recall(weight):
        both.heads.neighbour_scores.weight.assign([weight])
        return evaluate(recipe, both, histories).metrics["Recall@3"]

    chosen = float(both.heads.neighbour_scores.weight[0])
    recalls = {weight: recall(weight) for weight in WEIGHTS["neighbour_weight"]}
    assert recalls[0.0] == evaluate(recipe, network, histories).metrics["Recall@3"]
    best = max(recalls.values())
    assert best > recalls[0.0] + 0.1
    assert chosen == pytest.approx(min(w for w, found in recalls.items() if found == best))


def in_fashion(hours):
    """In each hour one user after the other takes any item, then that of the hour."""
    first = np.repeat(3_600 * np.array(hours), 5) + np.tile(600 * np.arange(5), len(hours))
    sessions = [[6 + user % 19, second // 3_600 % 5 + 1] for user, second in enumerate(first)]
    histories = Histories.from_lists([[row] for row in sessions], num_items=24)
    times = np.column_stack([first, first + 300]).ravel()
    return replace(histories, timestamps=1_699_999_200 + times)


@pytest.mark.integration
def test_popularity_that_runs_on_is_measured_and_weighed_by_validation():
    """Fashions change by the hour: counts that end with training know nothing of the last ones."""
    training, later = in_fashion(range(40)), in_fashion(range(40, 46))
    settings = {"epochs": 4, "arguments.inputs": "constrained", "ks": (1,), "popular": 6}
    settings |= {"popular_hours": 0.5, "popular_moments": "log", "popular_weight": None}
    recipe = hrnn(**SMALL | settings)
    assert recipe.chosen_weights == ("popular_weight",)
    assert not recipe.with_changes({"popular_weight": 2.0}).needs_validation
    counting = recipe.with_changes({"evaluation.counts_on": True})
    model = train(counting, training, seed=0, validation=later)
    before = model.heads.recent.held_shares()

    def recall(weight, **changes):
        model.heads.recent.weight.assign([weight])
        return evaluate(recipe, model, later, **changes).metrics["Recall@1"]

    chosen = float(model.heads.recent.weight[0])
    assert with_chosen(recipe, model).arguments["popular_weight"] == chosen
    recalls = {weight: recall(weight, counts_on=True) for weight in WEIGHTS["popular_weight"]}
    best = max(recalls.values())
    assert chosen == min(w for w, found in recalls.items() if found == best)
    assert best > recall(chosen) + 0.2
    for held, kept in zip(model.heads.recent.held_shares(), before, strict=True):
        np.testing.assert_array_equal(held, kept)
    count_held_out(model, later)
    assert recall(chosen) == recalls[chosen]


def test_counts_that_cannot_run_on_are_refused_before_anything_is_trained():
    message = r"`evaluation\.counts_on` was True, but hrnn-init has no popularity .* Leave it out"
    with pytest.raises(ValueError, match=message):
        hrnn(**SMALL).with_changes({"evaluation.counts_on": True})
    popular = {"evaluation.counts_on": True, "popular": 5}
    assert hrnn(**SMALL).with_changes(popular).counts_on
    mixed = with_shared_changes([hrnn(**SMALL), hrnn(popular=5)], {"evaluation.counts_on": True})
    assert [recipe.counts_on for recipe in mixed] == [False, True]
    with pytest.raises(ValueError, match=r"`evaluation\.counts_on` of .* was 'no', but must be"):
        hrnn(popular=5).with_changes({"evaluation.counts_on": "no"})
    with pytest.raises(ValueError, match=message):
        evaluate(hrnn(**SMALL), None, ring_histories(num_users=2), counts_on=True)


def test_a_weight_of_neighbours_that_is_to_be_chosen_needs_validation():
    recipe = hrnn(**SMALL | {"neighbours": 5})
    assert recipe.needs_validation and not hrnn(**SMALL).needs_validation
    assert not recipe.with_changes({"neighbour_weight": 0.5}).needs_validation
    with pytest.raises(
        ValueError, match="`neighbour_weight` of hrnn-init is None, but there is no"
    ):
        train(recipe, ring_histories(num_users=2), seed=0)


def test_baseline_by_recipe_and_what_it_would_ignore():
    histories = ring_histories(num_users=4)
    recipe = Recipe.load("quadrana2017", "item-knn").with_changes({"neighbours": 2})
    baseline = train(recipe, histories, seed=0)
    assert baseline.neighbours == 2
    with pytest.raises(ValueError, match="`validation` was passed, but item-knn is counted"):
        train(recipe, histories, seed=0, validation=histories)


def test_a_baseline_that_draws_gets_the_seed():
    histories = ring_histories(num_users=4)
    recipe = Recipe.load("song2019", "bpr-mf").with_changes({"factors": 2, "arguments.epochs": 1})
    first, again, other = (train(recipe, histories, seed=seed).item_vectors for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


@pytest.mark.integration
def test_logq_gets_the_supports_of_the_training_histories():
    recipe = hrnn(**SMALL, **{"loss.name": "cross_entropy", "loss.logq": 1.0, "extra": 6})
    model = train(recipe, ring_histories(num_users=4), seed=0)
    assert model.negatives.item_supports.sum() == 4 * 6 * 5


def test_what_validation_chooses_by_is_refused_where_it_chooses_nothing():
    message = "`monitor` was 'val_mrr@20', but .* leaves nothing to validation.*patience=2"
    with pytest.raises(ValueError, match=message):
        train(hrnn(**SMALL), ring_histories(num_users=2), seed=0, monitor="val_mrr@20")
    histories, recipe = ring_histories(num_users=2), hrnn(**SMALL | {"patience": 1})
    with pytest.raises(ValueError, match="`monitor` was 'mrr@5', but must be one of 'val_recall@"):
        train(recipe, histories, seed=0, validation=histories, monitor="mrr@5")


@pytest.mark.parametrize("name", ["validation", "callbacks", "checkpoint", "monitor"])
def test_a_baseline_has_no_use_for_what_belongs_to_training(name):
    """pitfalls 4: an option that would be ignored."""
    recipe = Recipe.load("quadrana2017", "pop")
    histories = ring_histories(num_users=2)
    of = {"validation": histories, "callbacks": [print], "checkpoint": print, "monitor": "val_x"}
    given = of[name]
    with pytest.raises(ValueError, match=f"`{name}` was passed, but pop is counted in one go"):
        train(recipe, histories, seed=0, **{name: given})
