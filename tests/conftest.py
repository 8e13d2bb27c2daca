"""What a test process is told before TensorFlow is imported."""

import gc
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
WHOLE = (
    *("cli", "conformance", "export", "integrations", "recipes", "serving", "training", "tuning"),
    *("test_inference.py", "test_pending_reader.py", "test_registry.py", "test_runs.py"),
    *("models/test_fit.py", "models/test_hcrnn_training.py", "reporting/explained/test_page.py"),
)
"""Folders and files whose tests are integration tests: they train, save or serve models whole."""

# Nothing that is imported is garbage, but the collector looks through all of it again and again.
gc.disable()


def pytest_collection_finish():
    gc.enable()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before those are left out that `-m` does not ask for
def pytest_collection_modifyitems(items):
    whole = [TESTS / name for name in WHOLE]
    for item in items:
        if any(item.path.is_relative_to(path) for path in whole):
            item.add_marker(pytest.mark.integration)
