"""One table of a log: its columns mapped, checked and brought to the types of the library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl

from hrec_tf.data import log_files
from hrec_tf.data.log_columns import EXACT_TIME, ColumnReader
from hrec_tf.schema import EVENT_TYPE, ITEM, RATING, SESSION, TIMESTAMP, USER

_COLUMNS = (USER, ITEM, TIMESTAMP, SESSION, EVENT_TYPE, RATING)
_MEND_OF_ABSENT = {
    USER: " For a log without users pass user=None (--user none) and a session column.",
    TIMESTAMP: " For a log that is only in order pass timestamp=None (--timestamp none).",
}


@dataclass(frozen=True)
class ColumnNames:
    """How the columns of a source are called; see `EventLog.read` for each.

    Raises:
        ValueError: names that cannot be meant together.
    """

    user: str | None
    item: str
    timestamp: str | None
    session: str | None
    event_type: str | None
    rating: str | None
    context: Sequence[str] = ()
    timestamp_unit: str = "auto"
    text_ids: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.user is None and self.session is None:
            raise ValueError(
                "`user` and `session` were both None, but a log needs one of them to know which "
                "events belong together. Name the column of users or the column of sessions."
            )
        if self.timestamp is None and self.timestamp_unit != "auto":
            raise ValueError(
                f"`timestamp_unit` was {self.timestamp_unit!r}, but `timestamp` is None, so there "
                "is nothing to convert. Leave one out."
            )
        if isinstance(self.context, str) or set(self.context) & set(_COLUMNS):
            raise ValueError(
                f"`context` was {self.context!r}, but must be a sequence of further columns, none "
                f"of them called {', '.join(_COLUMNS)}. Rename such a column, or map it by its "
                "argument."
            )

    @property
    def mapped(self) -> dict[str, str]:
        """The columns that are named, by what the log calls them."""
        names = {name: getattr(self, name) for name in _COLUMNS}
        return {name: column for name, column in names.items() if column is not None}


def build(
    frame: pl.LazyFrame, names: ColumnNames, *, source: str, typed: bool, in_memory: bool
) -> tuple[pl.DataFrame, list[str]]:
    """Checks a source and returns the log's table, with notes on what was noticed.

    Args:
        frame: the scanned source.
        names: its columns.
        source: what messages call it.
        typed: False for text tables.
        in_memory: whether to read the wanted columns once; else each check is a scan.
    """
    _check_text_ids(names, typed)
    reader = ColumnReader(frame, source=source, typed=typed, text_ids=tuple(names.text_ids))
    for argument, column in names.mapped.items():
        reader.require_column(argument, column, absent=_MEND_OF_ABSENT.get(argument, ""))
    for column in names.context:
        reader.require_column("context", column)
    reader.frame = frame.select(sorted({*names.mapped.values(), *names.context}))
    if in_memory:
        reader.frame = log_files.collect(reader.frame, source).lazy()
    if log_files.collect(reader.frame.head(1), source).is_empty():
        raise log_files.empty_log(source)
    return _checked(reader, names), reader.notes


def read_taken(
    path: str | Path,
    *,
    item: str = ITEM,
    timestamp: str = TIMESTAMP,
    timestamp_unit: str = "auto",
    text_items: bool = False,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    format: str | None = None,
) -> tuple[pl.DataFrame, list[str]]:
    """Reads what was taken when, by whomever.

    Args:
        path: a CSV, TSV, JSON lines or Parquet file, plain or gzip.
        item, timestamp, timestamp_unit, columns, separator, format: as of `EventLog.read`.
        text_items: whether ids of a text table stay text whatever they look like.

    Returns:
        `item` (Int64 or String) and `timestamp` (Int64, seconds), and notes on what was guessed.

    Raises:
        FileNotFoundError, ValueError, TypeError: as `EventLog.read` does.
    """
    scanned, typed, notes = log_files.scan(
        path, format=format, separator=separator, columns=columns
    )
    as_text = (ITEM,) if text_items and not typed else ()
    reader = ColumnReader(scanned, source=Path(path).name, typed=typed, text_ids=as_text)
    for argument, column in ((ITEM, item), (TIMESTAMP, timestamp)):
        reader.require_column(argument, column)
    times, _ = reader.seconds(TIMESTAMP, timestamp, timestamp_unit)
    found = reader.frame.select(**{ITEM: reader.ids(ITEM, item), TIMESTAMP: times})
    return log_files.collect(found, reader.source), notes + reader.notes


def _checked(reader: ColumnReader, names: ColumnNames) -> pl.DataFrame:
    mapped = names.mapped
    columns = {
        argument: reader.ids(argument, mapped[argument])
        for argument in (USER, ITEM, SESSION)
        if argument in mapped
    }
    if USER not in columns:
        columns[USER] = columns[SESSION]
    exact = None
    if TIMESTAMP in mapped:
        columns[TIMESTAMP], exact = reader.seconds(
            TIMESTAMP, mapped[TIMESTAMP], names.timestamp_unit
        )
    else:
        columns[TIMESTAMP] = pl.int_range(pl.len(), dtype=pl.Int64)
        reader.notes.append("Times are only an order: the number of the row.")
    if EVENT_TYPE in mapped:
        columns[EVENT_TYPE] = reader.ids(EVENT_TYPE, mapped[EVENT_TYPE]).cast(pl.String)
    if RATING in mapped:
        columns[RATING] = reader.ratings(RATING, mapped[RATING])
    order = [column for column in _COLUMNS if column in columns] + list(names.context)
    columns |= {column: reader.context(column) for column in names.context}
    if exact is not None:
        columns[EXACT_TIME] = exact
    table = log_files.collect(reader.frame.select(**columns), reader.source)
    if exact is not None:
        # Once cut to seconds, times could no longer tell the order of these rows.
        table = table.sort(EXACT_TIME, maintain_order=True)
    return table.select(order)


def _check_text_ids(names: ColumnNames, typed: bool) -> None:
    for argument in names.text_ids:
        if typed or argument not in {USER, ITEM, SESSION} & set(names.mapped):
            raise ValueError(
                f"`text_ids` holds {argument!r}, but must hold names of id columns that are read "
                "from a text table: 'user', 'item' or 'session'. Leave it out."
            )


def lazy(frame: pl.DataFrame | pl.LazyFrame | Mapping[str, Any] | Any) -> pl.LazyFrame:
    """Returns any table in memory as a lazy Polars frame.

    Raises:
        TypeError: no table, or a column of mixed types.
        ValueError: columns of different lengths.
    """
    if isinstance(frame, pl.LazyFrame):
        return frame
    if isinstance(frame, pl.DataFrame):
        return frame.lazy()
    names = frame.keys() if isinstance(frame, Mapping) else getattr(frame, "columns", None)
    if names is None:
        raise TypeError(
            f"`frame` was a {type(frame).__name__}, but must be a table. Pass a Polars or pandas "
            "frame, or a dict of columns."
        )
    columns = {str(name): _series(str(name), frame[name]) for name in names}
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"`frame` has columns of different lengths {sizes}, but every event needs a value in "
            "each. Pass columns of one length."
        )
    return pl.DataFrame(columns).lazy()


def _series(name: str, values: Any) -> pl.Series:
    if isinstance(values, pl.Series):
        return values
    array = values.to_numpy() if hasattr(values, "to_numpy") else values
    if isinstance(array, np.ndarray) and array.dtype != object:
        return pl.Series(name, array)
    listed = [str(value) if isinstance(value, UUID) else value for value in array]
    try:
        return pl.Series(name, listed, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        kinds = sorted({type(value).__name__ for value in listed})
        raise TypeError(
            f"`frame` holds values of several types in {name!r}: {', '.join(kinds)}, but a column "
            "has one that fits 64 bits. Convert it first, e.g. ids to text with str()."
        ) from error
