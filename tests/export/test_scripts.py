"""The scripts of `export/`, each from a saved recommender to files that answer alike."""

import runpy
import sys
from pathlib import Path

import pytest

from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models import GRU4Rec
from hrec_tf.recommender import Recommender

SCRIPTS = Path(__file__).parents[2] / "export"

pytestmark = [
    pytest.mark.integration,
    # Keras reads its variables for the weights file in a way that NumPy 2 will drop.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    model = GRU4Rec(num_items=5, units=4, seed=0)
    folder = tmp_path_factory.mktemp("runs") / "first"
    return Recommender(model, Vocabulary(["tea", "jam", "rum", "gin", "ale"])).save(folder)


@pytest.mark.parametrize(
    ("script", "target", "options", "made"),
    [
        ("export_saved_model", "models/shop", [], "models/shop/1/saved_model.pb"),
        ("export_tflite", "shop.tflite", ["--quantize", "float16"], "shop.tflite"),
    ],
)
def test_a_script_exports_and_compares(
    run,
    tmp_path,
    monkeypatch,
    capsys,
    shared_converter,
    shared_session_process,
    script,
    target,
    options,
    made,
):
    if script == "export_tflite":
        pytest.importorskip("ai_edge_litert")
    path = SCRIPTS / f"{script}.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), str(run), target, "--k", "3", *options])
    # In this process, where TensorFlow is imported already.
    runpy.run_path(str(path), run_name="__main__")
    assert "equal to the model up to " in capsys.readouterr().out
    assert (tmp_path / made).is_file()
