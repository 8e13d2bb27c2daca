"""The demo page in a real browser: clicks append, gaps cut, lists move, and nothing leaves."""

import json
from contextlib import contextmanager

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from hrec_tf.serving import Demo
from tests.reference import browser as chromium
from tests.serving.demos import DESCRIPTIONS, NOON, SCRIPT, TEXTS, recommender

EXAMPLE = [("tea", NOON), ("rum", NOON + 60), ("jam", NOON + 9000)]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("demo in a browser"),
    chromium.NEEDS_CHROMIUM,
]


@pytest.fixture(scope="module")
def demo():
    ours = recommender("hcrnn-3-bi", TEXTS, descriptions=DESCRIPTIONS)
    with Demo(ours, name=SCRIPT, examples=[EXAMPLE]) as demo:
        yield demo


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    driver = chromium.start(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver, demo):
    with opened(driver, demo) as page:
        yield page


@contextmanager
def opened(driver, demo):
    """The page, just opened; at the end nothing was fetched but from it, and nothing is wrong."""
    driver.get("about:blank")
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    driver.get(demo.url)
    shows(driver, 0)
    yield driver
    assert driver.get_log("browser") == []
    events = [json.loads(line["message"])["message"] for line in driver.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert len(urls) > 3
    assert [url for url in urls if not url.startswith((f"{demo.url}/", "data:,"))] == []


def texts(page, selector):
    return page.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())", selector
    )


def ids(page):
    """Items of the list, best first."""
    return page.execute_script(
        "return [...document.querySelectorAll('#ranked button')].map(e => e.dataset.id)"
    )


def shows(page, events):
    """Waits until so many events are drawn, and the list and the explanation after them."""

    def is_drawn(page):
        drawn = len(texts(page, "#events li"))
        inside = texts(page, "#parts tr:first-child td") if events else texts(page, "#inside-note")
        return drawn == events and len(ids(page)) > 0 and len(inside) > 0

    WebDriverWait(page, 60, 0.05).until(is_drawn)


def history_of(events):
    return f"history={json.dumps([['tea', NOON]] * events)}"


def reads_refusals(page, number):
    """Takes what the browser writes of refusals out of its log."""
    lines = page.get_log("browser")
    assert len(lines) == number and all("status of 400" in line["message"] for line in lines)


def overwrite(field, keys):
    field.send_keys(Keys.CONTROL + "a")
    field.send_keys(keys)


def choose(page, selector):
    page.find_element(By.CSS_SELECTOR, selector).click()


def test_a_click_appends_and_the_list_follows(page):
    choose(page, "#found button[data-id=tea]")
    shows(page, 1)
    first = ids(page)
    assert "tea" not in first and len(first) == len(TEXTS) - 1
    assert texts(page, "#ranked .mark")  # against the list of a new user
    chosen = first[2]
    page.find_elements(By.CSS_SELECTOR, "#ranked button")[2].click()
    shows(page, 2)
    second = ids(page)
    assert chosen not in second and set(second) == set(first) - {chosen}
    for rank, (item, mark) in enumerate(zip(second, texts(page, "#ranked .mark"), strict=True)):
        places = first.index(item) - rank
        expected = f"▲ {places}" if places > 0 else f"▼ {-places}" if places else ""
        assert mark == expected
    assert any(texts(page, "#ranked .mark"))
    widths = page.execute_script(
        "return [...document.querySelectorAll('.bar span')].map(e => e.offsetWidth)"
    )
    assert widths == sorted(widths, reverse=True) and widths[0] > widths[-1] > 0
    assert "items in" in texts(page, "#answered")[0] and texts(page, "#answered")[0].endswith("ms")


def test_a_gap_cuts_and_undo_takes_back(page):
    choose(page, "#found button[data-id=tea]")
    shows(page, 1)
    choose(page, "input[value=soon]")
    choose(page, "#found button[data-id=jam]")
    shows(page, 2)
    assert len(texts(page, ".session")) == 1 and "+5 min" in texts(page, "#events time")[1]
    choose(page, "input[value=cut]")
    choose(page, "#found button[data-id=rum]")
    shows(page, 3)
    assert [len(text.splitlines()) > 1 for text in texts(page, ".session")] == [True, True]
    assert texts(page, ".gap") == ["31 min idle"]
    choose(page, "#undo")
    shows(page, 2)
    assert len(texts(page, ".session")) == 1
    choose(page, "#clear")
    shows(page, 0)
    choose(page, "#undo")
    shows(page, 2)


def test_another_rule_is_a_what_if(page):
    choose(page, "#example")
    shows(page, 3)
    assert len(texts(page, ".session")) == 2
    assert not page.find_element(By.ID, "what-if").is_displayed()
    rule = page.find_element(By.ID, "idle")
    rule.clear()
    rule.send_keys("0.5\t")
    WebDriverWait(page, 60).until(lambda page: len(texts(page, ".session")) == 3)
    assert "trained on sessions with 30 minutes" in texts(page, "#what-if")[0]
    choose(page, "#trained")
    WebDriverWait(page, 60).until(lambda page: len(texts(page, ".session")) == 2)


