"""Pages in a real browser: Chromium, its driver, and flags that keep it from asking for more.

The fixture `browser` of tests/reporting/conftest.py starts it.
"""

import json
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

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

NEEDS_CHROMIUM = pytest.mark.skipif(
    not (CHROMIUM.is_file() and DRIVER.is_file()), reason=f"there is no {CHROMIUM} or {DRIVER}"
)


def start(profile):
    """Returns a browser whose settings are in a folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(str(DRIVER)))


def open_page(browser, path):
    """Opens a file; `said` and `asked` are then what it wrote and fetched."""
    browser.get("about:blank")  # a browser that has just started asks for a page of its own
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what came before is not this page's
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


def runs_over(page, width):
    """What passes the page's right edge, if anything does."""
    set_width(page, width)
    wide, seen = page.execute_script(
        "const d = document.documentElement; return [d.scrollWidth, d.clientWidth]"
    )
    assert wide <= seen
    # Tables scroll in boxes of their own; nothing else may pass the edge, hidden or not.
    return page.execute_script(
        """return [...document.querySelectorAll('body *')]
        .filter(e => !e.closest('.scroll') || e.matches('.scroll'))
        .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
        .map(e => e.outerHTML.slice(0, 80))"""
    )


def text_outside_figures(page, width):
    """Texts of figures that are cut, or not drawn."""
    set_width(page, width)
    return page.execute_script(
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
