"""Every example runs in its small setting, and is short enough to read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEASURED = ("fit_hrnn", "fit_gru4rec", "custom_cell")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_are_examples():
    assert {*MEASURED, "own_log", "serve_grpc"} <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_under_100_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 100


EXPORTS = ("export_saved_model", "export_tflite")
"""Are run once, with a place to write to."""


@pytest.mark.integration
@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.stem not in EXPORTS], ids=lambda path: path.stem
)
def test_an_example_runs_and_learns(path, tmp_path):
    process = subprocess.run(
        [sys.executable, str(path), "--small"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    assert process.returncode == 0, process.stderr
    require_less_loss(process.stdout)
    if path.stem in MEASURED:
        # A guess among 1 762 items would hit 20 of them with about 0.01.
        recall = [float(value) for value in re.findall(r"Recall@20 ([0-9.]+)", process.stdout)]
        assert min(recall) > 0.08
    assert list(tmp_path.iterdir()) == []


def require_less_loss(printed):
    pattern = r"(?:loss |per epoch: |, )([0-9]\.[0-9]{4})(?=, |\n)"
    losses = [float(loss) for loss in re.findall(pattern, printed)]
    assert losses[1] < losses[0]


@pytest.mark.integration
@pytest.mark.parametrize("stem", EXPORTS)
def test_an_export_of_an_example_lists_described_products(stem, tmp_path):
    """It goes where the argument says, and what was just recommended and taken goes on."""
    path = ROOT / "examples" / f"{stem}.py"
    target = tmp_path / ("shop.tflite" if stem == "export_tflite" else "models")
    process = subprocess.run(
        [sys.executable, str(path), "--small", str(target)],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    assert process.returncode == 0, process.stderr
    require_less_loss(process.stdout)
    listed = re.findall(r"^    (\S+) +-?[0-9.]+  [A-Z].*", process.stdout, re.MULTILINE)
    assert len(listed) == (10 if stem == "export_tflite" else 15)
    assert f"and then {listed[0]}\n" in process.stdout
    assert target.exists()
