"""The page of a search: its tables say what was found; a figure that says nothing is not drawn."""

from dataclasses import replace
from pathlib import Path

import pytest

from hrec_tf.recipe import Recipe
from hrec_tf.tuning import Choices, Range, Space, Trial, Tuned
from hrec_tf.tuning.page import page, verdict
from tests.reference.html_page import Page

RATE, UNITS = "optimizer.learning_rate", "arguments.units"
SPACE = Space(
    {RATE: Range(0.01, 0.5, log=True), UNITS: Choices(([50], [100]))}, {"epochs": 3}, "by hand"
)


def trial(number, value, rate, units, state="complete", **more):
    return Trial(number, state, value, {RATE: rate, UNITS: [units]}, 61.0, **more)


TUNED = Tuned(
    base=Recipe.load("quadrana2017", "gru4rec"),
    space=SPACE,
    objective="Recall@20",
    seed=7,
    pruner="median",
    trials=(
        trial(1, 0.25, 0.1, 100, reports=(0.1, 0.2, 0.25)),
        trial(2, 0.3125, 0.5, 50, reports=(0.1, 0.2, 0.3)),
        trial(3, None, 0.02, 100, "pruned", reports=(0.01, 0.02)),
        trial(4, None, 0.03, 50, "failed", error="ValueError: <no> units"),
    ),
    study=Path("study.db"),
    importance_missing="2 trials are complete, but importance is not told from fewer than 12.",
    num_left=2,
)


def made(tuned):
    return page(tuned, data="<log>.csv", facts={"validation points": "48"}, command="hrec tune …")


def test_tables_say_what_was_chosen_and_tried():
    found = Page(made(TUNED))
    assert found.tables["chosen-table"] == [
        ["setting", "recipe", "searched", "best trial"],
        [RATE, "0.1", "0.01 to 0.5, as its logarithm", "0.5"],
        [UNITS, "[100]", "[50] or [100]", "[50]"],
        ["epochs", "10", "fixed", "3"],
    ]
    head, *rows = found.tables["trials-table"]
    assert head == ["trial", "Recall@20", "epochs", "time", RATE, UNITS]
    assert rows == [
        ["2", ".3125", "3", "1:01 min", "0.5", "[50]"],
        ["1", ".2500", "3", "1:01 min", "0.1", "[100]"],
        ["3\npruned", "–", "2", "1:01 min", "0.02", "[100]"],
        ["4\nfailed", "–", "–", "1:01 min", "0.03", "[50]"],
    ]
    assert found.headings[0] == "GRU4Rec tuned on <log>.csv"


def test_what_must_be_kept_in_mind_is_said():
    text, found = made(TUNED), Page(made(TUNED))
    assert "2 complete, 1 pruned, 1 failed; 2 left by a process" in text
    assert "Trial 4 failed. ValueError: &lt;no&gt; units" in text
    assert any("so it promises too much" in item for item in found.items)
    assert any(f"at an end of the range of {RATE}: a wider" in item for item in found.items)
    assert any("had one seed (7)" in item for item in found.items)
    assert verdict(TUNED).endswith(
        "is trial 2, with Recall@20 .3125 on the validation part. The first trial, which began "
        "from the recipe as it is, has .2500."
    )


def test_the_recipe_on_the_page_is_the_best_one():
    text = made(TUNED).replace("&#34;", '"')
    recipe = TUNED.recipe
    assert (recipe.optimizer["learning_rate"], recipe.epochs) == (0.5, 3)
    assert 'source = "hrec tune …"' in text and "units = [50]" in text


def test_importance_is_drawn_only_where_it_is_known():
    assert made(TUNED).count("<svg") == 1
    assert "No figure: 2 trials are complete, but importance is not told" in made(TUNED)
    text = made(replace(TUNED, importance={RATE: 0.75, UNITS: 0.25}, importance_missing=""))
    assert text.count("<svg") == 2 and "No figure" not in text
    assert f"{RATE} 0.750; {UNITS} 0.250" in text


def test_the_page_fetches_nothing_and_of_equal_trials_the_first_is_best():
    text = made(TUNED)
    assert "http://" not in text.replace("http://www.w3.org", "") and "<script" not in text
    assert "trial 1: 0.2500; trial 2: 0.3125" in text
    equal = replace(TUNED, trials=(trial(1, 0.5, 0.1, 50), trial(2, 0.5, 0.2, 50)))
    assert equal.best.number == 1
    with pytest.raises(ValueError, match="No trial of this search is complete"):
        _ = replace(TUNED, trials=TUNED.trials[2:]).best
