"""Promises of the package as a whole: backend, version, and files that hold on any machine."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import pytest

import hrec_tf
from hrec_tf import _backend

ROOT = Path(__file__).parents[1]


def import_in_a_process(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.xdist_group("kept together")
def test_tests_of_a_group_are_kept_in_one_process(request):
    """Each trains or starts something once; pytest 9.2 lost groups without a word."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("runs under --dist loadgroup")
    assert request.node.nodeid.endswith("@kept together")


def test_another_backend_is_refused_with_the_cure():
    process = import_in_a_process("import hrec_tf", KERAS_BACKEND="jax")
    assert process.returncode != 0
    message = process.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: hrec_tf runs on Keras' TensorFlow backend, but ")
    assert "keras.config.backend() is 'jax'" in message
    assert "Set KERAS_BACKEND=tensorflow" in message


def test_backend_of_the_configuration_file_counts_unless_the_variable_is_set(tmp_path, monkeypatch):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}), encoding="utf-8")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert _backend._configured_backend() == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert _backend._configured_backend() == "tensorflow"


@pytest.mark.parametrize("content", [None, "not json", "{}"])
def test_backend_without_a_usable_configuration_file_is_tensorflow(tmp_path, monkeypatch, content):
    if content is not None:
        (tmp_path / "keras.json").write_text(content, encoding="utf-8")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert _backend._configured_backend() == "tensorflow"


def test_loaded_keras_is_asked_itself(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ImportError, match=r"keras\.config\.backend\(\) is 'torch'"):
        _backend.require_tensorflow_backend()


def test_version_is_the_same_wherever_it_is_read():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hrec_tf.__version__"}
    assert importlib.metadata.version("hrec-tf") == hrec_tf.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", hrec_tf.__version__)


def test_extra_for_development_brings_what_the_tests_import():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert "hrec-tf[explain,litert,serving,tfds,tfrs,tune]" in extras["dev"]
    assert not any("protobuf" in needed for needed in project["dependencies"])


def test_no_file_names_a_place_of_one_machine():
    # Only what git tracks: a checkout may hold environments and caches.
    process = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if process.returncode != 0:
        pytest.skip("not a git checkout")
    home = re.compile(r"(?<![\w.])/(?:home|Users|root|work|mnt)/[a-z]")
    for name in filter(None, process.stdout.split("\0")):
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # binary, or deleted and not committed yet
        found = home.search(text)
        assert found is None, f"{name} names {found.group()!r}: use a relative path or an argument"
