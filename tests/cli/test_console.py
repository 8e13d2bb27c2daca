"""What is shown while something is done: nothing at first, then how far it is."""

import importlib
import subprocess
import sys
import time

import pytest

from hrec_tf.cli import console


@pytest.mark.parametrize(("quiet", "shown"), [(0.01, True), (60.0, False)])
def test_how_many_parts_are_done_is_shown_once_it_takes_long(monkeypatch, capsys, quiet, shown):
    monkeypatch.setattr(console, "QUIET_SECONDS", quiet)
    with console.Progress().watch("reading") as activity:
        activity.count(1_200, 3_400)
        end = time.monotonic() + 30
        while shown and not activity._shown and time.monotonic() < end:
            time.sleep(0.01)
    assert ("reading  1,200 of 3,400" in capsys.readouterr().err) == shown


def test_what_tensorflow_would_import_beside_itself_is_left_out_and_can_be_imported_later():
    """Keras takes as long as TensorFlow, and what serves needs none."""
    code = """
import sys
from hrec_tf.cli import console
console.import_tensorflow(with_keras=False)
import hrec_tf.serving.server, hrec_tf.serving.artefact
assert "keras" not in sys.modules
import tensorflow as tf
assert tf.keras.layers.Dense(1, name="later").name == "later"
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_a_package_is_left_out_in_a_block_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with console._left_out("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    held = importlib.import_module("colorsys")
    with console._left_out("colorsys"):
        assert importlib.import_module("colorsys") is held
    assert sys.modules["colorsys"] is held
