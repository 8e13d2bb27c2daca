"""Means over seeds, the best baseline, and Holm-corrected tests against it."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from hrec_tf.baselines import Popularity
from hrec_tf.data import Histories, splits
from hrec_tf.data.event_log import EventLog
from hrec_tf.data.log_source import PreparedLog
from hrec_tf.evaluation import (
    Ranks,
    SampledNegatives,
    paired_wilcoxon,
    rank_baseline,
    summarise,
)
from hrec_tf.fitting import evaluate
from hrec_tf.recipe import Recipe
from hrec_tf.reporting.comparison import Comparison, Result, measure
from hrec_tf.reporting.tables import Table, comparison_table, p_value, spread
from tests.reference.made_results import prepared_ring

SESSIONS = 12
HISTORIES = Histories.from_lists([[[1, 2, 3]] for _ in range(SESSIONS)], num_items=9)
TARGETS = np.flatnonzero(~HISTORIES.session_starts)


def evaluation(greater):
    """An evaluation whose points have these many candidates above them."""
    greater = np.asarray(greater, np.int64)
    ranks = Ranks(TARGETS, greater, np.zeros_like(greater), num_candidates=9)
    return summarise(ranks, HISTORIES, ks=(1, 5))


def result(name, *seeds, seconds=1.0):
    recipe = Recipe.load("quadrana2017", name)
    evaluations = tuple(evaluation(greater) for greater in seeds)
    return Result(recipe, evaluations, (seconds,) * len(seeds))


GOOD = np.tile([0, 0], SESSIONS)
FAIR = np.tile([0, 3], SESSIONS)
BAD = np.tile([8, 8], SESSIONS)
UNEVEN = np.where(np.arange(2 * SESSIONS) < 10, 0, 8)


@pytest.fixture
def comparison():
    results = (
        result("pop", BAD, BAD),
        result("item-knn", FAIR, FAIR),
        result("gru4rec", UNEVEN, BAD),
        result("hrnn-init", GOOD, FAIR, seconds=2.5),
    )
    return Comparison(results, "Recall@1", (0, 1))


def test_mean_and_sd_over_seeds(comparison):
    # Recall@1 is 1 with the first seed and 1/2 with the second.
    found = comparison.results[3].metric("Recall@1")
    assert (found.mean, found.sd) == (0.75, pytest.approx(np.std([1, 0.5], ddof=1)))
    assert comparison.results[3].training_seconds.mean == 2.5


def test_best_baseline_is_the_one_with_the_highest_mean(comparison):
    assert comparison.best_baseline.recipe.name == "item-knn"
    assert Comparison(comparison.results[2:], "Recall@1", (0, 1)).best_baseline is None


def test_trained_models_are_tested_against_it_and_corrected(comparison):
    against = comparison.against_best_baseline
    assert list(against) == ["gru4rec", "hrnn-init"]
    knn, gru, hrnn = comparison.results[1:]
    raw = [
        paired_wilcoxon(
            np.mean([e.per_session["Recall@1"] for e in model.evaluations], axis=0),
            knn.evaluations[0].per_session["Recall@1"],
        ).p_value
        for model in (gru, hrnn)
    ]
    # Holm with two tests: the smaller p twice, the larger at least that.
    small, large = min(raw) * 2, max(max(raw), min(raw) * 2)
    assert sorted(a.p_holm for a in against.values()) == pytest.approx([small, large])


def test_with_drawn_candidates_a_table_shows_recall_among_all_items_too():
    full = evaluation(BAD).ranks
    drawn = evaluation(GOOD).ranks
    ranks = replace(drawn, num_candidates=5, candidates="sampled=5, strict", full=full)
    found = summarise(ranks, HISTORIES, ks=(1, 5))
    measured = Result(Recipe.load("quadrana2017", "pop"), (found,), (1.0,))
    table = comparison_table(Comparison((measured,), "Recall@1", (0,)))
    shown = ("Recall@1", "MRR@1", "Recall@5", "MRR@5", "full Recall@1", "full Recall@5")
    assert table.head[1:7] == shown
    assert table.rows[0][1:7] == ("1.0000", "1.0000", "1.0000", "1.0000", ".0000", ".0000")
    assert "5 candidates (sampled=5, strict)" in table.notes[0]


def test_table_says_what_a_reader_needs(comparison):
    table = comparison_table(comparison)
    assert table.head == (
        *("model", "Recall@1", "MRR@1", "Recall@5", "MRR@5", "ties", "training"),
        *("difference", "p (Holm)"),
    )
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["HRNN Init"][0] == ".7500 ± .3536"
    assert rows["HRNN Init"][-3:-1] == ("2.5 s", "+0.2500")
    assert rows["Item-KNN"][0] == ".5000" and rows["Item-KNN"][-1] == ""
    assert table.notes[0].startswith(
        "24 points of 12 test sessions, 9 candidates (full), conservative ties, micro average; "
        "seeds 0, 1, mean ± sd."
    )
    assert table.notes[1] == "Epochs of training: 10."
    assert "Recall@1 against Item-KNN, the best baseline" in table.notes[2]


def test_plain_values_hold_the_same(comparison):
    values = comparison.to_dict()
    assert values["best_baseline"] == "item-knn"
    assert values["results"][3]["metrics"]["Recall@1"]["mean"] == 0.75
    assert "against_best_baseline" not in values["results"][0]
    assert values["results"][3]["against_best_baseline"]["num_sessions"] == SESSIONS


def test_numbers_as_text():
    assert spread(0.1, 1e-17) == ".1000"  # equal seeds: rounding is no spread
    assert (p_value(0.0004), p_value(0.04), p_value(1.0)) == ("< .001", ".040", "1.000")


def test_tables_are_aligned_or_markdown():
    table = Table(("model", "R"), (("POP", ".1"), ("HRNN Init", ".25")), ("A note.",))
    assert table.to_text() == "model        R\nPOP         .1\nHRNN Init  .25\n\nA note."
    assert table.to_markdown().splitlines()[:3] == ["| model | R |", "|---|---:|", "| POP | .1 |"]


@pytest.mark.integration
def test_measuring_keeps_history_and_on_request_what_was_fitted():
    log = prepared_ring()
    small = {"session_units": 4, "user_units": 4, "num_lanes": 4, "epochs": 2}
    recipe = Recipe.load("quadrana2017", "hrnn-init").with_changes(small)
    found = measure(recipe, log, seeds=[3, 4], keep=True)
    assert [len(history["loss"]) for history in found.history] == [2, 2]
    assert found.history[0]["loss"] != found.history[1]["loss"]
    # The model of the last seed: it ranks as the last evaluation says.
    again = evaluate(recipe, found.fitted, log.test)
    assert again.metrics == found.evaluations[1].metrics
    counted = Recipe.load("quadrana2017", "item-knn")
    assert measure(counted, log, seeds=[0]).fitted is None
    kept = measure(counted, log, seeds=[0, 1], keep=True)
    assert kept.history == () and kept.fitted is not None
    assert kept.evaluations[0] is kept.evaluations[1]


def test_sasrecs_candidates_are_none_of_training():
    items = np.random.default_rng(0).integers(0, 12, 240)
    frame = {"user": np.arange(240) // 6, "item": items, "timestamp": np.arange(240)}
    log = PreparedLog(splits.leave_one_out(EventLog.from_frame(frame)))
    recipe = Recipe.from_dict(
        {"model": "pop", "evaluation": {"sampled_negatives": 4, "sampling": "sasrec"}}
    )
    [found] = measure(recipe, log, seeds=[0]).evaluations

    def ranks(training):
        drawn = SampledNegatives(4, "sasrec", training=training)
        return rank_baseline(Popularity().fit(log.train), log.test, sampled=drawn)

    np.testing.assert_array_equal(found.ranks.greater, ranks(log.train).greater)
    assert np.any(found.ranks.greater != ranks(None).greater)


@pytest.mark.integration
def test_a_baseline_that_draws_is_evaluated_for_every_seed():
    done = []

    def watch(what):
        done.append(what)
        return nullcontext(None)

    drawn = Recipe.from_dict({"model": "bpr-mf"})
    found = measure(drawn, prepared_ring(), seeds=[0, 1], watch=watch)
    assert found.evaluations[0] is not found.evaluations[1]
    assert done == [
        f"{doing} bpr-mf (seed {seed})" for seed in (0, 1) for doing in ("counting", "evaluating")
    ]
