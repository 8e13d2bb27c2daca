"""The event log: who did what when, as one validated Polars frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl

from hrec_tf.data import log_files, log_table
from hrec_tf.data.filter_report import Counts, FilterReport, FilterStep
from hrec_tf.data.log_table import ColumnNames
from hrec_tf.schema import EVENT_TYPE, ITEM, RATING, SESSION, TIMESTAMP, USER

IN_MEMORY_BYTES = 512 * 2**20
"""Files up to this size are read once; larger ones are scanned piece by piece per check."""

_GZIP_RATIO = 6
_ID_TYPES = (pl.Int64, pl.String)
_TYPES_OF_COLUMN = {
    USER: _ID_TYPES,
    ITEM: _ID_TYPES,
    TIMESTAMP: (pl.Int64,),
    SESSION: _ID_TYPES,
    EVENT_TYPE: (pl.String,),
    RATING: (pl.Float64,),
}


@dataclass(frozen=True, eq=False)
class EventLog:
    """Events with exact ids and whole seconds; functions on it return new logs.

    Use `EventLog.read` or `EventLog.from_frame`, which check every value; the constructor
    checks the columns only.

    Args:
        frame: columns `user`, `item` (each Int64 or String, nothing missing), `timestamp`
            (Int64 seconds, or only an order), and where known `session` (Int64 or String),
            `event_type` (String), `rating` (Float64), and context columns.
        notes: what was guessed or changed on reading, in sentences.
        report: what the preparation steps removed.
        has_users: False if the log names no users, so that each session stands for one.
        has_times: False if `timestamp` is only the number of the row.
        sessionised: True once rows are ordered by user, session and time, with the rows of
            a session together; set by the functions of `hrec_tf.data.sessions`.

    Raises:
        ValueError: a column is missing, of another type, or there are no rows.

    Example:
        >>> log = EventLog.from_frame(
        ...     {"who": ["ann", "ann", "bob"], "what": [7, 8, 7], "when": [10, 20, 15]},
        ...     user="who", item="what", timestamp="when",
        ... )
        >>> log.num_events, log.num_users, log.num_items
        (3, 2, 2)
    """

    frame: pl.DataFrame
    notes: tuple[str, ...] = ()
    report: FilterReport = field(default_factory=FilterReport)
    has_users: bool = True
    has_times: bool = True
    sessionised: bool = False

    def __post_init__(self) -> None:
        for column in (USER, ITEM, TIMESTAMP):
            if column not in self.frame.columns:
                raise ValueError(
                    f"`frame` has the columns {self.frame.columns}, but needs {column!r}. "
                    "Map other names with EventLog.from_frame."
                )
        for column, dtypes in _TYPES_OF_COLUMN.items():
            dtype = self.frame.schema.get(column)
            if dtype is not None and dtype not in dtypes:
                raise ValueError(
                    f"`frame` holds {column!r} as {dtype}, but it must be "
                    f"{' or '.join(map(str, dtypes))}. Convert it with EventLog.from_frame."
                )
        if self.frame.is_empty():
            raise log_files.empty_log("`frame`")

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        user: str | None = USER,
        item: str = ITEM,
        timestamp: str | None = TIMESTAMP,
        session: str | None = None,
        event_type: str | None = None,
        rating: str | None = None,
        context: Sequence[str] = (),
        timestamp_unit: str = "auto",
        text_ids: Sequence[str] = (),
        columns: Sequence[str] | None = None,
        separator: str | None = None,
        format: str | None = None,
    ) -> Self:
        """Reads a CSV, TSV, JSON lines or Parquet file, plain or gzip.

        Ids stay exact: a column of a text table becomes int64 only if every value is a plain
        whole number, so "007" and "1e5" stay text. Columns that are not named are not read.
        Rows keep the order of the file, unless times finer than a second order them anew.

        Args:
            path: the file; `.gz` at the end of its name means gzip.
            user: column of user ids; None if there is none: each session is its own user.
            item: column of item ids.
            timestamp: column of times: numbers, dates, or ISO 8601 text (UTC without
                offset); None for a log that is only in order: times are then 0, 1, 2, ...
            session: column of session ids, unique at least inside a user.
            event_type: column of event types, e.g. "click" and "purchase".
            rating: column of numeric feedback.
            context: further columns to keep under their own names.
            timestamp_unit: "s", "ms", "us", "ns", or "auto" to go by magnitude (see `notes`).
            text_ids: those of "user", "item", "session" to keep as text in a text table.
            columns: names of the columns of a text table without a header line.
            separator: one character between the fields of a text table.
            format: "csv", "tsv", "jsonl" or "parquet"; by default from the file's name.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a missing column or value, an empty log, an unreadable file; the
                message names the row, counted from 0 without the header.
            TypeError: floating-point ids.
        """
        names = ColumnNames(
            user=user,
            item=item,
            timestamp=timestamp,
            session=session,
            event_type=event_type,
            rating=rating,
            context=context,
            timestamp_unit=timestamp_unit,
            text_ids=text_ids,
        )
        scanned, typed, guesses = log_files.scan(
            path, format=format, separator=separator, columns=columns
        )
        path = Path(path)
        size = path.stat().st_size * (_GZIP_RATIO if path.suffix == ".gz" else 1)
        table, notes = log_table.build(
            scanned, names, source=path.name, typed=typed, in_memory=size <= IN_MEMORY_BYTES
        )
        return cls._of_table(table, names, guesses + notes)

    @classmethod
    def from_frame(
        cls,
        frame: pl.DataFrame | pl.LazyFrame | Mapping[str, Any] | Any,
        *,
        user: str | None = USER,
        item: str = ITEM,
        timestamp: str | None = TIMESTAMP,
        session: str | None = None,
        event_type: str | None = None,
        rating: str | None = None,
        context: Sequence[str] = (),
        timestamp_unit: str = "auto",
    ) -> Self:
        """Makes a log of a table in memory, which is never changed.

        Args:
            frame: a Polars frame, a pandas frame, or a mapping of names to sequences.
            user: see `read`, as for all further arguments. Types are taken as they are:
                text that looks like a number stays text.

        Raises:
            ValueError, TypeError: as `read` does.
        """
        names = ColumnNames(
            user=user,
            item=item,
            timestamp=timestamp,
            session=session,
            event_type=event_type,
            rating=rating,
            context=context,
            timestamp_unit=timestamp_unit,
        )
        table, notes = log_table.build(
            log_table.lazy(frame), names, source="`frame`", typed=True, in_memory=True
        )
        return cls._of_table(table, names, notes)

    @classmethod
    def _of_table(cls, table: pl.DataFrame, names: ColumnNames, notes: list[str]) -> Self:
        return cls(
            table,
            notes=tuple(notes),
            has_users=names.user is not None,
            has_times=names.timestamp is not None,
        )

    @property
    def num_events(self) -> int:
        return self.frame.height

    @cached_property
    def num_users(self) -> int:
        return self.frame[USER].n_unique()

    @cached_property
    def num_items(self) -> int:
        return self.frame[ITEM].n_unique()

    @cached_property
    def num_sessions(self) -> int | None:
        """Sessions of the log; None while they have not been formed."""
        if not self.sessionised:
            return None
        return int(self.frame.select(starts_of_sessions().sum()).item())

    @property
    def counts(self) -> Counts:
        """Events, sessions, users and items."""
        return Counts(self.num_events, self.num_sessions, self.num_users, self.num_items)

    def after(self, step: str, frame: pl.DataFrame, *, sessionised: bool | None = None) -> Self:
        """Returns the log that a step left, with the step added to the report.

        Args:
            step: name and settings, e.g. "min_item_support(10)".
            frame: the rows it left.
            sessionised: whether its rows are whole sessions in order; by default as before.

        Raises:
            ValueError: the step left no rows.
        """
        if frame.is_empty():
            raise ValueError(
                f"{step} leaves no events of {self.num_events:,} (users {self.num_users:,}, items "
                f"{self.num_items:,}), but at least one must stay. Loosen this step or an "
                f"earlier one.\n{self.report.to_text()}"
            )
        kept = self.sessionised if sessionised is None else sessionised
        log = replace(self, frame=frame, sessionised=kept)
        return replace(log, report=self.report.adding(FilterStep(step, self.counts, log.counts)))

    def require_sessions(self, needed_by: str) -> Self:
        """Returns this log, or raises if its sessions have not been formed."""
        if not self.sessionised:
            raise ValueError(
                f"`{needed_by}` works on sessions, but this log has none yet. Call "
                "sessions.by_idle_gap(log) or, for a log with a session column, "
                "sessions.given(log) first."
            )
        return self


def starts_of_sessions() -> pl.Expr:
    """Bool, true on the first row of each session of a sessionised frame."""
    changed = (pl.col(USER) != pl.col(USER).shift()) | (pl.col(SESSION) != pl.col(SESSION).shift())
    return changed.fill_null(True)


def number_of_session() -> pl.Expr:
    """The number, from 0, of each row's session in a sessionised frame."""
    return starts_of_sessions().cast(pl.Int64).cum_sum() - 1
