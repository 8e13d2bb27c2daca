"""The zoo: every row can be built, says what it is, and is in docs/models.md."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf import registry
from hrec_tf.baselines import Baseline
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import rating_errors
from hrec_tf.inference import Inference
from hrec_tf.models import NextItemModel
from hrec_tf.recipe import Recipe
from hrec_tf.schema import ALIGNED, ITEM_IDS, SESSION_START, USER_IDS, USER_START

NAMES = (
    *("pop", "recent-pop", "smoothed-pop", "pop-fm", "s-pop", "ppop", "item-knn"),
    *("bpr-mf", "fmc", "fpmc", "coevent-mf"),
    *("sknn", "v-sknn", "stan", "sknn-user", "v-sknn-user", "stan-user"),
    *("gru4rec", "gru4rec+", "lstm4rec", "stacked-gru", "rnn-concat", "hrnn-init", "hrnn-all"),
    *("hrnn-meta", "hgru", "user-gru", "collaborative-rnn", "hi-rnn", "hm-rnn", "hs-lstm"),
    *("gru4rec-prefix", "lstm4rec-prefix", "narm", "stamp", "rnn-bpm"),
    *("hcrnn-1", "hcrnn-2", "hcrnn-3", "hcrnn-3-bi", "hcrnn-3-bi-causal"),
)


RATING_NAMES = ("global-average", "rolling-average", "fm", "i-autorec", "u-autorec")


def test_names_of_the_zoo():
    assert registry.names() == NAMES
    assert registry.names("baseline") == NAMES[:17]
    assert registry.names("rating") == RATING_NAMES


@pytest.mark.parametrize("name", RATING_NAMES)
def test_predictors_of_ratings_are_built_and_measured_in_one_line_each(name):
    histories = Histories.from_lists([[[1, 2, 3]], [[2, 1], [3]]])
    ratings = np.array([[1.0], [3], [5], [4], [2], [1]])
    histories = replace(histories, feedback=ratings, user_ids=np.array([1, 2]))
    row = registry.entry(name)
    fitted = row.build(num_items=3, seed=1).fit(histories)
    found = rating_errors(fitted, histories)
    np.testing.assert_array_equal(found.predicted, fitted.predict(histories, [1, 2, 4, 5]))
    assert found.rmse > 0
    assert row.is_random == hasattr(fitted, "descent")
    assert {key: getattr(fitted, key) for key in row.arguments} == dict(row.arguments)
    assert not row.is_served
    assert not row.has_step


def test_a_recipe_of_a_predictor_of_ratings_is_refused():
    with pytest.raises(ValueError, match=r"`model` was 'fm', which predicts ratings, but .* Fit"):
        Recipe.from_dict({"model": "fm"})


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_built_with_its_layout(name):
    row = registry.entry(name)
    built = row.build(num_items=7, seed=1, **needed(row))
    assert isinstance(built, Baseline if row.is_baseline else NextItemModel)
    assert row.layout == getattr(built, "layout", None)
    for argument, value in row.arguments.items():
        held = built.get_config()[argument]
        assert held == value


def needed(row):
    """Arguments without a default."""
    return {"num_users": 3} if "num_users" in row.settings() else {}


SECOND = 4 * 3600
"""When the second session begins: beyond the idle time."""
PAST, OTHER_PAST = [1, 2], [5, 6]


def scores_after(row, past, times, user_id=1, days=1):
    """Scores after two sessions, of a baseline or a network with fresh weights.

    Between what a baseline is trained on lie days.
    """
    events = [*past, 3, 4]
    if row.is_baseline:
        training = Histories.from_lists([[[1, 2, 5, 4], [3, 4, 6]], [[5, 6, 1], [4, 2, 3]]])
        training = replace(
            training, user_ids=np.array([1, 2]), timestamps=training.timestamps * 86_400 * days
        )
        asked = Histories.from_lists([[past, [3, 4, 1]]], num_items=6)
        asked = replace(
            asked,
            user_ids=np.array([user_id]),
            timestamps=np.array([*times, times[-1]]) + 86_400 * 20 * days,
        )
        return row.build(num_items=6, seed=1).fit(training).score(asked, [4])[0]
    model = row.build(num_items=6, seed=1, **needed(row))
    if model.reads_users:
        flags = {
            SESSION_START: tf.constant([[True, False, True, False]]),
            USER_START: tf.constant([[True, False, False, False]]),
        }
        users = tf.constant([[user_id] * 4])
        return model.score(model({ITEM_IDS: tf.constant([events]), USER_IDS: users} | flags))[0, -1]
    told = {"at": tf.constant([times[-1] + 60], tf.int64)} if row.layout == ALIGNED else {}
    answer = Inference(model, np.ones(6)).recommend(
        tf.constant([events]),
        tf.constant([times], tf.int64),
        tf.constant([4]),
        tf.constant([False]),
        k=6,
        **told,
    )
    return answer.scores.numpy()[0][np.argsort(answer.item_ids[0])]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_row_reads_is_what_changes_its_scores(name):
    """The table "which model for my data": nothing is claimed, and nothing left out."""
    row = registry.entry(name)
    times = [0, 60, SECOND, SECOND + 60]
    scores = scores_after(row, PAST, times)
    found = {
        "past": scores_after(row, OTHER_PAST, times),
        "times": scores_after(row, PAST, [0, 600, SECOND + 90_000, SECOND + 91_000], days=2),
    }
    if not row.is_served:
        found["user"] = scores_after(row, PAST, times, user_id=2)
    matter = {kind for kind, others in found.items() if np.abs(others - scores).max() > 1e-7}
    assert matter == set(row.reads) & set(found)
    assert ("features" in row.reads) == any("item_features" in one for one in row.settings())
    assert set(row.reads) <= set(registry.READS)
    model = None if row.is_baseline else row.build(num_items=6, seed=1, **needed(row))
    carries = model is not None and len(model.initial_states(1)) > 0
    assert row.reads_long_histories == (carries and "past" in matter)
    if row.is_served:
        assert row.has_step == ("step" in Inference(model, np.ones(6)).signatures)


@pytest.mark.parametrize(
    "name", [name for name in registry.names("model") if "features" in registry.entry(name).reads]
)
def test_an_item_that_training_never_saw_is_scored_by_its_features(name):
    """The column "cold items"; none other is told which items are cold."""
    features = np.random.default_rng(0).normal(size=(7, 2))
    scores = []
    for of_cold in (0.0, 2.0):
        model = registry.entry(name).build(num_items=6, seed=1, num_item_features=2)
        features[6] = of_cold
        model.set_item_features(features, is_cold=np.arange(6) == 5)
        told = {"at": tf.constant([200], tf.int64)}
        scored = Inference(model, np.ones(6)).recommend(
            tf.constant([[1, 2]]),
            tf.constant([[0, 60]], tf.int64),
            tf.constant([2]),
            tf.constant([False]),
            k=6,
            **told,
        )
        scores.append(scored.scores.numpy()[0][np.argsort(scored.item_ids[0])])
    np.testing.assert_array_equal(scores[0][:5], scores[1][:5])
    assert np.isfinite(scores).all()
    assert scores[0][5] != scores[1][5]


def test_a_baseline_with_features_scores_what_it_never_saw_by_them():
    rows = [registry.entry(name) for name in registry.names("baseline")]
    training = Histories.from_lists([[[1, 2, 1, 2, 3]]], num_items=4)
    for row in (row for row in rows if "features" in row.reads):
        found = []
        for of_cold in (-1.0, 1.0):
            features = np.array([[0.0], [1.0], [-1.0], [0.5], [of_cold]])
            fitted = row.build(num_items=4, seed=1, item_features=features).fit(training)
            found.append(fitted.score(training, [1])[0])
        assert found[0][3] > found[1][3]  # after item 1 came item 2, whose feature is negative
        assert row.name == "pop-fm"


def test_what_is_inferred_is_said_of_classes_and_of_rows_alike():
    said: dict[type, list[bool]] = {}
    for name in (*registry.names(), *registry.names("rating")):
        row = registry.entry(name)
        said.setdefault(row.load_class(), []).append(bool(row.inferred))
        assert not re.search("inferred|reconstructed", row.paper)
    for cls, rows in said.items():
        said_by = " ".join(
            of.__doc__ or "" for of in cls.__mro__ if of.__module__.startswith("hrec")
        )
        says_so = re.search("inferred|reconstruct", said_by, re.IGNORECASE)
        assert any(rows) == bool(says_so), cls


def test_documentation_is_what_the_registry_writes():
    path = Path(__file__).parents[1] / "docs" / "models.md"
    assert path.read_text(encoding="utf-8") == registry.to_markdown(), (
        "run: python -m hrec_tf.registry > docs/models.md"
    )


def test_unknown_model_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"`model` was 'hrn-init'.*Did you mean 'hrnn-init'"):
        registry.entry("hrn-init")


def test_unknown_argument_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'session_unit'.*Did you mean 'session_units'"):
        registry.entry("hrnn-init").build(num_items=7, session_unit=5)


def test_another_model_under_the_same_name_is_refused():
    """pitfalls 1.14."""
    with pytest.raises(ValueError, match=r"`user_gates` was 'rzh', but hrnn-init means None"):
        registry.entry("hrnn-init").build(num_items=7, user_gates="rzh")
    with pytest.raises(ValueError, match=r"gru4rec\+ means 'constrained'"):
        registry.entry("gru4rec+").build(num_items=7, inputs="one_hot")


def test_the_form_of_the_authors_code_is_a_variant_of_hrnn_all():
    model = registry.entry("hrnn-all").build(num_items=7, user_gates="rz")
    assert model.get_config()["user_gates"] == "rz"


def test_a_row_may_have_defaults_of_its_own_that_a_recipe_may_change():
    row = registry.entry("stan-user")
    assert row.settings()["extend"] == 5 != registry.entry("stan").settings()["extend"]
    assert row.build(num_items=7).extend == 5
    assert row.build(num_items=7, extend=3).extend == 3


def test_settings_are_inherited_where_a_constructor_hands_them_on():
    settings = registry.entry("rnn-concat").settings()
    assert settings["units"] == (100,)
    assert not {"num_items", "seed", "name", "dtype"} & set(settings)


def test_a_seed_is_for_what_draws():
    assert registry.entry("bpr-mf").build(num_items=7, seed=3).seed == 3
    assert registry.entry("bpr-mf").build(num_items=7).seed == 0
    assert not hasattr(registry.entry("pop").build(num_items=7, seed=3), "seed")
    random = {name for name in NAMES if registry.entry(name).is_random}
    assert random == {"bpr-mf", "fmc", "fpmc", "coevent-mf", "pop-fm", *registry.names("model")}
    assert "seed" not in registry.entry("bpr-mf").settings()
