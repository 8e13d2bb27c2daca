"""Raw histories as the padded tensors of a request."""

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from hrec_tf.serving import tensors
from hrec_tf.user_history import UserHistory

SHORTEST = 8
"""Histories are padded to this many events, or twice, four times, ... as many."""

MAX_ROWS = 32
"""Histories in one request. A server bounds rows times items: this fits 2**20 items in ours."""
MAX_CELLS = 2**18
"""Rows times padded events in one request, and with ids and times half of what ours reads."""
MAX_HISTORY = 2**14
"""Events that ours reads of one user."""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def bucket_of(length: int) -> int:
    """Returns the number of events to which a history of that length is padded."""
    bucket = SHORTEST
    while bucket < length:
        bucket *= 2
    return bucket


def parts(lengths: list[int]) -> Iterator[slice]:
    """Cuts histories of these lengths into requests, in their order, that a server accepts.

    A history that alone is beyond `MAX_CELLS` is a request alone.
    """
    first = longest = 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        rows = row + 1 - first
        if rows > 1 and (rows > MAX_ROWS or rows * bucket_of(longest) > MAX_CELLS):
            yield slice(first, row)
            first, longest = row, length
    if lengths:
        yield slice(first, len(lengths))


def pad(
    events: list[UserHistory], names: list[str], id_type: str, max_history: int
) -> dict[str, tuple[np.ndarray, tensors.DataType]]:
    """Returns `item_ids`, `timestamps` (users, bucket) and `lengths` (users,), with their types.

    The bucket is that of the longest history: a server sees few different shapes. It pads
    nothing itself: what TensorFlow Serving would fill in is a real item.

    Args:
        events: one history for each user; at least one user.
        names: what messages call them.
        id_type: "string" or "int64".
        max_history: events of a history that are kept, the newest.
    """
    encoded = [
        encode(history.raw_ids, id_type, name=name)
        for history, name in zip(events, names, strict=True)
    ]
    lengths = [min(len(ids), max_history) for ids, _ in encoded]
    bucket = bucket_of(max(lengths))
    kind = encoded[0][1]
    item_ids = np.full((len(events), bucket), b"" if kind is tensors.STRING else 0, kind.numpy)
    timestamps = np.zeros(item_ids.shape, np.int64)
    for row, length in enumerate(lengths):
        if length:
            item_ids[row, :length] = encoded[row][0][-length:]
            timestamps[row, :length] = events[row].timestamps[-length:]
    return {
        "item_ids": (item_ids, kind),
        "timestamps": (timestamps, tensors.INT64),
        "lengths": (np.array(lengths, np.int32), tensors.INT32),
    }


def encode(raw_ids: list[Any], id_type: str, *, name: str) -> tuple[np.ndarray, tensors.DataType]:
    """Returns raw ids as a server reads them, and their type.

    Args:
        raw_ids: of items.
        id_type: "string" or "int64", as in the metadata.
        name: what messages call the list.

    Raises:
        TypeError: an id of another type.
        ValueError: an id that no item can have.
    """
    if id_type == "string":
        values = np.empty(len(raw_ids), object)
        for row, raw_id in enumerate(raw_ids):
            if not isinstance(raw_id, str):
                raise _wrong_type(raw_id, row, name, "text", f"{str(raw_id)!r}")
            try:
                values[row] = raw_id.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"`{name}` has the item {raw_id!r} (row {row}), which is no Unicode text: "
                    f"{error.reason}. Read the ids as UTF-8."
                ) from error
        return values, tensors.STRING
    for row, raw_id in enumerate(raw_ids):
        if isinstance(raw_id, bool) or not isinstance(raw_id, numbers.Integral):
            raise _wrong_type(raw_id, row, name, "whole numbers", "int(item)")
        if not _LOWEST <= int(raw_id) <= _HIGHEST:
            raise ValueError(
                f"`{name}` has the item {raw_id} (row {row}), but items of this model are int64. "
                "Leave it out: it cannot be known."
            )
    return np.array(raw_ids, np.int64), tensors.INT64


def _wrong_type(raw_id: Any, row: int, name: str, wanted: str, example: str) -> TypeError:
    return TypeError(
        f"`{name}` has the item {raw_id!r} of type {type(raw_id).__name__} (row {row}), but items "
        f"of this model are {wanted}. Pass them as in the log that it was trained on, e.g. "
        f"{example}."
    )
