"""Run folders: whole or not there, read back to the same model, checked when they are read."""

import csv
import importlib.metadata
import json
import os
import re
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from hrec_tf import manifest, runs, weight_files
from hrec_tf.data.features import FeatureSchema, FeatureTable
from hrec_tf.data.log_features import FeatureSchemas, LogFeatures
from hrec_tf.data.log_source import LogSource
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.fitting import evaluate, train
from hrec_tf.recipe import Recipe
from tests.reference.full_disk import file_size_limit
from tests.reference.tiny_log import COLUMNS, ring_histories, write_ring_log

# Keras reads its variables for the weights file in a way that NumPy 2 will drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.xdist_group("runs"),
]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = write_ring_log(tmp_path_factory.mktemp("log") / "log.csv", num_users=5)
    return LogSource(str(path), reading=COLUMNS, preparation={"min_item_support": 1})


@pytest.fixture(scope="module")
def prepared(log):
    return log.load()


def small(model="hrnn-init"):
    sizes = {"session_units": 6, "user_units": 5, "num_lanes": 2, "epochs": 1}
    return Recipe.load("quadrana2017", model).with_changes(sizes | {"ks": (1, 4)})


@pytest.fixture(scope="module")
def model(prepared):
    return train(small(), prepared.train, seed=3)


@pytest.fixture
def run(tmp_path, log, prepared, model):
    found = evaluate(small(), model, prepared.test)
    return save(tmp_path / "runs" / "a", log, prepared, model, metrics=found.summary())


def resealed(run):
    """Writes the manifest anew, as somebody would who changed the files on purpose."""
    manifest.write(run, kind="run", about={})
    return run


def save(path, log, prepared, fitted, *, recipe=None, metrics=(), **more):
    return runs.save(
        path,
        fitted,
        recipe=recipe or small(),
        log=log,
        seed=3,
        vocabulary=prepared.vocabulary,
        metrics=dict(metrics),
        histories=prepared.train,
        **more,
    )


def test_run_that_is_read_back_gives_equal_metrics(run, prepared):
    held = runs.load(run)
    found = evaluate(held.recipe, held.fitted(prepared.train), held.log.load().test)
    assert found.summary() == json.loads((run / "metrics.json").read_text())
    assert held.seed == 3
    assert held.recipe.complete().to_dict() == small().complete().to_dict()


