"""A browser for the tests that look at pages."""

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    # Not at the top: most tests here do without Selenium.
    from tests.reference.browser import start

    driver = start(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()