def test_markup_in_a_name_is_text(page):
    assert page.title == f"Try {SCRIPT}" == texts(page, "h1")[0]
    page.find_element(By.ID, "query").send_keys("alert(1)")
    WebDriverWait(page, 60).until(lambda page: texts(page, "#found button") == [SCRIPT])
    choose(page, "#found button")
    shows(page, 1)
    assert texts(page, "#events li span:nth-child(2)") == [SCRIPT]
    assert any("<b>pale</b> green" in text for text in texts(page, "#ranked button"))
    assert page.execute_script("return document.querySelectorAll('b').length") == 0


def test_an_explanation_is_drawn_under_the_events_that_it_is_of(page):
    choose(page, "#example")
    shows(page, 3)
    assert texts(page, "#parts thead th") == ["event", "3"]  # the last session alone
    choose(page, "#found button[data-id=tea]")
    shows(page, 4)
    WebDriverWait(page, 60).until(lambda page: texts(page, "#parts thead th")[1:] == ["3", "4"])
    rows = texts(page, "#parts tbody th")
    assert {"context attention", "gate: update", "gate: reset"} <= set(rows)
    cells = texts(page, "#parts tbody tr:first-child td")
    assert sum(map(float, cells)) == pytest.approx(1, abs=0.02)
    shades = page.execute_script(
        "return [...document.querySelectorAll('#parts td')]"
        ".map(e => getComputedStyle(e).backgroundColor)"
    )
    assert len(set(shades)) > 3


def test_learned_boundaries_are_drawn_as_shares_of_one(driver):
    ours = recommender("hm-rnn", TEXTS, scale=0.3)
    with Demo(ours, name="segments", examples=[EXAMPLE]) as demo, opened(driver, demo) as page:
        choose(page, "#example")
        shows(page, 3)
        assert texts(page, "#parts thead th") == ["event", "1", "2", "3"]  # all sessions
        assert texts(page, "#parts tbody th") == ["boundary: z1", "boundary: z2"]
        assert "a segment of its own ended before the event" in texts(page, "#inside-note")[0]
        shares = page.execute_script(
            "return [...document.querySelectorAll('#parts td')]"
            ".map(e => [e.innerText, e.style.getPropertyValue('--share')])"
        )
        found = ours.explain(EXAMPLE).boundaries
        expected = [*found["z1"], *found["z2"]]
        assert [float(text) for text, _ in shares] == pytest.approx(expected, abs=0.006)
        assert [float(share) for _, share in shares] == pytest.approx(expected, abs=0.001)


def test_ids_are_typed_and_pasted(page):
    field = page.find_element(By.ID, "query")
    field.send_keys("green" + Keys.ENTER)  # at once: what it finds is not drawn yet
    shows(page, 1)
    assert texts(page, "#events li span:nth-child(2)") == ["Green Tea tea"]
    WebDriverWait(page, 60).until(lambda page: texts(page, "#typed") == ["Appended: tea"])
    assert field.get_property("value") == ""
    choose(page, "input[value=cut]")
    field.send_keys("gin, dry" + Keys.ENTER)
    shows(page, 2)
    choose(page, "input[value=now]")
    field.click()
    page.execute_cdp_cmd("Input.insertText", {"text": "jam, brandy\ngin, dry"})
    WebDriverWait(page, 60).until(lambda page: "as ids" in texts(page, "#found-title")[0])
    field.send_keys(Keys.SHIFT + Keys.ENTER)
    assert field.get_property("value") == "jam, brandy\ngin, dry\n"
    field.send_keys(Keys.ENTER)
    shows(page, 5)
    assert len(texts(page, ".session")) == 2
    items = texts(page, "#events li span:nth-child(2)")[2:]
    assert items == ["jam", "brandy not in the catalogue: passed over", "gin, dry"]
    said = texts(page, "#typed")[0]
    assert said == (
        "Appended: jam · brandy · gin, dry Not in the catalogue, so passed over: brandy"
    )
    choose(page, "#undo")  # all three at once
    shows(page, 2)
    assert texts(page, "#typed") == [""]


def test_a_typed_text_that_is_refused_stays_in_the_field(page):
    field = page.find_element(By.ID, "query")
    page.execute_script("location.hash = arguments[0]", history_of(103))
    shows(page, 103)
    for text, message in ((" , ", "`text` holds 0 ids"), ("tea," * 400, "would have 503 events")):
        page.execute_script("arguments[0].value = arguments[1]", field, text)
        field.send_keys(Keys.ENTER)
        WebDriverWait(page, 60).until(lambda page, said=message: said in texts(page, "#typed")[0])
        assert field.get_property("value") == text
    reads_refusals(page, 1)
    shows(page, 103)


