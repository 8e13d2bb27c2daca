"""Manifests: a folder is read only if every file of it is the one that was written."""

import json
import os
import subprocess
import sys

import pytest

from hrec_tf import manifest

ABOUT = {"seed": 3, "versions": {"numpy": "2.1"}}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("tea")
    (folder / "inner" / "deep" / "b.bin").write_bytes(bytes(range(256)))
    (folder / "empty").mkdir()
    manifest.write(folder, kind="run", about=ABOUT)
    return folder


def rewritten(folder, change):
    """Changes the manifest itself."""
    path = folder / manifest.FILE
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_manifest_lists_checksum_and_size_of_every_file(folder):
    content = json.loads((folder / manifest.FILE).read_text())
    assert list(content) == ["format", "kind", "files", "about", "seal"]
    assert (content["format"], content["kind"]) == ("hrec_tf manifest 1", "run")
    # printf tea | sha256sum
    tea = "a9f74d1ec36ebdeb2da3f6e5868090cd2a2d20b3dcca7b62f60304b1d3d9ef42"
    assert set(content["files"]) == {"a.txt", "inner/deep/b.bin"}
    assert content["files"]["a.txt"] == {"sha256": tea, "bytes": 3}
    assert content["files"]["inner/deep/b.bin"]["bytes"] == 256
    assert [path.name for path in folder.glob(".*")] == []


def test_whole_folder_passes_and_gives_what_it_is_about(folder):
    assert manifest.check(folder, kind="run") == ABOUT


def test_a_folder_may_be_reached_by_a_link_and_written_again(folder, tmp_path):
    (tmp_path / "latest").symlink_to(folder)
    assert manifest.check(tmp_path / "latest", kind="run") == ABOUT
    manifest.write(folder, kind="run", about={})
    assert manifest.check(folder, kind="run") == {}


def test_a_changed_file_is_named(folder):
    (folder / "a.txt").write_text("tee")
    with pytest.raises(ValueError, match=r"'a.txt' of .*run' has another SHA-256 than manifest"):
        manifest.check(folder, kind="run")


def test_a_file_cut_short_is_named(folder):
    (folder / "inner" / "deep" / "b.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"b.bin' of .* has 0 bytes, but manifest.json says 256"):
        manifest.check(folder, kind="run")


def test_a_missing_file_is_named(folder):
    (folder / "a.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no 'a.txt', which manifest.json lists"):
        manifest.check(folder, kind="run")


@pytest.mark.parametrize("name", ["extra.txt", "inner/extra.txt", "empty/.hidden"])
def test_an_added_file_is_named(folder, name):
    (folder / name).write_text("")
    with pytest.raises(ValueError, match=rf"holds '{name}', which manifest.json does not list"):
        manifest.check(folder, kind="run")


@pytest.mark.parametrize("target", ["a.txt", "inner", "nowhere"])
def test_a_link_is_refused_when_written_and_when_read(folder, target):
    """pitfalls 5: a link may lead out of the folder, and change behind the checksum."""
    (folder / "link").symlink_to(folder / target)
    for do in (
        lambda: manifest.check(folder, kind="run"),
        lambda: manifest.write(folder, kind="run", about={}),
    ):
        with pytest.raises(ValueError, match=r"holds 'link', which is a link, but only plain"):
            do()


def test_a_listed_file_that_became_a_link_is_refused(folder, tmp_path):
    (tmp_path / "same.txt").write_text("tea")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(tmp_path / "same.txt")
    with pytest.raises(ValueError, match=r"holds 'a.txt', which is a link"):
        manifest.check(folder, kind="run")


def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(ValueError, match=r"holds 'pipe', which is no file"):
        manifest.check(folder, kind="run")


@pytest.mark.parametrize(
    "name", ["../a.txt", "/etc/passwd", "inner/../a.txt", "", "a//b", "C:\\a", "manifest.json"]
)
def test_a_name_that_leads_elsewhere_is_refused(folder, name):
    """pitfalls 5: path traversal."""

    def change(content):
        content["files"][name] = content["files"]["a.txt"]

    rewritten(folder, change)
    with pytest.raises(ValueError, match=r"is no manifest: the name .* is no plain path inside"):
        manifest.check(folder, kind="run")


def test_a_name_that_could_not_be_read_back_is_not_written(folder):
    (folder / "a:b").write_text("")
    with pytest.raises(ValueError, match=r"the name 'a:b' is no plain path"):
        manifest.write(folder, kind="run", about={})


def test_another_kind_is_refused(folder):
    with pytest.raises(ValueError, match=r"is that of a 'run' folder, but a 'saved_model' folder"):
        manifest.check(folder, kind="saved_model")


def test_more_bytes_than_the_limit_are_refused_before_they_are_read(folder):
    assert manifest.check(folder, kind="run", max_bytes=259) == ABOUT
    # The file is damaged, too: had it been read first, that would be said.
    (folder / "a.txt").write_text("tee")
    with pytest.raises(ValueError, match=r"lists 259 bytes, but at most 258 are read"):
        manifest.check(folder, kind="run", max_bytes=258)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no manifest: Expecting"),
        ("[]", "does not begin with that format"),
        ('{"format": "other"}', "does not begin with that format"),
        ('{"format": "hrec_tf manifest 1", "kind": "run"}', r"has the keys \['format', 'kind'\]"),
        ('{"kind": "run", "kind": "run"}', "has a name twice"),
        ("[" * 100_000, "is no manifest"),
        (" " * (2**20 + 1), "has more than the 1,048,576 bytes that are read"),
        (b"\xff", "is no manifest"),
    ],
)
def test_a_damaged_manifest_is_refused(folder, text, message):
    (folder / manifest.FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        manifest.check(folder, kind="run")


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"sha256": "0" * 64},
        {"sha256": "0" * 63, "bytes": 3},
        {"sha256": 0, "bytes": 3},
        {"sha256": "0" * 64, "bytes": -3},
        {"sha256": "0" * 64, "bytes": True},
        {"sha256": "0" * 64, "bytes": 3, "more": 1},
    ],
)
def test_a_damaged_entry_is_refused(folder, entry):
    rewritten(folder, lambda content: content["files"].update({"a.txt": entry}))
    with pytest.raises(ValueError, match=r"its entry of 'a.txt' is no checksum and size"):
        manifest.check(folder, kind="run")


