"""`tune`: trials on the validation part alone, of counted and of trained recipes."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from hrec_tf.data import splits
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.log_source import PreparedLog
from hrec_tf.evaluation import ranking
from hrec_tf.fitting import evaluate, train
from hrec_tf.recipe import Recipe
from hrec_tf.tuning import Choices, Range, Space, objectives, study, tune, tuner
from tests.reference.made_results import prepared_ring, ring_log

KNN = Recipe.load("quadrana2017", "item-knn").with_changes({"ks": (1, 2)})
SPACE = Space(
    {
        "arguments.query": Choices(("last", "session")),
        "arguments.neighbours": Range(1, 50, log=True),
    }
)
GRU = Recipe.load("quadrana2017", "gru4rec").with_changes(
    {"units": [4], "num_lanes": 12, "epochs": 3, "ks": (1, 5)}
)


@pytest.fixture(scope="module")
def parts():
    return prepared_ring().for_validation()


@pytest.fixture(scope="module")
def found(parts, tmp_path_factory):
    """Four trials of Item-KNN, and what was said of each."""
    shown = []
    path = tmp_path_factory.mktemp("found") / "study.db"
    tuned = tune(
        KNN, SPACE, *parts, trials=4, study=path, objective="MRR@2", seed=1, show=shown.append
    )
    return tuned, shown


def test_each_value_is_that_of_the_recipe_on_the_validation_part(parts, found):
    tuned, shown = found
    training, validation = parts
    assert [trial.number for trial in tuned.trials] == [1, 2, 3, 4] and list(tuned.trials) == shown
    for trial in tuned.trials:
        recipe = KNN.with_changes(trial.changes)
        again = evaluate(recipe, train(recipe, training, seed=1), validation)
        assert trial.value == again.metrics["MRR@2"]
    values = [trial.value for trial in tuned.trials]
    assert len(set(values)) > 1, "settings that differ here"
    assert tuned.best is tuned.trials[int(np.argmax(values))]
    assert tuned.recipe == KNN.with_changes(tuned.best.changes)


def test_the_first_trial_is_the_recipe_as_far_as_the_space_holds_it(found):
    tuned, _ = found
    assert KNN.complete().arguments["query"] == "last"
    assert tuned.trials[0].changes["arguments.query"] == "last"
    assert tuned.trials[0].changes["arguments.neighbours"] <= 50, "300 of the recipe lie outside"


def test_the_best_recipe_is_written_and_read_back(found, tmp_path):
    tuned, _ = found
    path = tmp_path / "best.toml"
    path.write_text(tuned.to_toml("this test"), encoding="utf-8")
    read = Recipe.load(path)
    assert read.complete().to_dict() == tuned.recipe.complete().to_dict() | {"source": "this test"}
    said = tuned.to_dict()
    assert said["best"]["value"] == tuned.best.value and said["counts"]["complete"] == 4
    assert said["importance"] is None and len(said["trials"]) == 4


def test_with_enough_trials_nothing_is_made_and_the_same_is_found(parts, found, monkeypatch):
    tuned, _ = found
    monkeypatch.setattr(tuner, "train", lambda *_, **__: pytest.fail("trained"))
    again = tune(KNN, SPACE, *parts, trials=3, study=tuned.study, objective="MRR@2", seed=1)
    assert again == tuned


def test_a_study_is_of_one_log_recipe_space_and_objective(parts, found):
    tuned, _ = found
    training, _ = parts
    given = {"trials": 4, "study": tuned.study, "objective": "MRR@2", "seed": 1}
    other = prepared_ring(num_users=11).for_validation()
    wider = Space({**SPACE.searched, "arguments.neighbours": Range(1, 60, log=True)})
    for recipe, space, histories, changed, name in (
        (KNN, SPACE, other, {}, "data.training"),
        (KNN, SPACE, (training, other[1]), {}, "data.validation"),
        (KNN, SPACE, parts, {"objective": "Recall@2"}, "objective"),
        (KNN, SPACE, parts, {"seed": 2}, "seed"),
        (KNN, wider, parts, {}, "space.search.arguments.neighbours.high"),
        (KNN.with_changes({"alpha": 0.6}), SPACE, parts, {}, "recipe.arguments.alpha"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` is .* in the study .* now"):
            tune(recipe, space, *histories, **(given | changed))
    told = dataclasses.replace(SPACE, source="in other words", models=("item-knn",))
    assert tune(KNN, told, *parts, **given).trials == tuned.trials


def test_the_test_part_decides_nothing(tmp_path):
    """The same training part with another test part gives the same trials, to the last bit."""
    log = ring_log()
    split = splits.last_session_out(log)
    turned = split.test.frame.with_columns(pl.col("item").reverse().over("session"))
    other = splits.Split(split.train, EventLog(turned, **_rest(split.test)))
    prepared = [PreparedLog(split), PreparedLog(other)]
    assert prepared[0].test.fingerprint != prepared[1].test.fingerprint
    found = [
        tune(KNN, SPACE, *log.for_validation(), trials=2, study=tmp_path / f"{n}.db")
        for n, log in enumerate(prepared)
    ]
    first, second = ([(t.value, t.changes) for t in tuned.trials] for tuned in found)
    assert first == second
    fitted = train(found[0].recipe, prepared[0].train, seed=0)
    values = [evaluate(found[0].recipe, fitted, log.test).metrics["Recall@1"] for log in prepared]
    assert values[0] != values[1], "the test parts do differ in what they would say"


def _rest(log):
    return {f.name: getattr(log, f.name) for f in dataclasses.fields(log) if f.name != "frame"}


@pytest.mark.parametrize(("pruner", "each"), [("none", 1), ("median", 3)])
def test_what_is_not_pruned_is_ranked_at_its_end_alone(parts, tmp_path, monkeypatch, pruner, each):
    recipe = GRU.with_changes({"epochs": 2, "patience": None})
    space = Space({"optimizer.learning_rate": Range(0.01, 0.1)})
    times, play = [], ranking.play
    monkeypatch.setattr(ranking, "play", lambda *a, **b: times.append(1) or play(*a, **b))
    study = tmp_path / "study.db"
    tuned = tune(recipe, space, *parts, trials=1, study=study, objective="MRR@5", pruner=pruner)
    assert len(times) == each and tuned.best.value > 0
    assert len(tuned.trials[0].reports) == each - 1


def test_a_weight_that_validation_chooses_is_chosen_though_nothing_is_pruned(parts, tmp_path):
    recipe = Recipe.load("quadrana2017", "hrnn-all").with_changes(
        {"epochs": 1, "neighbours": 5, "session_units": 4, "user_units": 4}
    )
    space = Space({"optimizer.learning_rate": Range(0.01, 0.1)})
    study = tmp_path / "study.db"
    tuned = tune(recipe, space, *parts, trials=1, study=study, objective="MRR@5", pruner="none")
    assert tuned.trials[0].error is None and tuned.best.value > 0
    training, validation = parts
    given = {"validation": validation, "seed": 0, "monitor": "val_mrr@20"}
    again = train(tuned.recipe, training, **given)
    assert tuned.best.weights == {"neighbour_weight": again.heads.weight_of("neighbour_weight")}
    assert tuned.best.to_dict()["weights"] == tuned.best.weights
    assert tuned.refitted.arguments["neighbour_weight"] == tuned.best.weights["neighbour_weight"]
    assert not tuned.refitted.needs_validation and tuned.recipe.needs_validation


def test_a_trial_says_which_epoch_its_value_is_of(parts, tmp_path, monkeypatch):
    """`patience` watches what the search makes large."""
    recipe = GRU.with_changes({"epochs": 4, "patience": 1, "learning_rate": 0.5})
    space = Space({"arguments.hidden_dropout": Range(0.0, 0.5)})
    study = tmp_path / "study.db"
    asked = []
    monkeypatch.setattr(
        tuner, "train", lambda *a, **b: asked.append(b["monitor"]) or train(*a, **b)
    )
    tuned = tune(recipe, space, *parts, trials=1, study=study, objective="MRR@5", pruner="none")
    training, validation = parts
    monitor = "val_mrr@5"
    assert asked == [monitor]
    again = train(tuned.recipe, training, validation=validation, seed=0, monitor=monitor)
    watched = again.history.history[monitor]
    assert tuned.best.best_epoch == int(np.argmax(watched)) + 1
    assert 1 < len(tuned.best.reports) == len(watched)
    path = tmp_path / "best.toml"
    path.write_text(tuned.to_toml("this test"), encoding="utf-8")
    read = Recipe.load(path)
    assert (read.epochs, read.patience) == (tuned.best.best_epoch, None)
    assert not read.needs_validation and tuned.recipe.needs_validation


def test_failures_are_kept_and_three_in_a_row_end_the_search(parts, tmp_path, monkeypatch):
    failing = Space({"arguments.alpha": Range(1.5, 2.5), "arguments.neighbours": Range(1, 9)})
    path = tmp_path / "study.db"
    with pytest.raises(RuntimeError, match=r"3 trials failed one after the other, .*`alpha`"):
        tune(KNN, failing, *parts, trials=2, study=path)
    shown = []
    with pytest.raises(RuntimeError, match="3 trials failed"):
        tune(KNN, failing, *parts, trials=2, study=path, show=shown.append)
    assert [(t.number, t.state) for t in shown] == [(4, "failed"), (5, "failed"), (6, "failed")]
    assert len({t.changes["arguments.alpha"] for t in shown}) == 3, "each tries something else"


def test_a_value_that_is_no_number_fails_the_trial(parts, tmp_path, monkeypatch):
    class Nothing:
        metrics = {"Recall@2": float("nan")}  # noqa: RUF012

    answers = [Nothing, None, None]

    def evaluation(*given, **more):
        answer = answers.pop()
        return evaluate(*given, **more) if answer is None else answer

    monkeypatch.setattr(tuner, "evaluate", evaluation)
    tuned = tune(KNN, SPACE, *parts, trials=2, study=tmp_path / "study.db")
    answers += [None, Nothing]
    tuned = tune(KNN, SPACE, *parts, trials=3, study=tmp_path / "study.db")
    assert [trial.state for trial in tuned.trials] == ["complete", "complete", "failed", "complete"]
    assert tuned.trials[2].error.startswith("FloatingPointError: The objective was nan")


@pytest.mark.integration
def test_a_trained_recipe_reports_every_epoch_and_is_pruned_by_them(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "UNPRUNED_TRIALS", 1)
    rates = Space({"optimizer.learning_rate": Choices((0.3, 1e-9))})
    recipe = GRU.with_changes({"learning_rate": 0.3})
    tuned = tune(recipe, rates, *parts, trials=2, study=tmp_path / "study.db", seed=3)
    first, second = tuned.trials
    assert (first.state, second.state) == ("complete", "pruned")
    assert second.changes == {"optimizer.learning_rate": 1e-9}
    assert (len(first.reports), len(second.reports)) == (3, 2), "at the second epoch, not before"
    assert second.reports[-1] < first.reports[1]
    # The last epoch's weights are ranked again, by the same rule.
    assert first.value == pytest.approx(first.reports[-1]) and tuned.objective == "Recall@5"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 0}, "`trials` must be a positive int, but was 0"),
        ({"seed": -1}, "`seed` must be an int of at least 0"),
        ({"objective": "Recall@20"}, "`objective` was 'Recall@20', but must be one of 'Recall@2'"),
        ({"pruner": "median"}, "`pruner` was 'median', but item-knn is counted in one go"),
        ({"pruner": "mean"}, "`pruner` was 'mean', but must be one of"),
    ],
)
def test_options_that_cannot_be_are_refused_before_a_study_is_made(parts, tmp_path, given, message):
    path = tmp_path / "study.db"
    with pytest.raises(ValueError, match=message):
        tune(KNN, SPACE, *parts, **{"trials": 2, "study": path, **given})
    assert not path.exists()


def test_objectives_are_the_metrics_at_each_length_the_longest_first():
    assert objectives(KNN)[:5] == ("Recall@2", "MRR@2", "Precision@2", "NDCG@2", "Recall@1")
