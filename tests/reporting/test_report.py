"""The text of the page: what stands in it, what is escaped, and that it needs nothing else."""

import itertools
import re
from dataclasses import replace

import polars as pl
import pytest

from hrec_tf.data import EventLog, sessions, splits
from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.evaluation import confidence_intervals
from hrec_tf.reporting.comparison import Comparison
from hrec_tf.reporting.report import report, report_of_run
from hrec_tf.reporting.tables import spread
from tests.reference.html_page import Page
from tests.reference.made_results import (
    ROUND,
    START,
    evaluation,
    prepared_ring,
    result,
    ring_log,
)

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def prepared():
    return prepared_ring(num_users=10, num_sessions=8)


@pytest.fixture(scope="module")
def comparison(prepared):
    results = (
        result("pop", *[evaluation(prepared, 9)] * 2),
        result("item-knn", *[evaluation(prepared, [0, 3])] * 2),
        result("hrnn-init", evaluation(prepared, 0), evaluation(prepared, [0, 2, 9]), epochs=2),
    )
    return Comparison(results, "Recall@1", (0, 7))


@pytest.fixture(scope="module")
def text(comparison, prepared):
    return report(comparison, prepared, LogSource("online-retail"), command=f"hrec {EVIL}")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_table_holds_the_numbers_of_the_comparison(page, comparison, prepared):
    head, *rows = page.tables["results-table"]
    assert head == [
        *("method", "Recall@1", "MRR@1", "NDCG@1", "Recall@5", "MRR@5", "NDCG@5"),
        *("ties", "training"),
    ]
    intervals = confidence_intervals([r.evaluations for r in comparison.results], prepared.test)
    for row, held, interval in zip(rows, comparison.results, intervals, strict=True):
        for name, cell in zip(head[1:7], row[1:7], strict=True):
            value, ends = held.metric(name), interval[name]
            low, high = spread(ends.low, None), spread(ends.high, None)
            assert cell == f"{spread(value.mean, value.sd)}\n[{low}, {high}]"
    assert [row[0] for row in rows] == ["POP\ncounted", "Item-KNN\ncounted", "HRNN Init\ntrained"]


def test_tests_stand_beside(page, comparison):
    _, row = page.tables["tests-table"]
    against = comparison.against_best_baseline["hrnn-init"]
    assert row[:3] == [
        "HRNN Init",
        f"{against.test.mean_difference:+.4f}",
        f"10\n{against.test.num_zeros} without difference",
    ]
    assert row[-1] == ("yes" if against.p_holm < 0.05 else "no")


def test_breakdowns_have_their_numbers(page):
    # Ranks 1, 4, 1, 4 of the targets 2, 3, 4, 5 of each session; all users have 7 sessions before.
    history, position = page.tables["breakdown-table-1"], page.tables["breakdown-table-2"]
    knn = {row[0]: row[1:] for row in history[1:]}["Item-KNN"]
    assert knn == ["–", ".5000"]
    knn = {row[0]: row[1:] for row in position[1:]}["Item-KNN"]
    assert knn == ["1.0000", ".5000", ".0000"]
    assert history[0][1] == "short\nup to 6 earlier sessions; 0 sessions"


def test_items_are_parted_by_age_and_new_users_counted():
    # Users 0..9 each in a round of sessions; item 99 comes in the last hour of training alone.
    log = ring_log(num_users=10, num_sessions=8)
    is_late = (pl.col("timestamp") == START + 6 * ROUND + 900) | (pl.col("session") == 9007)
    frame = log.frame.with_columns(
        item=pl.when(is_late).then(99).otherwise(pl.col("item")),
        user=pl.when(pl.col("session") == 8007).then(77).otherwise(pl.col("user")),
    )
    frame = frame.with_columns(
        item=pl.when(pl.col("session") == 7007).then(100).otherwise(pl.col("item"))
    )
    log = sessions.given(EventLog.from_frame(frame, session="session"))
    prepared = PreparedLog(splits.temporal(log, at=START + 7 * ROUND))
    run = result("pop", evaluation(prepared, 0))
    text = report(Comparison((run,), "Recall@1", (0,)), prepared, LogSource("online-retail"))
    page = Page(text)
    head, row = page.tables["breakdown-table-3"]
    assert head == [
        "method",
        "hour\nfirst seen in the last hour of training; 1 sessions",
        "day\nin the last day, not hour; 0 sessions",
        "week\nin the last week, not day; 0 sessions",
        "older\nbefore that; 8 sessions",
    ]
    assert row == ["POP", "1.0000", "–", "–", "1.0000"]
    assert {row[0]: row[3] for row in page.tables["parts-table"]}["test"] == "9\n1 new"
    # 4 of 40 targets were of item 100.
    assert "are dropped from the test: they were 10.0% of the test targets." in text


