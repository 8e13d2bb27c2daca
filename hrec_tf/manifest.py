"""The manifest of a folder: what each of its files must be, as a checksum and a size.

`write` is the last thing that is done to a folder, `check` the first when it is read: a file
that is missing, changed, added or replaced by a link is refused before anything is made of it.
A manifest proves that a folder is whole, not who made it. That of an export also says, under
"signatures" of `about`, what each signature takes and gives:

    name -> {"about": a sentence, "inputs": tensors, "outputs": tensors}
    tensors: name -> {"type": e.g. "int64", "shape": sizes, -1 of any size, "about": a sentence}
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = "manifest.json"
MAX_BYTES = 64 * 2**30
"""Folders with more, by their manifest, are refused before a file is read."""
MAX_MANIFEST_BYTES = 2**20

_FORMAT = "hrec_tf manifest 1"
_KEYS = ("format", "kind", "files", "about", "seal")
_MEND = "Use the folder as it was written, or write it again."
_TENSOR_TYPES = ("bool", "float32", "int32", "int64", "string")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def write(folder: str | Path, *, kind: str, about: Mapping[str, Any]) -> None:
    """Writes `manifest.json` over all other files of a folder, whole or not at all.

    Args:
        folder: the folder, with all of its files.
        kind: what the folder is, e.g. "run".
        about: plain values to keep: versions, seed, fingerprints, ...

    Raises:
        ValueError: a link or something else than a file, a name that no manifest may hold,
            signatures that are not described in full, or more files than a manifest has room for.
        TypeError: a value of `about` that JSON does not have.
        OSError: it cannot be written.
    """
    folder = Path(folder)
    files = {name: _seal(folder / name) for name in sorted(_names_of_files(folder)) if name != FILE}
    for name in files:
        _require_plain_name(name)
    _require_described(about)
    content = {"format": _FORMAT, "kind": kind, "files": files, "about": dict(about)}
    try:
        text = json.dumps(content | {"seal": _digest(content)}, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`about` holds a value that JSON does not have: {error}. Pass text, finite numbers, "
            "bools, None, and lists or dicts of them."
        ) from error
    if len(text.encode()) > MAX_MANIFEST_BYTES:
        raise ValueError(
            f"The manifest of {str(folder)!r} would have {len(text.encode()):,} bytes for "
            f"{len(files):,} files, but at most {MAX_MANIFEST_BYTES:,} are read back. Keep fewer "
            "files, or less in `about`."
        )
    # Not at the top: whoever only checks a folder needs none of what comes with `data`.
    from hrec_tf.data.atomic_files import write_whole

    write_whole(folder / FILE, text.encode())


def check(folder: str | Path, *, kind: str, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Refuses a folder that is not, file by file, what its manifest says.

    Args:
        folder: the folder; may itself be reached by a link.
        kind: what it must be, e.g. "run".
        max_bytes: of all its files together.

    Returns:
        What `write` was given as `about`.

    Raises:
        FileNotFoundError: there is no folder or no manifest, or a file is missing.
        ValueError: a file that was changed or added, a link, a name that leads out of the
            folder, more bytes than `max_bytes`, another kind, or a damaged manifest.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.txt").write_text("tea")
        >>> write(folder, kind="run", about={"seed": 1})
        >>> check(folder, kind="run")
        {'seed': 1}
    """
    folder = Path(folder)
    content = _read(folder)
    where = f"{FILE} of {str(folder)!r}"
    if content["kind"] != kind:
        raise ValueError(
            f"{where} is that of a {content['kind']!r} folder, but a {kind!r} folder was wanted. "
            "Pass the folder of the other kind."
        )
    files = content["files"]
    size = sum(entry["bytes"] for entry in files.values())
    if size > max_bytes:
        raise ValueError(
            f"{where} lists {size:,} bytes, but at most {max_bytes:,} are read. Check that the "
            "folder is what you want, or raise `max_bytes`."
        )
    found = set()
    for name in _names_of_files(folder):
        if name not in files and name != FILE:
            raise ValueError(
                f"{str(folder)!r} holds {name!r}, which {FILE} does not list. A folder has the "
                f"files that were written with it, and no others. Remove it, or: {_MEND}"
            )
        found.add(name)
    for name, entry in files.items():
        if name not in found:
            raise FileNotFoundError(
                f"{str(folder)!r} holds no {name!r}, which {FILE} lists. All of its files are "
                f"needed. {_MEND}"
            )
        _require_unchanged(folder / name, name, entry)
    return content["about"]


