"""The page of a real comparison in a real browser: drawn, whole at any width, asking for nothing.

Needs Chromium and its driver; the flags keep it from asking the network for anything of its own.
"""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from hrec_tf.cli.compare import run_comparison
from hrec_tf.data.log_source import LogSource
from hrec_tf.recipe import Recipe, with_shared_changes
from hrec_tf.reporting.report import report_of_run
from hrec_tf.reporting.tables import spread
from tests.reference.tiny_log import COLUMNS, write_ring_log

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (1200, 800, 400)
MODELS = ("pop", "item-knn", "gru4rec", "hrnn-init")
# A name that no line has room for, and that would run if it were not escaped.
NAME = "<script>document.title='run'<script>" + "a-log-with-a-long-name" * 4 + ".csv"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (CHROMIUM.is_file() and DRIVER.is_file()), reason=f"there is no {CHROMIUM} or {DRIVER}"
    ),
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


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=["comparison.html", "run.html"])
def page(request, browser, compared, folder):
    """The browser with a page open; `said` and `asked` are what it wrote and fetched."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what came before is not this page's
    path = folder / request.param
    browser.get(path.as_uri())
    browser.said = browser.get_log("browser")
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    browser.asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    browser.path = path
    return browser


def set_width(browser, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_script("return window.innerWidth") == width


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
    set_width(page, width)
    wide, seen = page.execute_script(
        "const d = document.documentElement; return [d.scrollWidth, d.clientWidth]"
    )
    assert wide <= seen
    # Tables scroll in boxes of their own; nothing else may pass the edge, hidden or not.
    outside = page.execute_script(
        """return [...document.querySelectorAll('body *')]
        .filter(e => !e.closest('.scroll') || e.matches('.scroll'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
        .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert outside == []


@pytest.mark.parametrize("width", WIDTHS)
def test_text_of_a_figure_stays_inside_it(page, width):
    set_width(page, width)
    outside = page.execute_script(
        """const bad = [];
        for (const svg of document.querySelectorAll('svg')) {
          const box = svg.getBoundingClientRect();
          for (const text of svg.querySelectorAll('text')) {
            const r = text.getBoundingClientRect();
            if (r.width === 0 || r.left < box.left - 1 || r.right > box.right + 1 ||
                r.top < box.top - 1 || r.bottom > box.bottom + 1)
              bad.push(svg.id + ': ' + text.textContent);
          }
        }
        return bad"""
    )
    assert outside == []
