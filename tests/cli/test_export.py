"""`hrec export`: from a run to files that were found to answer as its model does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hrec_tf import manifest
from hrec_tf.cli.main import main
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export import check_tflite, export_saved_model
from hrec_tf.export.parity import ParityError
from hrec_tf.models import HRNN, NARM
from hrec_tf.recommender import Recommender
from tests.reference.tiny_log import OPTIONS, write_ring_log

# Keras reads its variables for the weights file in a way that NumPy 2 will drop.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = HRNN(num_items=6, session_units=4, user_units=3, seed=0)
    recommender = Recommender(model, Vocabulary(range(6), [9, 5, 5, 4, 2, 1]), idle_minutes=20)
    return str(recommender.save(tmp_path_factory.mktemp("saved") / "shop"))


@pytest.mark.integration
def test_a_run_becomes_a_saved_model_and_a_litert_file(capsys, tmp_path):
    pytest.importorskip("ai_edge_litert")
    log = ["--data", str(write_ring_log(tmp_path / "log.csv")), *OPTIONS]
    small = ["--model", "hrnn-init", "--epochs", "1", "--num-lanes", "4"]
    run = tmp_path / "run"
    assert main(["train", *log, *small, "--out", str(run)]) == 0
    capsys.readouterr()
    base, file = tmp_path / "models" / "ring", tmp_path / "ring.tflite"
    places = ["--saved-model", str(base), "--tflite", str(file), "--version", "7", "--k", "5"]
    assert main(["export", str(run), *places]) == 0
    out = capsys.readouterr().out
    assert f"{base / '7'}  SavedModel, " in out
    assert (
        "recommend + recommend_filtered + step + score + encode, lists of 5, sessions: 30 " in out
    )
    assert "kB, recommend + step, lists of 5, sessions: 30 idle minutes" in out
    assert "Checked: 12 ways to ask answer alike on " in out
    assert f"Serve it: hrec serve {base}\n" in out
    assert manifest.check(base / "7", kind="saved_model")["k"] == check_tflite(file)["k"] == 5
    card = (base / "7" / "assets.extra" / "model_card.md").read_text()
    before, _, listed = card.partition("## Signatures")
    assert before == (run / "model_card.md").read_text() + "\n"
    assert "| `encode` | `item_ids` string [·, ·], " in listed


@pytest.mark.integration
def test_json_says_where_things_lie_and_how_much_they_differ(
    capsys, saved, shared_session_process, tmp_path
):
    command = ["export", saved, "--saved-model", str(tmp_path / "shop"), "--k", "3,2"]
    command += ["--tables", "bfloat16"]
    assert main([*command, "--idle-minutes", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["saved_model"], found["tflite"]) == (str(tmp_path / "shop" / "1"), None)
    assert found["parity"]["histories"] > 20
    assert 1e-5 < max(found["parity"]["differences"].values()) < 2e-2
    assert min(found["parity"]["agreements"].values()) > 0.5
    assert found["k"] == [2, 3]
    about = manifest.check(tmp_path / "shop" / "1", kind="saved_model")
    assert (about["idle_minutes"], about["tables"], about["xla"]) == (None, "bfloat16", False)
    assert "recommend_3" in about["signatures"]


@pytest.mark.integration
def test_a_model_without_a_step_is_exported_by_the_signatures_that_it_has(
    capsys, shared_converter, shared_session_process, tmp_path
):
    pytest.importorskip("ai_edge_litert")
    model = NARM(num_items=6, item_dim=3, units=4, seed=0)
    run = str(Recommender(model, Vocabulary(range(6))).save(tmp_path / "narm"))
    places = ["--saved-model", str(tmp_path / "shop"), "--tflite", str(tmp_path / "shop.tflite")]
    assert main(["export", run, *places, "--k", "5"]) == 0
    out = capsys.readouterr().out
    answers = "recommend + recommend_filtered + score + encode"
    assert f"kB, {answers}, lists of 5, sessions: 30 idle minutes" in out
    assert "kB, recommend, lists of 5, sessions: 30 idle minutes" in out
    assert "Checked: 8 ways to ask answer alike on " in out
    assert main(["recommend", run, "--history", "3@1500000000,1@1500000060", "--k", "4"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_what_departs_never_stands_where_servers_look(saved, tmp_path):
    seen = []

    def departs(folder):
        assert (folder / "saved_model.pb").is_file()
        seen.append([path.name.isdecimal() for path in (tmp_path / "shop").iterdir()])
        raise ParityError("departs")

    with pytest.raises(ParityError, match="departs"):
        export_saved_model(Recommender.load(saved), tmp_path / "shop", k=3, check=departs)
    assert seen == [[False]]
    assert list((tmp_path / "shop").iterdir()) == []


def test_an_earlier_version_stays_where_a_new_one_fails(capsys, saved, tmp_path):
    (tmp_path / "shop" / "4").mkdir(parents=True)
    options = ["--saved-model", str(tmp_path / "shop"), "--version", "4", "--k", "3"]
    assert main(["export", saved, *options]) == 1
    assert "`version` was 4, which" in capsys.readouterr().err
    assert (tmp_path / "shop" / "4").is_dir()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Neither `--saved-model` nor `--tflite` was given"),
        (["--tflite", "a.tflite", "--version", "3"], "only a SavedModel has versions"),
        (["--saved-model", "m", "--quantize", "int8"], "only a LiteRT file is shortened"),
        (["--saved-model", "m", "--idle-minutes", "long"], "`idle_minutes` was 'long', but must"),
        (["--saved-model", "m", "--idle-minutes", "-1"], "`idle_minutes` must be a finite number"),
        (["--saved-model", "m"], "`k` was 20, but the catalogue has 6 items"),
        (["--saved-model", "m", "--k", "3;5"], "`k` was '3;5', but must be a length of lists, or"),
        (["--saved-model", "m", "--k", "3,3"], r"`k` was [3, 3], but must hold 1 to 16 different"),
        (["--tflite", "a.tflite", "--k", "3,5"], "`k` was [3, 5], but a LiteRT file has lists of"),
        (["--tflite", "a.tflite", "--xla"], "`xla` was True, but only a SavedModel has it"),
        (
            ["--saved-model", "m", "--k", "3", "--tables", "half"],
            "`tables` was 'half', but must be",
        ),
        (["--tflite", "a.bin", "--k", "3"], "the name of a LiteRT file ends in .tflite"),
        (["--tflite", "a.tflite", "--k", "3", "--quantize", "int4"], "Did you mean 'int8'?"),
    ],
)
def test_what_cannot_be_exported_is_said_and_leaves_nothing(
    capsys, saved, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", saved, *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: ") and message in said
    assert list(tmp_path.iterdir()) == []


def test_missing_litert_is_said_before_anything_is_written(capsys, saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    places = ["--saved-model", str(tmp_path / "m"), "--tflite", str(tmp_path / "m.tflite")]
    assert main(["export", saved, *places]) == 1
    assert "Run: pip install 'hrec-tf[litert]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_the_module_is_the_command():
    command = [sys.executable, "-m", "hrec_tf.export", "nowhere", "--version", "3"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 1
    assert "\nError: Neither `--saved-model` nor `--tflite` was given" in process.stderr
    assert process.stdout == "" and not Path("nowhere").exists()