def test_a_log_without_times_has_no_ages():
    prepared = prepared_ring(num_users=10)
    ordered = replace(prepared.split.train, has_times=False)
    prepared = PreparedLog(replace(prepared.split, train=ordered))
    run = result("pop", evaluation(prepared, 0))
    page = Page(report(Comparison((run,), "Recall@1", (0,)), prepared, LogSource("online-retail")))
    assert "breakdown-table-2" in page.tables and "breakdown-table-3" not in page.tables


def test_a_figure_where_there_is_something_to_compare(text):
    names = re.findall(r'<svg class="figure" id="([^"]+)"', text)
    assert names == ["figure-Recall-1", "figure-MRR-1", "curve-1", "breakdown-2"]
    assert "No figure: fewer than two of the groups hold a test session." in text


def test_settings_are_complete_and_changes_stand_out(page):
    settings = {row[0]: row[1] for row in page.tables["settings-table-1"]}
    assert settings["epochs"] == "2\nrecipe: 10"
    assert settings["optimizer.epsilon"] == "1e-06"  # a default
    assert settings["negatives.alpha"] == "none"
    counted = page.tables["settings-table-2"]
    assert counted[0] == ["setting", "POP", "Item-KNN"]
    assert ["arguments.neighbours", "–", "300"] in counted


def test_data_and_what_was_removed(page):
    parts = page.tables["parts-table"]
    assert parts[1][:6] == ["training", "350", "70", "10", "20", "5.0"]
    assert parts[2][:6] == ["test", "50", "10", "10", "20", "5.0"]
    steps = {row[0]: row[1:] for row in page.tables["steps-table"]}
    assert steps["as read"] == ["400", "–", "10", "20"]
    assert steps["last_session_out: training"][0] == "350\n-50"
    assert "items of training" in steps


def test_cautions_are_listed(page):
    assert "Training was done with 2 seeds, too few for a dependable deviation." in page.items


def test_headings_never_skip_a_level(page):
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.headings[0] == "3 methods compared on online-retail"


def test_nothing_is_fetched_and_nothing_runs(text, page):
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "action", "srcset"):
            assert value.startswith("#")
    assert not re.search(r"@import|https?://|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_every_reference_in_the_page_has_its_place(page):
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in page.attributes:
        if name == "href":
            assert value[1:] in ids
        if name == "aria-labelledby":
            assert set(value.split()) <= set(ids)


def test_text_from_outside_is_escaped(text, comparison, prepared, tmp_path):
    assert EVIL not in text and "hrec &lt;script&gt;alert(1)&lt;/script&gt;" in text
    (tmp_path / "a").mkdir()
    path = tmp_path / "<img src=x onerror=alert(1)>.csv"
    path.write_text("user,item,timestamp\n1,1,1\n")
    found = report(comparison, prepared, LogSource(str(path)))
    assert "<img" not in found and "&lt;img src=x onerror=alert(1)&gt;.csv" in found
    assert str(tmp_path) not in found


def test_a_single_run_has_its_own_page(prepared):
    run = result("hrnn-init", evaluation(prepared, 0))
    found = report_of_run(
        run.recipe,
        run.evaluations[0],
        prepared,
        LogSource("online-retail"),
        seed=3,
        seconds=4.25,
        history={"loss": [0.9, 0.5], "val_loss": [0.8, 0.7], "val_recall@20": [0.1, 0.2]},
        command="hrec train --seed 3",
    )
    page = Page(found)
    assert page.headings[0] == "HRNN Init on online-retail"
    assert "tests-table" not in page.tables
    (row,) = page.tables["results-table"][1:]
    assert row[0] == "HRNN Init\ntrained" and row[-1] == "4.2 s"
    names = re.findall(r'<svg class="figure" id="([^"]+)"', found)
    assert names == ["curve-1", "curve-2", "breakdown-2"]
    assert "Validation: Recall@20 per epoch" in found
    assert "70 sessions of training" not in found
    assert "10 sessions of training, the last of each user, were held back" in found


def test_a_counted_run_has_no_curves(prepared):
    run = result("item-knn", evaluation(prepared, 0))
    found = report_of_run(
        run.recipe,
        run.evaluations[0],
        prepared,
        LogSource("online-retail"),
        seed=0,
        seconds=0.1,
    )
    assert "Training</h2>" not in found and "curve-1" not in found