def _names_of_files(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yields the files of a folder and of those inside it, as "inner/name"."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _names_of_files(folder / entry.name, f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                yield name
            else:
                kind = "a link" if entry.is_symlink() else "no file"
                raise ValueError(
                    f"{str(folder)!r} holds {entry.name!r}, which is {kind}, but only plain files "
                    "and folders have a checksum. Put a copy of the file in its place."
                )


def _seal(path: Path) -> dict[str, Any]:
    """The entry of a file, which is brought to the disk first: the manifest speaks of it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"sha256": digest, "bytes": file.tell()}


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a manifest says, of which no other file holds a checksum."""
    parts = {name: value for name, value in content.items() if name != "seal"}
    return hashlib.sha256(json.dumps(parts, allow_nan=False).encode()).hexdigest()


def _require_unchanged(path: Path, name: str, entry: dict[str, Any]) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != entry["bytes"]:
            raise ValueError(
                f"{name!r} of {str(path.parent)!r} has {size:,} bytes, but {FILE} says "
                f"{entry['bytes']:,}: it was changed or cut short. {_MEND}"
            )
        if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
            raise ValueError(
                f"{name!r} of {str(path.parent)!r} has another SHA-256 than {FILE} says: it was "
                f"changed. {_MEND}"
            )


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    if path.is_symlink() or not path.is_file():
        raise FileNotFoundError(
            f"{str(folder)!r} holds no {FILE}, so what its files should be is not known. Pass a "
            "folder that hrec_tf wrote; one of an earlier version has to be written again."
        )
    # Not by the size that the disk tells: it may be another a moment later.
    with path.open("rb") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise ValueError(
            f"{FILE} of {str(folder)!r} has more than the {MAX_MANIFEST_BYTES:,} bytes that are "
            f"read. {_MEND}"
        )
    try:
        content = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repeats)
        _require_sound(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{FILE} of {str(folder)!r} is no manifest: {error}. Expected the format {_FORMAT!r}. "
            f"{_MEND}"
        ) from error
    return content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("it has a name twice")
    return values


def _require_sound(content: Any) -> None:
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError("it does not begin with that format")
    if set(content) | {"seal"} != set(_KEYS):  # earlier ones have no seal
        raise ValueError(f"it has the keys {sorted(content)}, not {sorted(_KEYS)}")
    if not isinstance(content["files"], dict) or not isinstance(content["about"], dict):
        raise ValueError("its `files` or `about` is no table")
    for name, entry in content["files"].items():
        _require_plain_name(name)
        is_entry = isinstance(entry, dict) and set(entry) == {"sha256", "bytes"}
        if (
            not is_entry
            or type(entry["bytes"]) is not int
            or entry["bytes"] < 0
            or not isinstance(entry["sha256"], str)
            or not _SHA256.fullmatch(entry["sha256"])
        ):
            raise ValueError(f"its entry of {name!r} is no checksum and size")
    _require_described(content["about"])
    if "seal" in content and content["seal"] != _digest(content):
        raise ValueError("it was changed: its `seal` is that of another text")


def _require_described(about: Mapping[str, Any]) -> None:
    """Refuses a table of signatures of which one is not described in full."""
    signatures = about.get("signatures")
    if not isinstance(signatures, dict):  # of other folders there is none, or a list of names
        return
    for name, signature in signatures.items():
        is_whole = isinstance(signature, dict) and set(signature) == {"about", "inputs", "outputs"}
        if not is_whole or not _is_sentence(signature["about"]):
            raise ValueError(f"its signature {name!r} has not `about`, `inputs` and `outputs`")
        for part in ("inputs", "outputs"):
            tensors = signature[part]
            if not isinstance(tensors, dict) or not all(map(_is_tensor, tensors.values())):
                raise ValueError(
                    f"its signature {name!r} has {part} that are not each `type`, `shape` and "
                    "`about`"
                )


def _is_tensor(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) == {"type", "shape", "about"}
        and entry["type"] in _TENSOR_TYPES
        and isinstance(entry["shape"], list)
        and all(type(size) is int and size >= -1 for size in entry["shape"])
        and _is_sentence(entry["about"])
    )


def _is_sentence(value: Any) -> bool:
    return isinstance(value, str) and value.endswith(".")


def _require_plain_name(name: str) -> None:
    """Refuses what could lead out of the folder, on any system."""
    parts = name.split("/")
    if (
        name == FILE
        or any(part in ("", ".", "..") for part in parts)
        or any(sign in name for sign in "\\:\0")
    ):
        raise ValueError(
            f"the name {name!r} is no plain path inside the folder; leave out '..', '\\', ':' and "
            "a leading '/'"
        )
