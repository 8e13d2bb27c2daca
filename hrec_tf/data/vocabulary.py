"""The vocabulary: raw item ids and the numbers 1..num_items of a model."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from hrec_tf.data.atomic_files import write_whole
from hrec_tf.data.event_log import EventLog
from hrec_tf.schema import ITEM, PADDING_ID

MAX_BYTES = 2 * 2**30
"""Larger vocabulary files are refused before they are read."""

_FORMAT = "hrec_tf vocabulary 1"
_DTYPES = {"int64": pl.Int64, "text": pl.String}
_LINE_BREAKERS = r"[\n\r\x00]"


class Vocabulary:
    """Raw item ids by falling training support; the one at place i has item id i + 1.

    Items of equal support are in rising order of their raw id (numbers as numbers, text by
    code points), so the same log always gives the same vocabulary. Item id 0 is padding and
    everything unknown.

    Args:
        raw_ids: the ids in the order of their item ids: all text, or all whole numbers.
        supports: int (num_items,), training events of each; all 1 if not given.

    Raises:
        ValueError: no ids, one twice, an empty one, one with a line break, or supports that
            do not fit.
        TypeError: ids that are neither text nor whole numbers.

    Example:
        >>> vocabulary = Vocabulary(["tea", "jam"], supports=[5, 2])
        >>> vocabulary.encode(["jam", "tea", "rum"]).tolist()
        [2, 1, 0]
        >>> vocabulary.decode([1, 2]).tolist()
        ['tea', 'jam']
    """

    def __init__(
        self, raw_ids: Iterable[Any], supports: Sequence[int] | np.ndarray | None = None
    ) -> None:
        self.raw_ids = _id_series(raw_ids, "raw_ids", self._of_no_type)
        counts = np.ones(len(self.raw_ids)) if supports is None else np.asarray(supports)
        self.supports = counts.astype(np.int64)
        """int64 (num_items,), training events; item id i is at place i - 1."""
        self._check()

    @classmethod
    def from_log(cls, log: EventLog) -> Self:
        """Numbers the items of a training log.

        Example:
            >>> log = EventLog.from_frame(
            ...     {"user": [1] * 3, "item": [7, 8, 8], "timestamp": range(3)}
            ... )
            >>> Vocabulary.from_log(log).raw_ids.to_list()
            [8, 7]
        """
        counted = log.frame.group_by(ITEM).agg(support=pl.len())
        counted = counted.sort("support", ITEM, descending=[True, False])
        return cls(counted[ITEM], counted["support"].to_numpy())

    def with_items(self, raw_ids: Iterable[Any]) -> "Vocabulary":
        """Returns this vocabulary with items behind the others that training did not have.

        Raises:
            ValueError: an id that is there already, or what the constructor refuses.

        Example:
            >>> Vocabulary(["tea"], [5]).with_items(["rum"]).supports.tolist()
            [5, 0]
        """
        more = _id_series(raw_ids, "raw_ids", self._of_other_type)
        if more.dtype == self.raw_ids.dtype and more.is_in(self.raw_ids.implode()).any():
            row = int(more.is_in(self.raw_ids.implode()).arg_max() or 0)
            raise ValueError(
                f"`raw_ids` holds {more[row]!r} (row {row}), which the vocabulary has already, as "
                f"item {self.encode([more[row]])[0]}. Leave it out."
            )
        if more.dtype != self.raw_ids.dtype:
            raise self._of_other_type(more.dtype, more[0])
        supports = np.concatenate([self.supports, np.zeros(len(more), np.int64)])
        return type(self)(pl.concat([self.raw_ids, more]), supports)

    @property
    def num_items(self) -> int:
        return len(self.raw_ids)

    @property
    def id_type(self) -> str:
        """Type of the raw ids: "int64" or "text"."""
        return "int64" if self.raw_ids.dtype == pl.Int64 else "text"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over id type and raw ids in order: equal means interchangeable weights."""
        return hashlib.sha256(f"{self.id_type}\n{self._lines()}".encode()).hexdigest()

    def encode(self, values: Iterable[Any]) -> np.ndarray:
        """Returns the item ids of raw ids.

        Args:
            values: (n,) raw ids of the vocabulary's type: a list, array or Polars series.

        Returns:
            int32 (n,) in 0..num_items; 0 for ids that training did not have.

        Raises:
            TypeError: whole numbers for a text vocabulary or the other way round.
            ValueError: a missing value, with its row.
        """
        is_typed = isinstance(values, np.ndarray) and values.dtype != object
        if not (is_typed or isinstance(values, str | bytes | pl.Series)):
            values = list(values)
        if isinstance(values, list) and any(beyond := [_is_beyond_int64(v) for v in values]):
            # A number that int64 cannot hold is unknown; 0 stands in for it.
            held = [0 if no else value for value, no in zip(values, beyond, strict=True)]
            return np.where(beyond, np.int32(PADDING_ID), self.encode(held))
        series = _id_series(values, "values", self._of_other_type)
        if series.is_empty():
            return np.zeros(0, np.int32)
        if series.dtype != self.raw_ids.dtype:
            raise self._of_other_type(series.dtype, series[0])
        found = series.to_frame("raw").join(
            self._table, on="raw", how="left", maintain_order="left"
        )
        return found["id"].fill_null(PADDING_ID).to_numpy()

    def decode(self, ids: Any) -> np.ndarray:
        """Returns the raw ids of item ids.

        Args:
            ids: int array of any shape, each in 1..num_items.

        Returns:
            int64 or object (str) array of the same shape.

        Raises:
            TypeError: `ids` are not whole numbers.
            ValueError: an id outside 1..num_items; 0, padding, has no raw id.
        """
        ids = np.asarray(ids)
        if ids.size and ids.dtype.kind not in "iu":
            raise TypeError(
                f"`ids` holds values of type {ids.dtype}, but item ids are whole numbers "
                f"1..{self.num_items}. Pass raw ids to `encode` instead."
            )
        flat = ids.reshape(-1).astype(np.int64)
        outside = np.flatnonzero((flat <= PADDING_ID) | (flat > self.num_items))
        if len(outside):
            raise ValueError(
                f"`ids` holds {flat[outside[0]]} (place {outside[0]}), but this vocabulary knows "
                f"item ids 1..{self.num_items}; 0 is padding. Drop other ids before decoding."
            )
        return self.raw_ids.gather(flat - 1).to_numpy().reshape(ids.shape)

    def save(self, path: str | Path) -> None:
        """Writes one UTF-8 text file, whole or not at all.

        Line i, counted from 0, holds the raw id of item id i, so a lookup table of whole
        lines and line numbers is this vocabulary. Line 0, the place of the padding id, holds
        a JSON object: format, id type, and the supports as runs [support, items].
        """
        values, lengths = _runs(self.supports)
        head = {
            "format": _FORMAT,
            "id_type": self.id_type,
            "num_items": self.num_items,
            "supports": [list(run) for run in zip(values, lengths, strict=True)],
        }
        write_whole(path, f"{json.dumps(head)}\n{self._lines()}\n".encode())

    @classmethod
    def load(cls, path: str | Path, *, max_bytes: int = MAX_BYTES) -> Self:
        """Reads a vocabulary file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: not a vocabulary file, a larger one than `max_bytes`, or one that was
                cut short or changed by hand.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"`path` was {str(path)!r}, but there is no such file. Pass the vocabulary.txt "
                "that was saved beside the model."
            )
        size = path.stat().st_size
        if size > max_bytes:
            raise ValueError(
                f"{path.name} has {size:,} bytes, but at most {max_bytes:,} are read. Check that "
                "it is a vocabulary, or raise `max_bytes`."
            )
        try:
            first, *lines = path.read_bytes().decode().removesuffix("\n").split("\n")
            head = _checked_head(json.loads(first), len(lines))
            raw_ids = _parsed(lines, head["id_type"])
            supports = np.repeat(*np.array(head["supports"], np.int64).reshape(-1, 2).T)
        except (ValueError, OverflowError, RecursionError) as error:
            raise _damaged(path, f"it breaks the format ({error})") from error
        try:
            return cls(raw_ids, supports)
        except ValueError as error:
            raise _damaged(path, str(error)) from error

    def _lines(self) -> str:
        return "\n".join(self.raw_ids.cast(pl.String).to_list())

    @cached_property
    def _table(self) -> pl.DataFrame:
        ids = np.arange(1, self.num_items + 1, dtype=np.int32)
        return pl.DataFrame({"raw": self.raw_ids, "id": ids})

    def _check(self) -> None:
        if self.raw_ids.is_empty():
            raise ValueError(
                "`raw_ids` is empty, but a vocabulary needs at least one item. Pass the items of "
                "a training log."
            )
        if self.raw_ids.null_count():
            raise ValueError(
                "`raw_ids` holds a number beyond 64-bit whole numbers, but ids are int64 or text. "
                "Convert the ids to text."
            )
        twice = self.raw_ids.is_duplicated().arg_true()
        if len(twice):
            raise ValueError(
                f"`raw_ids` holds {self.raw_ids[twice[0]]!r} at more than one place (the first is "
                f"{twice[0]}), but each id stands once. Drop duplicates."
            )
        if self.id_type == "text":
            broken = (self.raw_ids.str.contains(_LINE_BREAKERS) | (self.raw_ids == "")).arg_true()
            if len(broken):
                raise ValueError(
                    f"`raw_ids` holds {self.raw_ids[broken[0]]!r} at place {broken[0]}, but a "
                    "vocabulary file has one id per line: it can be neither empty nor hold a "
                    "line break or a NUL. Rename the item."
                )
        if self.supports.shape != (self.num_items,) or self.supports.min() < 0:
            raise ValueError(
                f"`supports` has shape {self.supports.shape} and the least value "
                f"{self.supports.min(initial=0)}, but must hold one count of at least 0 for each "
                f"of {self.num_items} items. Count the events of each item in training."
            )

    def _of_other_type(self, dtype: Any, example: object) -> TypeError:
        return TypeError(
            f"`values` holds ids of type {dtype} (e.g. {example!r}), but this vocabulary knows "
            f"{self.id_type} ids such as {self.raw_ids[0]!r}. Convert them to the type that "
            "training used, e.g. by reading both logs with the same `text_ids`."
        )

    def _of_no_type(self, dtype: Any, example: object) -> TypeError:
        return TypeError(
            f"`raw_ids` holds values of type {dtype} (e.g. {example!r}), but item ids are text "
            "or 64-bit whole numbers. Convert them first."
        )


def _id_series(values: Iterable[Any], name: str, error: Any) -> pl.Series:
    """The values as Int64 or String; integers of other widths are widened."""
    if isinstance(values, str | bytes):
        raise TypeError(
            f"`{name}` was {values!r}, but must be a sequence of ids. Pass a list, even of one."
        )
    if not isinstance(values, pl.Series):
        plain = isinstance(values, np.ndarray) and values.dtype.kind in "iufU"
        listed: Any = values if plain else list(values)
        try:
            values = pl.Series(listed, strict=True)
        except (TypeError, OverflowError, pl.exceptions.PolarsError) as cause:
            kinds = ", ".join(sorted({type(value).__name__ for value in listed}))
            raise error(kinds, listed[0]) from cause
    missing = values.is_null().arg_true()
    if len(missing):
        raise ValueError(
            f"`{name}` is missing at row {missing[0]}, but every event needs an id. Drop or mend "
            "such rows first."
        )
    if values.is_empty() and values.dtype == pl.Null:
        return values
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype.is_integer():
        # A number beyond int64 becomes null, which matches no id of a vocabulary.
        values = values.cast(pl.Int64, strict=False)
    if values.dtype not in (pl.Int64, pl.String):
        raise error(values.dtype, values[0] if len(values) else None)
    return values


def _is_beyond_int64(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not -(2**63) <= int(value) < 2**63


def _runs(supports: np.ndarray) -> tuple[list[int], list[int]]:
    edges = np.flatnonzero(np.diff(supports, prepend=supports[0] - 1))
    return supports[edges].tolist(), np.diff(edges, append=len(supports)).tolist()


def _checked_head(head: Any, num_lines: int) -> dict[str, Any]:
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise ValueError(f"its first line is no {_FORMAT!r} heading")
    if head.get("id_type") not in _DTYPES:
        raise ValueError(f"id type {head.get('id_type')!r} is none of {', '.join(_DTYPES)}")
    if head.get("num_items") != num_lines:
        raise ValueError(f"it has {num_lines} ids for {head.get('num_items')} items")
    runs = head.get("supports")
    # Checked before the runs are written out: a short file must not ask for much memory.
    if (
        not isinstance(runs, list)
        or not all(map(_is_run, runs))
        or sum(abs(run[1]) for run in runs) != num_lines
    ):
        raise ValueError(f"the supports of its heading are not those of {num_lines} items")
    return head


def _is_run(run: Any) -> bool:
    return isinstance(run, list) and len(run) == 2 and all(type(part) is int for part in run)


def _parsed(lines: list[str], id_type: str) -> pl.Series:
    text = pl.Series(lines, dtype=pl.String)
    if id_type == "text":
        return text
    numbers = text.cast(pl.Int64, strict=False)
    wrong = ~(numbers.cast(pl.String) == text).fill_null(False)
    if wrong.any():
        line = int(wrong.arg_true()[0])
        raise ValueError(f"line {line + 1} is {lines[line]!r}, not an int64 id")
    return numbers


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path.name} is not a whole vocabulary file: {reason}. Expected a heading and one raw id "
        "per line, as Vocabulary.save writes them. Save the vocabulary again."
    )