def test_run_holds_what_was_set_and_what_happened(run):
    files = sorted(path.name for path in run.iterdir())
    assert files == [
        *("config.toml", "history.csv", "manifest.json", "metrics.json"),
        *("model.weights.h5", "model_card.md", "vocabulary.txt"),
    ]
    config = (run / "config.toml").read_text()
    assert "user_units = 5" in config
    assert 'first_session_init = "zero"' in config  # a default
    with (run / "history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["epoch"] == "1" and float(row["loss"]) > 0
    assert [path.name for path in run.parent.iterdir()] == ["a"]  # nothing beside it


def test_weights_are_those_that_were_trained(run, prepared, model):
    again = runs.load(run).fitted(prepared.train)
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_baseline_has_no_weights_and_is_counted_again(tmp_path, log, prepared):
    recipe = Recipe.load("quadrana2017", "item-knn").with_changes({"neighbours": 3})
    fitted = train(recipe, prepared.train, seed=3)
    path = save(tmp_path / "knn", log, prepared, fitted, recipe=recipe)
    assert sorted(p.name for p in path.iterdir()) == [
        *("config.toml", "manifest.json", "metrics.json", "model_card.md", "vocabulary.txt")
    ]
    with pytest.raises(ValueError, match=r"is a run of item-knn, which is counted and has no"):
        runs.load(path).model()
    again = runs.load(path).fitted(prepared.train)
    assert (again.similarities != fitted.similarities).nnz == 0


def test_a_baseline_of_features_is_counted_again_with_those_of_its_log(tmp_path):
    histories = ring_histories(num_users=4)
    schema = FeatureSchema.infer({"price": [1.0, 2.0, 9.0]})
    values = np.linspace(-1, 1, histories.num_items + 1, dtype=np.float32)[:, None]
    features = LogFeatures(FeatureSchemas(items=schema), items=FeatureTable(schema, values))
    recipe = Recipe.load("ma_narayanaswamy", "pop-fm")
    fitted = train(recipe, histories, seed=3, features=features)
    path = runs.save(
        tmp_path / "fm",
        fitted,
        recipe=recipe,
        log=LogSource("online-retail"),
        seed=3,
        vocabulary=Vocabulary(list(range(histories.num_items))),
        metrics={},
        histories=histories,
        schemas=features.schemas,
    )
    held = runs.load(path)
    assert held.schemas == features.schemas
    again = held.fitted(histories, features)
    np.testing.assert_allclose(again.score(histories, [1]), fitted.score(histories, [1]), rtol=1e-9)
    with pytest.raises(
        ValueError, match=r"`features` have the item schema None, but .* Pass `feat"
    ):
        held.fitted(histories)


def test_vectors_of_users_are_read_for_the_users_they_were_trained_for(tmp_path):
    """Also where a day is held back, whose users training lacks; and not if the log has others."""
    path = write_ring_log(tmp_path / "log.csv", num_users=6)
    log = LogSource(
        str(path),
        reading=COLUMNS,
        preparation={"min_item_support": 1, "min_user_sessions": 1},
        split={"name": "temporal", "days": 0.5},
    )
    prepared = log.load()
    kept, held_back = prepared.for_validation()
    known = int(kept.user_ids.max())
    assert known < len(prepared.users)
    sizes = {"item_dim": 3, "user_dim": 2, "units": 4, "num_lanes": 2, "epochs": 1}
    recipe = Recipe.load("donkers2017", "user-gru").with_changes(sizes).fitted_to(None, kept)
    fitted = train(recipe, kept, seed=3, validation=held_back)
    assert fitted.num_users == known
    found = evaluate(recipe, fitted, prepared.test).summary()
    run = save(tmp_path / "run", log, prepared, fitted, recipe=recipe, users=prepared.users)
    held = runs.load(run)
    assert evaluate(recipe, held.model(), held.load_log().test).summary() == found

    path.write_text(path.read_text("utf-8").replace("u0,", "z0,"), encoding="utf-8")
    assert log.load().vocabulary.fingerprint == prepared.vocabulary.fingerprint
    with pytest.raises(ValueError, match=r"now has other users than .*user-gru holds.*or train ag"):
        held.load_log()


def test_folder_that_exists_is_not_overwritten(run, log, prepared, model):
    with pytest.raises(ValueError, match=r"`out` was .* which exists, and runs are never over"):
        save(run, log, prepared, model)


def test_a_failed_write_leaves_nothing(tmp_path, log, prepared):
    class FullDisk:
        def save(self, path):
            path.write_bytes(b"part")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match=r"runs/b' could not be written: No space left .* Mend"):
        save(tmp_path / "runs" / "b", log, prepared, FullDisk())
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("limit", [200, 2_000, 20_000])
def test_a_full_disk_leaves_nothing_and_no_old_run_is_touched(run, log, prepared, model, limit):
    """pitfalls 4: whichever file it is that finds no room; weights are the largest."""
    before = (run / "manifest.json").read_bytes()
    with file_size_limit(limit), pytest.raises(OSError, match=r"runs/b' could not be written: \[E"):
        save(run.parent / "b", log, prepared, model)
    assert [path.name for path in run.parent.iterdir()] == ["a"]
    assert (run / "manifest.json").read_bytes() == before
    assert runs.load(run).seed == 3


def test_vocabulary_of_another_run_is_refused(run):
    """pitfalls 4: a vocabulary file that does not belong to the weights."""
    lines = (run / "vocabulary.txt").read_text().split("\n")
    lines[1], lines[2] = lines[2], lines[1]
    (run / "vocabulary.txt").write_text("\n".join(lines))
    resealed(run)
    with pytest.raises(ValueError, match=r"vocabulary.txt of .* another fingerprint than config"):
        runs.load(run)


