"""Weight files of Keras (`.weights.h5`): written with care, checked before Keras reads them.

HDF5 can name other files, hold text and objects, and claim arrays far larger than the file.
Weights need none of that.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import tensorflow as tf

from hrec_tf.data.atomic_files import whole_file

MAX_BYTES = 64 * 2**30
"""Larger files are refused before they are opened."""

_MEMBER = "model.weights.h5"
_MAX_OBJECTS = 100_000
_NUMBERS = "biuf"
_NO_SIZES = ("seed", "thresholds")
"""Whole numbers among the arguments of models that are no size of an array."""
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


def load(
    build: Callable[[], Any],
    path: str | Path,
    *,
    digest: str,
    arguments: Mapping[str, Any],
    settings: str,
) -> Any:
    """Returns a model with the weights of a file, which is looked at before the model is made.

    Args:
        build: makes the model.
        path: a `.weights.h5` file.
        digest: what `digest_of` said when it was written.
        arguments: sizes of the model among others; those that the file has no room for are
            refused before memory is asked for them.
        settings: name of the file that they come from.

    Raises:
        ValueError: no file of plain weights, or one that does not fit the arguments.
    """
    path = Path(path)
    room = require_plain(path)
    if digest_of(path) != digest:
        raise ValueError(
            f"{path} is not the file that {settings} beside it was written for: its checksum is "
            "another. Use the files of one model."
        )
    for name, value in arguments.items():
        for size in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(size, int) or name in _NO_SIZES:
                continue
            # A recurrent matrix is square; any other size is an edge of some array.
            if 4 * (size * size if name.endswith("units") else size) > room:
                raise ValueError(
                    f"{path} does not fit {settings} beside it: `{name}` is {size}, for which "
                    f"{room:,} bytes of weights are too few. Use the files of one model."
                )
    try:
        model = build()
        model.load_weights(path)
    except (ValueError, KeyError, MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise ValueError(
            f"{path} does not fit {settings} beside it: {error}. Use the files of one model, or "
            "train again."
        ) from error
    return model


def digest_of(path: str | Path) -> str:
    """Returns the SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_plain(path: str | Path, *, max_bytes: int = MAX_BYTES) -> int:
    """Returns the bytes of a file's arrays, or raises if it holds anything but plain numbers.

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
    return claimed


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
