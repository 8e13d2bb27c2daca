"""docs/recipes.md names every recipe that was measured, once, beside its numbers."""

from benchmarks import recipes
from benchmarks.records import read
from benchmarks.report import RESULTS
from hrec_tf.recipes import files


def test_the_page_is_what_the_numbers_say():
    made = "`python -m benchmarks.recipes` has not been run since the numbers changed"
    assert recipes.PAGE.read_text(encoding="utf-8") == recipes.page(), made


def test_a_row_stands_with_the_file_whose_recipe_the_log_has():
    parts = recipes.PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    assert [part.split("\n")[0] for part in parts] == list(files.names())
    told = []
    for part in parts:
        name, *lines = part.split("\n")
        cells = [line.split(" | ") for line in lines if line.startswith("| ")]
        rows = [(cell[0].removeprefix("| "), cell[1]) for cell in cells[1:]]
        assert all(files.file_of(*row) == name for row in rows)
        told += rows
    measured = {(r["dataset"], r["recipe"]) for r in read(RESULTS) if recipes.is_of_recipe(r)}
    assert len(told) == len(set(told)) and set(told) == measured


def test_a_log_may_have_its_own_recipe_and_its_own_ties():
    assert files.file_of("citeulike-hcrnn", "pop") == "song2019_citeulike_hcrnn"
    assert files.file_of(None, "hcrnn-3-bi") == "song2019"
    assert recipes.ties_of("citeulike-hcrnn", "pop") == "standard"
    assert recipes.ties_of("globo-10k", "item-knn") == "conservative"


def test_numbers_are_those_of_the_longest_lists_and_epochs_stand_where_they_were_given():
    about = {"dataset": "globo-10k", "recipe": "narm", "sd": None, "seeds": 1}
    about["command"] = "python -m benchmarks.measure --data globo-10k --epochs 3 --seeds 0"
    held = [
        about | {"metric": metric, "mean": mean}
        for metric, mean in (
            ("Recall@5", 0.1),
            ("MRR@5", 0.05),
            ("Recall@20", 0.5),
            ("MRR@20", 0.2),
        )
    ]
    (row,) = recipes.rows_of("narm", held)
    assert row == ("globo-10k", "narm", "Recall@20 .5000", "MRR@20 .2000", "1", "3")
