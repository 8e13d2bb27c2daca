"""The page of a real comparison in a real browser: drawn, whole at any width, asking for nothing.

Needs Chromium and its driver; the flags keep it from asking the network for anything of its own.
"""

import io
import itertools

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By

from hrec_tf.cli.compare import run_comparison
from hrec_tf.data.log_source import LogSource
from hrec_tf.recipe import Recipe, with_shared_changes
from hrec_tf.reporting.report import report_of_run
from hrec_tf.reporting.tables import spread
from tests.reference.browser import (
    NEEDS_CHROMIUM,
    WIDTHS,
    open_page,
    runs_over,
    set_width,
    text_outside_figures,
)
from tests.reference.tiny_log import COLUMNS, write_ring_log

MODELS = ("pop", "item-knn", "gru4rec", "hrnn-init")
# A name that no line has room for, and that would run if it were not escaped.
NAME = "<script>document.title='run'<script>" + "a-log-with-a-long-name" * 4 + ".csv"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("report in a browser"),
    NEEDS_CHROMIUM,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def compared(folder):
    """A comparison, its log, and the pages of it and of its last model."""
    log = write_ring_log(folder / NAME, num_sessions=9)
    head, *lines = log.read_text(encoding="utf-8").splitlines()
    # Half of the users have three sessions fewer, so that there are short and long histories.
    sessions = [divmod(int(line.rsplit(",", 1)[1]), 100) for line in lines]
    kept = [x for x, (user, n) in zip(lines, sessions, strict=True) if user % 2 or n < 6]
    log.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    source = LogSource(str(log), reading=COLUMNS)
    recipes = [Recipe.for_data(None, model) for model in MODELS]
    small = {"epochs": 2, "num_lanes": 4, "session_units": 8, "user_units": 8, "units": 8}
    recipes = with_shared_changes(recipes, small)
    comparison, prepared = run_comparison(
        source,
        recipes,
        seeds=[0, 1],
        metric="MRR@5",
        as_json=True,
        report=str(folder / "comparison.html"),
        command=f"hrec compare --data {log}",
    )
    last = comparison.results[-1]
    page = report_of_run(
        last.recipe,
        last.evaluations[0],
        prepared,
        source,
        seed=0,
        seconds=1.0,
        history=last.history[0],
    )
    (folder / "run.html").write_text(page, encoding="utf-8")
    return comparison


@pytest.fixture(scope="module", params=["comparison.html", "run.html"])
def page(request, browser, compared, folder):
    """The browser with a page open, see `open_page`."""
    return open_page(browser, folder / request.param)


def test_the_page_asks_for_nothing_and_complains_of_nothing(page):
    assert page.said == []
    assert page.asked == [page.path.as_uri()]
    assert page.title.endswith(f"on {NAME}")  # not what the script in the name would make of it


def test_headings_in_order(page):
    levels = page.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1 and levels.count(2) >= 6
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_figure_is_drawn(page):
    set_width(page, 1200)
    figures = page.find_elements(By.CSS_SELECTOR, "svg")
    expected = 6 if page.path.name == "comparison.html" else 3
    assert len(figures) == expected
    for figure in figures:
        assert figure.size["width"] > 200 and figure.size["height"] > 60
        image = Image.open(io.BytesIO(figure.screenshot_as_png)).convert("RGB")
        pixels = np.asarray(image).astype(int)
        colored = (pixels.max(axis=-1) - pixels.min(axis=-1)) > 60
        assert colored.sum() > 40, figure.get_attribute("id")
        marks = page.execute_script(
            "return [...arguments[0].querySelectorAll('use')]"
            ".filter(m => m.getBoundingClientRect().width > 2).length",
            figure,
        )
        assert marks >= 2


def test_the_table_holds_the_numbers_of_the_comparison(browser, compared, folder):
    browser.get((folder / "comparison.html").as_uri())
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#results-table tr')]"
        ".map(row => [...row.cells].map(cell => cell.innerText))"
    )
    head, *rows = rows
    assert len(rows) == len(MODELS)
    for row, result in zip(rows, compared.results, strict=True):
        assert row[0].splitlines()[0] == result.recipe.entry.title
        for name in ("Recall@5", "MRR@5", "Recall@20", "MRR@20"):
            value = result.metric(name)
            assert row[head.index(name)].splitlines()[0] == spread(value.mean, value.sd)
    scopes = browser.execute_script(
        "return [...document.querySelectorAll('th')].every(th => th.scope)"
    )
    assert scopes


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_over(page, width):
    assert runs_over(page, width) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_text_of_a_figure_stays_inside_it(page, width):
    assert text_outside_figures(page, width) == []
