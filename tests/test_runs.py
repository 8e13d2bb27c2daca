"""Run folders: whole or not there, read back to the same model, checked when they are read."""

import csv
import json

import numpy as np
import pytest

from hrec_tf import runs
from hrec_tf.data.log_source import LogSource
from hrec_tf.recipe import Recipe, evaluate, train
from tests.reference.tiny_log import COLUMNS, write_ring_log

# Keras reads its variables for the weights file in a way that NumPy 2 will drop.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)


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


def save(path, log, prepared, fitted, *, recipe=None, metrics=()):
    return runs.save(
        path,
        fitted,
        recipe=recipe or small(),
        log=log,
        seed=3,
        vocabulary=prepared.vocabulary,
        metrics=dict(metrics),
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
        *("config.toml", "history.csv", "metrics.json", "model.weights.h5", "vocabulary.txt")
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
        *("config.toml", "metrics.json", "vocabulary.txt")
    ]
    again = runs.load(path).fitted(prepared.train)
    assert (again.similarities != fitted.similarities).nnz == 0


def test_folder_that_exists_is_not_overwritten(run, log, prepared, model):
    with pytest.raises(ValueError, match=r"`out` was .* which exists, and runs are never over"):
        save(run, log, prepared, model)


def test_a_failed_write_leaves_nothing(tmp_path, log, prepared):
    class FullDisk:
        def save_weights(self, path):
            path.write_bytes(b"part")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "runs" / "b", log, prepared, FullDisk())
    assert list((tmp_path / "runs").iterdir()) == []


def test_vocabulary_of_another_run_is_refused(run):
    """pitfalls 4: a vocabulary file that does not belong to the weights."""
    lines = (run / "vocabulary.txt").read_text().split("\n")
    lines[1], lines[2] = lines[2], lines[1]
    (run / "vocabulary.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"vocabulary.txt of .* another fingerprint than config"):
        runs.load(run)


def test_weights_of_another_model_are_refused(run, prepared):
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("user_units = 5", "user_units = 7"))
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
    with pytest.raises(error, match=message):
        runs.load(run)


def test_a_class_outside_the_registry_cannot_be_named(run):
    """pitfalls 5: names are checked before anything is built."""
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace('model = "hrnn-init"', 'model = "os.system"'))
    with pytest.raises(ValueError, match=r"`model` was 'os.system', but must be one of"):
        runs.load(run)
