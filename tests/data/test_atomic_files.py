"""Files are whole or not there."""

import os

import pytest

from hrec_tf.data.atomic_files import whole_folder, write_whole


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file.txt"
    for content in (b"first", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    # pitfalls 4: a disk that fills up while writing.
    path = tmp_path / "file.txt"
    write_whole(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_stands_when_it_is_whole(tmp_path):
    with whole_folder(tmp_path / "deep" / "runs") as aside:
        (aside / "file.txt").write_text("all")
        assert not (tmp_path / "deep" / "runs").exists()
    assert (tmp_path / "deep" / "runs" / "file.txt").read_text() == "all"
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["runs"]


def test_a_folder_that_fails_leaves_nothing(tmp_path):
    with (
        pytest.raises(OSError, match=r"runs' could not be written: .*No space.* write it again"),
        whole_folder(tmp_path / "runs") as aside,
    ):
        (aside / "file.txt").write_text("part")
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "runs"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
