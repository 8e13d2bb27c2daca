"""Real models explained by the command, and their pages in a real browser."""

import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.by import By

from hrec_tf import runs
from hrec_tf.cli.main import main
from hrec_tf.data.log_source import LogSource
from tests.reference.browser import (
    NEEDS_CHROMIUM,
    WIDTHS,
    open_page,
    runs_over,
    set_width,
    text_outside_figures,
)
from tests.reference.tiny_log import OPTIONS, write_ring_log

# A name that no line has room for, and that would run if it were not escaped.
CATEGORY = "<script>document.title='run'</script>" + "a-long-category" * 5
CATEGORIES = {f"i{item}": (CATEGORY if item % 3 else "short",) for item in range(1, 21)}
SMALL = {
    "hcrnn-3-bi": {"units": 6, "item_dim": 6, "num_contexts": 4},
    "narm": {"units": 6, "item_dim": 6},
}

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("explained in a browser"),
    # Keras reads its variables for the weights file in a way that NumPy 2 will drop.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("explained")


@pytest.fixture(scope="module")
def made(folder):
    """Model -> the numbers of its page, beside the page `<model>.html` and the run `<model>`."""
    log = write_ring_log(folder / "log.csv", num_users=10, length=20)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogSource, "categories", lambda source: CATEGORIES)
        for model, sizes in SMALL.items():
            run = str(folder / model)
            changes = [
                part for key, size in sizes.items() for part in ("--set", f"arguments.{key}={size}")
            ]
            train = ["train", "--data", str(log), *OPTIONS, "--model", model, "--epochs", "1"]
            train += ["--batch-size", "32"]  # few enough rows for no XLA
            assert main([*train, *changes, "--out", run]) == 0
            assert main(["explain", run, "--out", str(folder / f"{model}.html")]) == 0
            numbers = (folder / f"{model}.json").read_text(encoding="utf-8")
            found[model] = json.loads(numbers)
    return found


def test_hcrnn_tells_of_all_that_the_paper_shows(made):
    numbers = made["hcrnn-3-bi"]
    assert numbers["skipped"] == {}
    assert set(numbers["attention_by_time"]["mean_weight"]) == {
        "context_attention",
        "state_attention",
        "even",
    }
    assert set(numbers["gates"]) == {"reset", "update", "drift", "context", "reset × drift"}
    assert set(numbers["changes"]) == {"h", "c"}
    assert len(numbers["nearest_items"]) == 4 and len(numbers["topics"]) == 4
    assert sum(numbers["topics"]) == pytest.approx(1, abs=1e-5)


def test_narm_tells_of_what_it_has(made):
    numbers = made["narm"]
    assert set(numbers["attention_by_steps"]["mean_weight"]) == {"attention", "even"}
    assert set(numbers["gates"]) == {"reset", "update"} and set(numbers["changes"]) == {"h"}
    assert set(numbers["skipped"]) == {"nearest_items", "map"}
    assert numbers["gate_by_run"]["all"]["breaking"]["events"] > 0


@pytest.mark.parametrize("model", SMALL)
def test_numbers_are_those_that_the_model_gives_for_one_history(made, folder, model):
    """The whole way from the run: the numbers of the drawn history, taken from the model itself."""
    run = runs.load(folder / model)
    drawn = made[model]["history"]
    found = run.model().explain(run.vocabulary.encode(drawn["items"]))
    for name, weights in found.attentions.items():
        np.testing.assert_allclose(drawn["attentions"][name], weights, atol=1e-5)
    for name, values in found.gates.items():
        np.testing.assert_allclose(drawn["gates"][name], values.mean(axis=1), atol=1e-5)
    change = np.abs(np.diff(found.states["h"], axis=0)).mean(axis=1)
    np.testing.assert_allclose(drawn["changes"]["h"], change, atol=1e-5)


@pytest.fixture(scope="module", params=SMALL)
def page(request, browser, made, folder):
    return open_page(browser, folder / f"{request.param}.html")


@NEEDS_CHROMIUM
class TestPages:
    def test_it_asks_for_nothing_and_complains_of_nothing(self, page):
        assert page.said == []
        assert page.asked == [page.path.as_uri()]
        assert page.title.startswith("Inside ") and page.title.endswith(" on log.csv")

    def test_headings_in_order(self, page):
        levels = page.execute_script(
            "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])"
        )
        assert levels[0] == 1 and levels.count(1) == 1 and levels.count(2) >= 5
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))

    def test_every_figure_is_drawn(self, page):
        set_width(page, 1200)
        figures = page.find_elements(By.CSS_SELECTOR, "svg")
        assert len(figures) == (7 if page.path.stem == "hcrnn-3-bi" else 5)
        for figure in figures:
            assert figure.size["width"] > 200 and figure.size["height"] > 60
            image = Image.open(io.BytesIO(figure.screenshot_as_png)).convert("RGB")
            pixels = np.asarray(image).astype(int)
            colored = (pixels.max(axis=-1) - pixels.min(axis=-1)) > 60
            assert colored.sum() > 40, figure.get_attribute("id")

    @pytest.mark.parametrize("width", WIDTHS)
    def test_nothing_runs_over(self, page, width):
        assert runs_over(page, width) == []

    @pytest.mark.parametrize("width", WIDTHS)
    def test_text_of_a_figure_stays_inside_it(self, page, width):
        assert text_outside_figures(page, width) == []
