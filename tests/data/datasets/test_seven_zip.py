"""A 7z archive is read as it is; what cannot be read as one is told."""

import errno
import sys
import tempfile
from pathlib import Path

import py7zr
import pytest

from hrec_tf.data.datasets.built import read_files
from tests.data.datasets import published


def packed(folder, password=None, **files):
    path = folder / "yoochoose-data.7z"
    with py7zr.SevenZipFile(path, "w", password=password) as archive:
        for name, content in files.items():
            archive.writestr(content, name.replace("__", "/"))
    return path


def dats():
    """The files of YooChoose, as they lie in the archive, and one that is not asked for."""
    files = published.FILES["yoochoose"]
    clicks, buys = (files[f"yoochoose-{name}.dat"] for name in ("clicks", "buys"))
    return {"yoochoose-clicks.dat": clicks, "data__yoochoose-buys.dat": buys, "README.txt": b"-"}


def test_members_are_read_and_nothing_is_left(tmp_path, monkeypatch):
    packed(tmp_path, **dats())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    found = read_files("yoochoose", files=tmp_path)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    expected = read_files("yoochoose", files=published.write(unpacked, "yoochoose"))
    assert found.equals(expected) and len(found) == 2
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_was_unpacked_by_hand_is_read_instead(tmp_path, monkeypatch):
    packed(tmp_path, **{"README.txt": b"-"})
    monkeypatch.setitem(sys.modules, "py7zr", None)
    assert len(read_files("yoochoose", files=published.write(tmp_path, "yoochoose"))) == 2


def test_a_full_disk_is_no_damage(tmp_path, monkeypatch):
    def extract(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    packed(tmp_path, **dats())
    monkeypatch.setattr(py7zr.SevenZipFile, "extract", extract)
    with pytest.raises(OSError, match="No space left"):
        read_files("yoochoose", files=tmp_path)


def test_no_member_is_looked_for_outside(tmp_path, monkeypatch):
    monkeypatch.setattr("py7zr.py7zr.check_archive_path", lambda path: True)
    outside = tmp_path / "elsewhere" / "yoochoose-clicks.dat"
    (tmp_path / "files").mkdir()
    packed(tmp_path / "files", **{str(outside).replace("/", "__"): dats()["yoochoose-clicks.dat"]})
    assert len(read_files("yoochoose", files=tmp_path / "files")) == 2
    assert not outside.parent.exists()


def test_what_is_missing_or_damaged_is_told(tmp_path):
    path = packed(tmp_path, **{"README.txt": b"-"})
    with pytest.raises(ValueError, match=r"yoochoose-data.7z holds no yoochoose-clicks.dat, but"):
        read_files("yoochoose", files=tmp_path)
    whole = packed(tmp_path, **dats()).read_bytes()
    packed(tmp_path, password="secret", **dats())
    with pytest.raises(ValueError, match=r"yoochoose-data.7z cannot be read to its end \(.*assw"):
        read_files("yoochoose", files=tmp_path)
    for content in (b"<html>", whole[:-30], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"yoochoose-data.7z cannot be read to its end \("):
            read_files("yoochoose", files=tmp_path)


def test_missing_py7zr_names_the_extra_that_brings_it(tmp_path, monkeypatch):
    packed(tmp_path, **dats())
    monkeypatch.setitem(sys.modules, "py7zr", None)
    with pytest.raises(
        ImportError, match=r"pip install 'hrec-tf\[sevenzip\]', or unpack yoochoose"
    ):
        read_files("yoochoose", files=Path(tmp_path))
