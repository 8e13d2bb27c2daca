"""Weight files of Keras (`.weights.h5`): written with care, checked before Keras reads them.

HDF5 can name other files, hold text and objects, and claim arrays far larger than the file.
Weights need none of that.
"""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py

from hrec_tf.data.atomic_files import whole_file

MAX_BYTES = 64 * 2**30
"""Larger files are refused before they are opened."""

_MEMBER = "model.weights.h5"
_MAX_OBJECTS = 100_000
_NUMBERS = "biuf"
_MEND = "Use the file as it was written beside its config.toml, or train again."


def save(model: Any, path: str | Path) -> None:
    """Writes the weights of a Keras model, whole or not at all.

    Args:
        model: it must be serialisable.
        path: of the file; for a moment, twice its size is needed beside it.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    # HDF5 that meets a full disk crashes the process, so it writes into memory: Keras does so
    # for the same file inside an archive.
    archive = path.with_name(f"{path.name}.keras")
    try:
        model.save(archive)
        with (
            zipfile.ZipFile(archive) as members,
            members.open(_MEMBER) as content,
            whole_file(path) as file,
        ):
            shutil.copyfileobj(content, file)
    finally:
        archive.unlink(missing_ok=True)


def require_plain(path: str | Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Raises unless a file holds groups of plain numeric arrays, and nothing else.

    Args:
        path: a `.weights.h5` file.
        max_bytes: size above which it is not even opened.

    Raises:
        ValueError: a file that is larger, or no HDF5; one that holds a link (to another file, or
            by name), a virtual, external, compressed or packed array, one of text or objects, or
            arrays that claim more bytes than the file has.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(
            f"{path.name} has {size:,} bytes, but at most {max_bytes:,} are read. {_MEND}"
        )
    try:
        with h5py.File(path, "r") as file:
            claimed, objects, groups = 0, 0, [file]
            while groups:
                group = groups.pop()
                for name in group:
                    objects += 1
                    member = _plain_member(group, name)
                    if isinstance(member, h5py.Group):
                        groups.append(member)
                    else:
                        claimed += member.nbytes
                    # A group may hold itself: without a limit it would be followed for ever.
                    if objects > _MAX_OBJECTS or claimed > size:
                        raise ValueError(
                            f"it claims {objects:,} objects and {claimed:,} bytes of arrays in a "
                            f"file of {size:,}"
                        )
    # h5py also answers with a RuntimeError or KeyError where a file is cut short.
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{path.name} is no file of plain weights: {error}. Expected numeric arrays alone. "
            f"{_MEND}"
        ) from error


def _plain_member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    link = group.get(name, getlink=True)
    place = f"{group.name.rstrip('/')}/{name}"
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{place!r} is a link to {getattr(link, 'path', '?')!r}")
    member = group[name]
    if isinstance(member, h5py.Group):
        return member
    if not isinstance(member, h5py.Dataset):
        raise ValueError(f"{place!r} is no array")
    if member.dtype.kind not in _NUMBERS or member.dtype.hasobject:
        raise ValueError(f"{place!r} holds values of type {member.dtype}")
    if member.external or member.is_virtual:
        raise ValueError(f"{place!r} takes its values from another file")
    if member.compression is not None or member.chunks is not None:
        raise ValueError(f"{place!r} is stored in packed pieces")
    return member