def test_weights_of_another_model_are_refused(run, prepared):
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("user_units = 5", "user_units = 7"))
    resealed(run)
    with pytest.raises(ValueError, match=r"model.weights.h5 does not fit config.toml beside it"):
        runs.load(run).fitted(prepared.train)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("config.toml", None, FileNotFoundError, r"holds no config.toml, so it is no run folder"),
        ("model.weights.h5", None, FileNotFoundError, r"holds no model.weights.h5"),
        ("config.toml", "seed =", ValueError, r"config.toml is not a TOML file"),
        ("config.toml", 'format = "other"', ValueError, r"has the format 'other', but this"),
        ("config.toml", 'format = "hrec_tf run 1"', ValueError, r"config.toml has no `version`"),
        ("config.toml", 'format = "hrec_tf run 1"\nclass = "os"', ValueError, r"'class'"),
        ("config.toml", " " * 2**21, ValueError, r"has 2,097,152 bytes, but settings take less"),
    ],
)
def test_damaged_run_is_refused(run, name, content, error, message):
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_text(content)
    resealed(run)
    with pytest.raises(error, match=message):
        runs.load(run)


def test_a_class_outside_the_registry_cannot_be_named(run):
    """pitfalls 5: names are checked before anything is built."""
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace('model = "hrnn-init"', 'model = "os.system"'))
    resealed(run)
    with pytest.raises(ValueError, match=r"`model` was 'os.system', but must be one of"):
        runs.load(run)


FILES = ("config.toml", "history.csv", "metrics.json", "model.weights.h5", "model_card.md")


@pytest.mark.parametrize("name", [*FILES, "vocabulary.txt"])
def test_a_file_that_was_changed_is_refused(run, name):
    """pitfalls 5: one byte, in any file."""
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"'{name}' of .* has another SHA-256 than manifest"):
        runs.load(run)


def test_a_file_that_is_missing_or_was_added_is_refused(run):
    (run / "model.py").write_text("print('never run')")
    with pytest.raises(ValueError, match=r"holds 'model.py', which manifest.json does not list"):
        runs.load(run)
    (run / "model.py").unlink()
    (run / "history.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no 'history.csv', which manifest.json"):
        runs.load(run)


def test_a_keras_file_in_a_run_is_refused_and_never_read(run, tmp_path):
    """pitfalls 5: its layers may hold code, which only who calls Keras for it runs."""
    ran = str(tmp_path / "ran")
    layer = keras.layers.Lambda(lambda x: (os.mkdir(ran), x)[1], output_shape=(1,))  # noqa: PTH102
    model = keras.Sequential([keras.Input((1,)), layer])
    model.save(run / "model.keras")
    with pytest.raises(ValueError, match=r"holds 'model.keras', which manifest.json does not list"):
        runs.load(run)
    resealed(run)
    runs.load(run)
    assert not Path(ran).exists()


def test_nothing_in_the_package_reads_what_could_hold_code():
    """pitfalls 5: no pickle, no Keras file, no archive unpacked by its own names."""
    sources = Path(runs.__file__).parent.rglob("*.py")
    called = re.compile(r"\b(load_model|extractall|allow_pickle=True|unpickle\w*)\(|\bpickle\b")
    found = [
        f"{path.name}: {hit[0]}" for path in sources for hit in called.finditer(path.read_text())
    ]
    assert found == []


