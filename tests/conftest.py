"""What a test process is told before TensorFlow is imported."""

import gc
import os
from contextlib import nullcontext
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores for integration tests, which wait for servers and browsers."""
    return (os.cpu_count() or 1) + 1 if config.option.markexpr == "integration" else None


def pytest_collection_finish():
    gc.enable()
    gc.freeze()


def pytest_ignore_collect(collection_path, config):
    """Leaves out files of which `-m` asks for no test, before they are imported."""
    path, asked = collection_path, config.option.markexpr
    is_whole = any(path.is_relative_to(TESTS / name) for name in WHOLE)
    if asked == "not integration" and is_whole:
        return True
    if asked == "integration" and not is_whole and path.name.startswith("test_"):
        return "mark.integration" not in path.read_text(encoding="utf-8") or None
    return None


@pytest.hookimpl(tryfirst=True)  # before those are left out that `-m` does not ask for
def pytest_collection_modifyitems(items):
    whole = [TESTS / name for name in WHOLE]
    for item in items:
        if any(item.path.is_relative_to(path) for path in whole):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def converter():
    """What makes LiteRT files: its start takes seconds, so that most tests share it."""
    from hrec_tf.export.tflite import ConverterProcess

    with ConverterProcess() as converter:
        yield converter


@pytest.fixture(scope="session")
def session_process():
    """What asks SavedModels without Keras, shared as the converter is."""
    from hrec_tf.export.session_process import SessionProcess

    with SessionProcess() as process:
        yield process


@pytest.fixture
def shared_converter(converter, monkeypatch):
    """Lets whatever would start a converter take the one of all tests."""
    monkeypatch.setattr("hrec_tf.export.tflite.ConverterProcess", lambda: nullcontext(converter))


@pytest.fixture
def shared_session_process(session_process, monkeypatch):
    """Lets whatever would start a process to ask SavedModels in take the one of all tests."""
    monkeypatch.setattr(
        "hrec_tf.export.parity.check.SessionProcess", lambda: nullcontext(session_process)
    )
