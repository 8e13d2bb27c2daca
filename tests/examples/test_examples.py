"""Every example runs in its small setting, and is short enough to read."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export import export_tflite
from hrec_tf.models import HRNN
from hrec_tf.recommender import Recommender
from tests.reference.weights import fill_distinct

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
ON_DEVICE = ROOT / "examples" / "on_device.py"
"""Trains nothing: it is given a model."""


BESIDE_KERAS_2 = ROOT / "examples" / "tfrs_index.py"
"""Says so before TensorFlow is imported, and so needs a process of its own."""


@pytest.fixture
def printed_by(monkeypatch, capsys, tmp_path):
    """Runs an example as a script, and returns what it prints."""

    def run(path, *arguments):
        command = [str(path), "--small", *map(str, arguments)]
        if path == BESIDE_KERAS_2:
            process = subprocess.run(
                [sys.executable, *command],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
            )
            assert process.returncode == 0, process.stderr
            return process.stdout
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", command)
        # In this process, where TensorFlow is imported already.
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run


# A script is not stopped by what its libraries warn of.
@pytest.mark.filterwarnings("default")
@pytest.mark.integration
@pytest.mark.parametrize(
    "path",
    [path for path in EXAMPLES if path.stem not in EXPORTS and path != ON_DEVICE],
    ids=lambda path: path.stem,
)
def test_an_example_runs_and_learns(path, printed_by, tmp_path):
    printed = printed_by(path)
    require_less_loss(printed)
    if path.stem in MEASURED:
        # A guess among 1 762 items would hit 20 of them with about 0.01.
        recall = [float(value) for value in re.findall(r"Recall@20 ([0-9.]+)", printed)]
        assert min(recall) > 0.08
    assert list(tmp_path.iterdir()) == []


def require_less_loss(printed):
    pattern = r"(?:loss |per epoch: |, )([0-9]\.[0-9]{4})(?=, |\n)"
    losses = [float(loss) for loss in re.findall(pattern, printed)]
    assert losses[1] < losses[0]


@pytest.mark.filterwarnings("default")
@pytest.mark.integration
@pytest.mark.parametrize("stem", EXPORTS)
def test_an_export_of_an_example_lists_described_products(
    stem, printed_by, shared_converter, shared_session_process, tmp_path
):
    """It goes where the argument says, and what was just recommended and taken goes on."""
    target = tmp_path / ("shop.tflite" if stem == "export_tflite" else "models")
    printed = printed_by(ROOT / "examples" / f"{stem}.py", target)
    require_less_loss(printed)
    listed = re.findall(r"^    (\S+) +-?[0-9.]+  [A-Z].*", printed, re.MULTILINE)
    assert len(listed) == (10 if stem == "export_tflite" else 15)
    assert f"and then {listed[0]}\n" in printed
    assert target.exists()


@pytest.fixture(scope="module")
def devices(converter, tmp_path_factory):
    """Two models of the same items, each with the file of a device."""
    made, scratch = [], tmp_path_factory.mktemp("device")
    for scale in (0.3, 0.7):
        model = HRNN(num_items=6, session_units=4, user_units=3, seed=0)
        fill_distinct(model, scale=scale)
        recommender = Recommender(model, Vocabulary(["tea", "jam", "rum", "gin", "ale", "é@"]))
        options = {"k": 3, "quantize": "float32", "process": converter}
        file = export_tflite(recommender, scratch / f"{scale}.tflite", **options)
        made.append((recommender, file))
    return made


WITHOUT = "import runpy, sys; sys.modules |= dict.fromkeys(['tensorflow', 'keras', 'hrec_tf'])"


def on_device(file, memory, *events):
    """Runs the example where neither TensorFlow nor this library can be imported."""
    code = f"{WITHOUT}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, ON_DEVICE, file, memory, *events]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def listed(process):
    """The last line: item -> score."""
    assert process.returncode == 0, process.stderr
    pairs = process.stdout.splitlines()[-1].partition(": ")[2].split(", ")
    return {pair.rpartition(" ")[0]: float(pair.rpartition(" ")[2]) for pair in pairs}


@pytest.mark.integration
def test_a_device_goes_on_after_a_restart_and_after_another_model(devices, tmp_path):
    pytest.importorskip("ai_edge_litert")
    (first, file), (second, newer) = devices
    memory = tmp_path / "user.npz"
    history = [("tea", 1_700_000_000), ("é@", 1_700_000_060), ("new", 1_700_000_070)]
    history += [("jam", 1_700_100_000), ("rum", 1_700_100_030)]
    events = [f"{item}@{seconds}" for item, seconds in history]

    def wanted(recommender, num):
        found = recommender.recommend(history=history[:num], k=3, exclude_seen=False)
        return pytest.approx(dict(found), abs=1e-4)

    assert listed(on_device(file, memory, *events[:3])) == wanted(first, 3)
    assert listed(on_device(file, memory, events[3])) == wanted(first, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["user.npz"]
    late = on_device(file, memory, "tea@5")
    assert late.returncode != 0 and "tea@5 is before the last event" in late.stderr
    # The app brings another model: the events that were kept are read again.
    assert listed(on_device(newer, memory, events[4])) == wanted(second, 5)
    assert wanted(first, 5) != dict(second.recommend(history=history, k=3, exclude_seen=False))
    with np.load(memory, allow_pickle=False) as held:
        assert held["items"].tolist() == [item for item, _ in history]