def test_a_run_without_a_manifest_is_refused(run):
    (run / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no manifest.json, so what its files"):
        runs.load(run)


def test_manifest_says_what_the_run_was_made_of(run, prepared):
    about = runs.load(run).about
    assert about == manifest.check(run, kind="run")
    assert (about["model"], about["recipe"], about["seed"]) == ("hrnn-init", "hrnn-init", 3)
    assert about["num_items"] == prepared.vocabulary.num_items
    assert about["vocabulary"] == prepared.vocabulary.fingerprint
    assert about["data"] == prepared.train.fingerprint
    assert set(about["versions"]) == {"hrec_tf", "python", "tensorflow", "keras", "numpy"}
    assert about["versions"]["tensorflow"] == importlib.metadata.version("tensorflow")


def test_report_and_event_files_are_part_of_the_run(tmp_path, log, prepared, model):
    (tmp_path / "logs" / "train").mkdir(parents=True)
    (tmp_path / "logs" / "train" / "events").write_bytes(b"events")
    path = tmp_path / "b"
    report = "<title>ß</title>"
    save(path, log, prepared, model, report=report, tensorboard=tmp_path / "logs")
    assert (path / "report.html").read_text(encoding="utf-8") == report
    assert (path / "tensorboard" / "train" / "events").read_bytes() == b"events"
    listed = json.loads((path / "manifest.json").read_text())["files"]
    assert {"report.html", "tensorboard/train/events"} <= set(listed)


def test_model_card_tells_what_the_model_is_and_is_not(run, prepared):
    card = (run / "model_card.md").read_text(encoding="utf-8")
    metrics = json.loads((run / "metrics.json").read_text())
    for expected in (
        "# HRNN Init",
        "Quadrana et al., RecSys 2017",
        "trained for 1 epochs, seed 3",
        "- File: log.csv",
        f"{prepared.train.num_events:,} events",
        "Split: last_session_out",
        f"| Recall@4 | {metrics['Recall@4']:.4f} |",
        "after 30 idle minutes",
        "user_units = 5",
        f"numpy {np.__version__}",
    ):
        assert expected in card
    assert str(run.parents[1]) not in card, "a path tells of somebody's machine"


def tampered(path, change):
    with h5py.File(path, "a") as file:
        change(file)
    return path


@pytest.fixture
def weights(tmp_path):
    """Two arrays, in groups as Keras has them."""
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file["cell/vars/0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        file["vars/0"] = np.arange(2, dtype=np.uint32)
    return path


def add_virtual(file):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
    file.create_virtual_dataset("v", layout)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.create_dataset("x", data=["text"]), "'/x' holds values of type object"),
        (lambda f: f.create_dataset("x", data=np.bytes_("abc")), r"'/x' holds values of type \|S"),
        (lambda f: f.create_dataset("x", (1,), h5py.ref_dtype), "'/x' holds values of type obj"),
        (
            lambda f: f["cell"].create_dataset("x", (1,), [("a", "f4")]),
            "'/cell/x' holds values of type",
        ),
        (lambda f: put_soft_link(f, "x", "/vars/0"), "'/x' is a link to '/vars/0'"),
        (lambda f: put_external_link(f, "x", "/y"), "'/x' is a link to '/y'"),
        (add_virtual, "'/v' takes its values from another file"),
        (
            lambda f: f.create_dataset("x", (3,), "u1", external="/etc/hostname"),
            "'/x' takes its values from another file",
        ),
        (
            lambda f: f.create_dataset("x", data=np.zeros(9), compression="gzip"),
            "'/x' is stored in packed pieces",
        ),
        (lambda f: f.create_dataset("x", (10**7,), "f4"), "claims .* 40,000,0.* bytes of arrays"),
        (lambda f: f.__setitem__("cell/again", f), r"claims .* objects"),
        (lambda f: f.__setitem__("type", np.dtype("f4")), "'/type' is no array"),
    ],
)
def test_a_weight_file_holds_plain_numbers_alone(weights, change, message):
    """pitfalls 5: nothing in a weight file can lead elsewhere, or take all memory."""
    weight_files.require_plain(weights)
    tampered(weights, change)
    with pytest.raises(ValueError, match=rf"model.weights.h5 is no file of plain .*{message}"):
        weight_files.require_plain(weights)


def put_soft_link(file, name, target):
    file[name] = h5py.SoftLink(target)


def put_external_link(file, name, target):
    file[name] = h5py.ExternalLink("/tmp/other.h5", target)


def test_a_weight_file_that_is_cut_short_or_too_large_is_refused(weights):
    with pytest.raises(ValueError, match=r"has [\d,]+ bytes, but at most 10 are read"):
        weight_files.require_plain(weights, max_bytes=10)
    weights.write_bytes(weights.read_bytes()[:600])
    with pytest.raises(ValueError, match=r"model.weights.h5 is no file of plain weights: "):
        weight_files.require_plain(weights)


def test_weights_with_a_link_in_them_are_not_given_to_keras(run):
    tampered(run / "model.weights.h5", lambda file: put_soft_link(file, "x", "/layers"))
    resealed(run)
    held = runs.load(run)
    with pytest.raises(ValueError, match=r"is no file of plain weights: '/x' is a link"):
        held.model()


def test_a_training_that_is_unfinished_is_named(tmp_path):
    (tmp_path / "run.unfinished").mkdir()
    with pytest.raises(FileNotFoundError, match=r"Its training is unfinished .*--resume"):
        runs.load(tmp_path / "run")
    (tmp_path / "run.unfinished" / "config.toml").write_text("")
    with pytest.raises(ValueError, match="is a training that is unfinished, not a run folder"):
        runs.load(tmp_path / "run.unfinished")