TENSOR = {"type": "int64", "shape": [-1, 20], "about": "Times."}
SIGNATURE = {"about": "A list.", "inputs": {"at": TENSOR}, "outputs": {}}


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (None, "has not `about`, `inputs` and `outputs`"),
        ({"about": "A list.", "inputs": {}}, "has not `about`, `inputs` and `outputs`"),
        (SIGNATURE | {"about": ""}, "has not `about`, `inputs` and `outputs`"),
        (SIGNATURE | {"outputs": []}, "has outputs that are not each `type`, `shape`"),
        *[
            (SIGNATURE | {"inputs": {"at": TENSOR | change}}, "has inputs that are not each")
            for change in (
                {"type": "complex64"},
                {"shape": [-2]},
                {"shape": [True]},
                {"shape": 3},
                {"about": "Times"},
                {"more": 1},
            )
        ],
    ],
)
def test_signatures_are_described_in_full(folder, signature, message):
    whole = {"signatures": {"recommend": SIGNATURE}}
    manifest.write(folder, kind="run", about=whole)
    assert manifest.check(folder, kind="run") == whole
    rewritten(folder, lambda content: content["about"]["signatures"].update(step=signature))
    with pytest.raises(ValueError, match=f"is no manifest: its signature 'step' {message}"):
        manifest.check(folder, kind="run")
    with pytest.raises(ValueError, match=message):
        manifest.write(folder, kind="run", about={"signatures": {"step": signature}})


def test_a_manifest_with_any_bit_changed_is_refused(folder):
    path = folder / manifest.FILE
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises((ValueError, FileNotFoundError)):
            manifest.check(folder, kind="run")
    path.write_bytes(whole)
    rewritten(folder, lambda content: content["about"].update(seed=4))
    with pytest.raises(ValueError, match="was changed: its `seal` is that of another text"):
        manifest.check(folder, kind="run")
    rewritten(folder, lambda content: content.pop("seal"))  # as earlier ones are
    assert manifest.check(folder, kind="run") == ABOUT | {"seed": 4}


def test_tables_must_be_tables(folder):
    rewritten(folder, lambda content: content.update({"about": []}))
    with pytest.raises(ValueError, match=r"its `files` or `about` is no table"):
        manifest.check(folder, kind="run")


def test_without_a_manifest_nothing_is_known(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"holds no manifest.json, so what its files"):
            manifest.check(place, kind="run")


def test_a_manifest_that_could_not_be_read_back_is_not_written(folder):
    before = (folder / manifest.FILE).read_bytes()
    with pytest.raises(ValueError, match=r"would have .* bytes for 2 files, but at most"):
        manifest.write(folder, kind="run", about={"text": "x" * 2**20})
    for value in (float("nan"), object()):
        with pytest.raises(TypeError, match="`about` holds a value that JSON does not have"):
            manifest.write(folder, kind="run", about={"value": value})
    assert (folder / manifest.FILE).read_bytes() == before


@pytest.mark.integration
def test_checking_needs_neither_tensorflow_nor_polars(folder):
    code = (
        "import sys; from hrec_tf import manifest\n"
        f"manifest.check({str(folder)!r}, kind='run')\n"
        "assert not {'tensorflow', 'keras', 'polars'} & set(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