def test_a_refused_append_is_taken_back(page):
    choose(page, "#found button[data-id=tea]")
    shows(page, 1)
    kept, list_before = page.current_url, ids(page)
    overwrite(page.find_element(By.ID, "own"), "9999999999")
    # The second is asked before the first is refused: neither may stay.
    page.execute_script("for (const _ of [1, 2]) document.querySelector('[data-id=jam]').click()")
    WebDriverWait(page, 60).until(lambda page: "Divide milliseconds" in texts(page, "#trouble")[0])
    reads_refusals(page, 2)
    assert (page.current_url, ids(page)) == (kept, list_before)
    choose(page, "input[value=now]")
    choose(page, "#found button[data-id=rum]")
    shows(page, 2)
    assert texts(page, "#trouble") == [""]
    choose(page, "#undo")
    shows(page, 1)
    choose(page, "#undo")
    shows(page, 0)
    assert not page.find_element(By.ID, "undo").is_enabled()


def test_an_emptied_time_keeps_the_former_one(page):
    choose(page, "#found button[data-id=tea]")
    shows(page, 1)
    own = page.find_element(By.ID, "own")
    overwrite(own, "7")
    for typed in (Keys.BACKSPACE, "-3"):
        overwrite(own, typed)
        assert texts(page, "#own-note") == ["no number of at least 0: 7 min are kept"]
    choose(page, "#found button[data-id=jam]")
    shows(page, 2)
    assert own.get_property("value") == "7" and "+7 min" in texts(page, "#events time")[1]
    overwrite(own, "0")
    assert texts(page, "#own-note") == [""]
    idle = page.find_element(By.ID, "idle")
    former = idle.get_property("value")
    overwrite(idle, "e" + Keys.TAB)  # no number, and no empty field either
    assert former and idle.get_property("value") == former


def test_the_error_of_a_superseded_search_is_not_said(page):
    page.execute_script(
        """const fetched = window.fetch;
        window.fetch = (path, ...rest) => !path.includes("query=slow&") ? fetched(path, ...rest)
          : new Promise((_, refuse) => { window.refuse = () => refuse(new Error("too late")); });"""
    )
    field = page.find_element(By.ID, "query")
    field.send_keys("slow")
    WebDriverWait(page, 60).until(lambda page: page.execute_script("return !!window.refuse"))
    field.clear()
    field.send_keys("jamaica")
    WebDriverWait(page, 60).until(lambda page: len(texts(page, "#found button")) == 1)
    page.execute_script("window.refuse()")
    assert texts(page, "#trouble") == [""]
    field.clear()
    field.send_keys("slow")
    page.execute_script("window.refuse = null")
    WebDriverWait(page, 60).until(lambda page: page.execute_script("return !!window.refuse"))
    page.execute_script("window.refuse()")
    assert texts(page, "#trouble") == ["too late"]  # of the newest one it is


def test_the_address_shares_the_state(page, demo):
    choose(page, "#example")
    shows(page, 3)
    choose(page, "#exclude")
    WebDriverWait(page, 60).until(lambda page: len(ids(page)) == len(TEXTS))
    shared, found = page.current_url, ids(page)
    page.get("about:blank")
    page.get(shared)
    shows(page, 3)
    assert ids(page) == found and not page.find_element(By.ID, "exclude").is_selected()
    history = json.dumps([["brandy", NOON], ["tea", NOON]])
    page.get("about:blank")
    page.get(f"{demo.url}/#history={history}")
    shows(page, 2)
    assert texts(page, ".unknown") == ["not in the catalogue: passed over"]
    page.get("about:blank")
    page.get(f"{demo.url}/#history=[")
    shows(page, 0)
    assert "holds no history that can be read" in texts(page, "#trouble")[0]


def test_what_the_server_refuses_is_said(driver, demo):
    driver.get("about:blank")
    driver.get(f"{demo.url}/#history={json.dumps([['tea', NOON], ['jam', NOON - 1]])}")
    WebDriverWait(driver, 60).until(lambda page: "go back at row 1" in texts(page, "#trouble")[0])
    assert texts(driver, "#answered") == [""]
    choose(driver, "#found button[data-id=rum]")
    shows(driver, 1)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_can_be_read(page, width, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    choose(page, "#example")
    shows(page, 3)
    assert chromium.runs_over(page, width) == []
    ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    is_dark = sum(map(int, ground.removeprefix("rgb(").rstrip(")").split(","))) < 200
    assert is_dark == (scheme == "dark")
    unnamed = page.execute_script(
        """return [...document.querySelectorAll('input, textarea, button')].filter(e =>
        !e.innerText.trim() && !e.ariaLabel && !(e.labels && e.labels.length)).length"""
    )
    assert unnamed == 0
