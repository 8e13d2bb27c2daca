"""Histories on disk, read as memory maps: for logs that are larger than memory.

A folder holds one raw file per array, little-endian, and `histories.json`, which says the types and
sizes. Users are written part by part, so that no moment needs more than one part in memory.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hrec_tf.data.atomic_files import whole_folder
from hrec_tf.data.histories import Histories

INDEX = "histories.json"
FORMAT = 1
OFFSETS = ("session_offsets", "user_offsets")
REQUIRED = ("item_ids", "timestamps", "target_weights", *OFFSETS)
ARRAYS = (*REQUIRED, "feedback", "user_features", "user_ids")


def write_histories(parts: Histories | Iterable[Histories], path: str | Path) -> None:
    """Writes histories into a folder, one part of the users after the other.

    The folder is whole or not there.

    Args:
        parts: histories of different users, by one vocabulary; read one at a time, so that a
            generator may make them from a log that is cut by users.
        path: a folder that does not exist yet.

    Raises:
        FileExistsError: `path` exists.
        ValueError: no part, or parts that differ in `num_items` or in the features they have.
        OSError: the disk is full, or the folder cannot be made.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(
            f"{str(path)!r} exists already, but nothing is written over. Choose another folder, "
            "or remove it."
        )
    with whole_folder(path) as folder:
        index: dict[str, Any] = {}
        for number, part in enumerate([parts] if isinstance(parts, Histories) else parts):
            arrays = _arrays_of(part, past=index.get("num_events", 0))
            said = {
                "num_items": part.num_items,
                "arrays": {
                    name: {"type": values.dtype.str, "width": list(values.shape[1:])}
                    for name, values in arrays.items()
                },
            }
            first = {name: index.get(name) for name in said}
            if number and said != first:
                raise ValueError(
                    f"Part {number} has {said}, but the first one {first}. Encode all parts by one "
                    "vocabulary and one schema."
                )
            index |= said
            index["num_events"] = index.get("num_events", 0) + part.num_events
            for name, values in arrays.items():
                with (folder / f"{name}.bin").open("ab") as file:
                    np.ascontiguousarray(values).tofile(file)
        if not index:
            raise ValueError(
                "`parts` was empty, but histories have at least one user. Pass what "
                "`histories_from_log` makes."
            )
        text = json.dumps({"format": FORMAT, **index}, indent=1)
        (folder / INDEX).write_text(text, encoding="utf-8")


def read_histories(path: str | Path) -> Histories:
    """Returns the histories of a folder, whose arrays stay on disk and are read where needed.

    They are checked once from end to end, a few million events at a time.

    Args:
        path: what `write_histories` wrote.

    Raises:
        FileNotFoundError: no such folder, or a file of it is missing.
        ValueError: a file of another size than the index says, or content that is no histories.
    """
    path = Path(path)
    mend = "Write the folder again with `write_histories`."
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}, not {FORMAT}")
        if not set(REQUIRED) <= set(index["arrays"]) <= set(ARRAYS):
            raise ValueError(f"its arrays are {', '.join(index['arrays'])}")
        files = {name: path / f"{name}.bin" for name in index["arrays"]}
        arrays = {
            name: _mapped(files[name], np.dtype(said["type"]), said["width"])
            for name, said in index["arrays"].items()
        }
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error.filename!r} is missing, but belongs to histories on disk. {mend}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(path)!r} does not hold whole histories ({error}). {mend}"
        ) from error
    if len(arrays["item_ids"]) != index["num_events"]:
        raise ValueError(
            f"{str(path)!r} holds {len(arrays['item_ids'])} events, but its index says "
            f"{index['num_events']}. {mend}"
        )
    return Histories(num_items=index["num_items"], **arrays)


def _arrays_of(part: Histories, past: int) -> dict[str, np.ndarray]:
    """The arrays to append after `past` events; offsets begin once, with the first part."""
    arrays = {name: getattr(part, name) for name in ARRAYS if getattr(part, name) is not None}
    for name in OFFSETS:
        arrays[name] = (arrays[name] + past)[1 if past else 0 :]
    return {
        name: values.astype(values.dtype.newbyteorder("<"), copy=False)
        for name, values in arrays.items()
    }


def _mapped(file: Path, kind: np.dtype, width: list[int]) -> np.ndarray:
    row = kind.itemsize * int(np.prod(width, dtype=np.int64))
    size = file.stat().st_size
    if not size or size % row:
        raise ValueError(f"{file.name} has {size} bytes, which are no rows of {row}")
    return np.memmap(file, dtype=kind, mode="r", shape=(size // row, *width))
