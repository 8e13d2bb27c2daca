"""docs/choosing.md is what the numbers say, and says who is behind."""

from benchmarks import choosing
from benchmarks.choosing import METRICS

PLACE = ("globo-10k", "last_session_out")


def record(recipe, metric, mean, sd=None):
    protocol = f"{PLACE[1]}, full ranking, conservative ties"
    return {"dataset": PLACE[0], "protocol": protocol, "recipe": recipe, "metric": metric} | {
        "mean": mean,
        "sd": sd,
    }


RECORDS = [
    *(record("v-sknn-tuned", metric, 0.30) for metric in choosing.METRICS),
    record("stan-tuned", "Recall@20", 0.28),
    record("stan-tuned", "MRR@20", 0.31),
    record("gru4rec+-tuned", "Recall@20", 0.33),
    record("gru4rec+-tuned", "MRR@20", 0.20),
    record("hrnn+-tuned", "Recall@20", 0.32, 0.01),
    record("hrnn+-tuned", "MRR@20", 0.325, 0.02),
]


def outcome(against, metric, difference, p, better=9, worse=4, **other):
    """A test of HRNN+ against a rival."""
    about = {"dataset": PLACE[0], "split": PLACE[1], "kind": "test", "recipe": "hrnn+-tuned"}
    found = {"difference": difference, "better": better, "worse": worse, "p_holm": p}
    return about | {"against": against, "metric": metric} | found | other


def test_the_page_is_made_from_the_numbers_as_they_are():
    text, figure = choosing.page()
    made = "`python -m benchmarks.choosing` has not been run since the numbers changed"
    assert choosing.PAGE.read_text(encoding="utf-8") == text, made
    assert choosing.FIGURE.read_text(encoding="utf-8") == f"{figure}\n", made


def test_a_family_shows_its_best_recipe_by_each_metric():
    """STAN has .31 in MRR, V-SKNN .30 in Recall; what was measured nowhere has no column."""
    table = choosing.table_of({PLACE: RECORDS})
    assert table.head[3:] == ("neighbours", "GRU4Rec+", "HRNN+")
    assert table.rows == (
        (*PLACE, "Recall@20", ".3000", ".3300", ".3200 ± .0100"),
        (*PLACE, "MRR@20", ".3100", ".2000", ".3250 ± .0200"),
    )


def test_each_metric_is_told_against_its_own_best_rival_also_where_it_is_behind():
    tests = [
        outcome("gru4rec+-tuned", "Recall@20", -0.01, 0.0004, better=4, worse=9),
        outcome("v-sknn-tuned", "Recall@20", 0.02, 0.0004),
        outcome("stan-tuned", "MRR@20", 0.015, 0.2),
    ]
    assert choosing.verdict_of(PLACE, RECORDS, tests) == (
        "- globo-10k, last_session_out: `hrnn+-tuned` has Recall@20 behind `gru4rec+-tuned` "
        "(-0.0100; better for 4 users, worse for 9; p 0.0004); MRR@20 not told apart from "
        "`stan-tuned` (+0.0150; better for 9 users, worse for 4; p 0.2)."
    )


def test_who_is_ahead_is_what_mean_and_ranks_both_say():
    assert choosing.outcome_of(outcome("pop", "MRR@20", 0.1, 0.001)) == "ahead"
    assert choosing.outcome_of(outcome("pop", "MRR@20", 0.1, 0.001, better=3)) == ""
    assert choosing.outcome_of(outcome("pop", "MRR@20", -0.1, 0.001)) == ""
    assert choosing.outcome_of(outcome("pop", "MRR@20", -0.1, 0.001, better=3)) == "behind"
    assert choosing.outcome_of(outcome("pop", "MRR@20", 0.1, 0.01)) == ""


def test_a_log_is_won_where_every_rival_of_the_bar_is_behind_in_both_metrics():
    tests = [outcome(name, metric, 0.1, 0.001) for name in choosing.BAR for metric in METRICS]
    won = "after Holm, on globo-10k (last_session_out)."
    assert choosing.tally_of({PLACE: RECORDS}, tests).endswith(won)
    lost = "after Holm, on no log; not on globo-10k (last_session_out)."
    unsure = [*tests[:-1], outcome(choosing.BAR[-1], METRICS[-1], 0.1, 0.02)]
    for some in (tests[:-1], unsure):
        assert choosing.tally_of({PLACE: RECORDS}, some).endswith(lost)


def test_a_log_without_tests_says_so():
    assert choosing.verdict_of(PLACE, RECORDS, []) == (
        "- globo-10k, last_session_out: `hrnn+-tuned` has Recall@20 not tested against "
        "`gru4rec+-tuned`; MRR@20 not tested against `stan-tuned`."
    )


def test_what_the_user_level_gives_is_told_of_those_who_came_back():
    found = [
        outcome("gru4rec+-same", metric, 0.1, p, kind="user level", group=group)
        for group, p in (("all", 0.2), ("long", 0.002))
        for metric in METRICS
    ]
    said = choosing.returning_of([PLACE], found)
    assert said.endswith("in MRR@20, it is ahead on globo-10k (last_session_out).")
    rows = choosing.user_level_of([PLACE], found).rows
    assert [(row[0], row[2], row[-1]) for row in rows] == [
        (PLACE[0], "all", "not told apart"),
        ("", "", "not told apart"),
        (PLACE[0], "more than 6", "ahead"),
        ("", "", "ahead"),
    ]


def test_what_a_family_takes_is_of_recipes_of_which_that_was_measured():
    beside = {"training_seconds": 2.0, "lists_per_second": 500.0, "Coverage@20": 0.25}
    measured = [record("v-sknn-tuned", metric, mean) for metric, mean in beside.items()]
    (row,) = choosing.costs_of({PLACE: [*RECORDS, *measured]}).rows
    assert row == (*PLACE, "v-sknn-tuned", "2.0 s", "500", "25.0%")


def test_how_many_trials_a_search_had_is_said_of_all_of_them():
    searches = [{"complete": 12, "pruned": 0}, {"complete": 4, "pruned": 2}]
    assert choosing.trials_text(searches) == "6 or 12"


def test_the_figure_is_a_file_of_its_own_and_has_what_was_measured():
    drawn = choosing.figure_of({PLACE: RECORDS})
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "neighbours 0.3000" in drawn and "HRNN+ 0.3200" in drawn
