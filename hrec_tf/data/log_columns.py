"""Exact ids and whole seconds out of the columns of a scanned log."""

from collections.abc import Callable

import polars as pl

from hrec_tf import checks
from hrec_tf.data.log_files import collect

TIMESTAMP_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Units of whole-number timestamps, with their parts per second."""

EXACT_TIME = "__exact_time"
"""Scratch column: the time before it was cut to whole seconds."""

_NAME_OF_UNIT = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# 10^11 seconds is the year 5138 and 10^11 milliseconds is March 1973; likewise upwards.
_FIRST_MAGNITUDE_OF_UNIT = {"ns": 10**17, "us": 10**14, "ms": 10**11, "s": 0}
_MISSING_WORD = r"(?i)^(nan|null|none|na|n/a)$"
"""How tables write a value that is missing, where text cannot be empty."""
_ISO_8601 = (
    r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?(\.\d{1,9})?)?\s*(Z|[+-]\d{2}:?\d{2})?$"
)


class ColumnReader:
    """Reads one log: checks columns, names the first bad row, says what it noticed.

    Args:
        frame: the scanned log.
        source: what messages call the log, e.g. a file name.
        typed: False for text tables, where a column of plain whole numbers is int64.
        text_ids: argument names (`user`, `item`, `session`) whose ids stay text in a text
            table whatever they look like.
    """

    def __init__(
        self, frame: pl.LazyFrame, *, source: str, typed: bool, text_ids: tuple[str, ...]
    ) -> None:
        self.frame, self.source = frame, source
        self.typed, self.text_ids = typed, text_ids
        self.schema = frame.collect_schema()
        self.notes: list[str] = []

    def require_column(self, argument: str, column: object, *, absent: str = "") -> str:
        """Returns the column's name, or raises with the names present and the nearest one."""
        if not isinstance(column, str) or column not in self.schema:
            raise ValueError(
                f"`{argument}` names the column {column!r}, but {self.source} has "
                f"{', '.join(map(repr, self.schema))}. "
                f"{checks.did_you_mean(column, self.schema)}{absent}"
            )
        return column

    def ids(self, argument: str, column: str) -> pl.Expr:
        """Returns the exact ids of a column: Int64 or String.

        Raises:
            TypeError: float ids, or a type that cannot be an id.
            ValueError: a missing or empty id, or one beyond int64, with its row.
        """
        dtype, values = self.schema[column], pl.col(column)
        self._refuse_missing(argument, column)
        if dtype.is_float():
            raise self._float_ids(argument, column)
        if dtype.is_integer():
            self._refuse(
                values.cast(pl.Int64, strict=False).is_null(),
                column,
                lambda row, value: ValueError(
                    f"`{argument}` holds {value} at row {row} of {self.source}, beyond 64-bit "
                    "whole numbers. Cast the column to text first."
                ),
            )
            return values.cast(pl.Int64)
        if dtype not in (pl.String, pl.Categorical, pl.Enum):
            raise TypeError(
                f"`{argument}` holds values of type {dtype} in {self.source}, but ids are text or "
                "whole numbers. Cast the column first, e.g. UUIDs to text with str()."
            )
        text = values.cast(pl.String)
        self._refuse(
            text == "",
            column,
            lambda row, _: ValueError(
                f"`{argument}` is an empty string at row {row} of {self.source}, but every event "
                f"needs an id. Drop such rows or give them an id of their own."
            ),
        )
        return (
            text if self.typed or argument in self.text_ids else self._guessed_ids(argument, text)
        )

    def _guessed_ids(self, argument: str, text: pl.Expr) -> pl.Expr:
        # Int64 only where it writes back as the same text: "007" and "1e5" are not numbers.
        number = text.cast(pl.Int64, strict=False)
        plain = (number.cast(pl.String) == text).fill_null(False)
        seen = self._collect(
            self.frame.select(
                plain=plain.sum(),
                floats=text.str.contains(r"^-?\d+\.0*$").sum(),
                missing=text.str.contains(_MISSING_WORD).sum(),
                rows=pl.len(),
                example=text.filter(~plain).first(),
            )
        ).row(0, named=True)
        if seen["plain"] == seen["rows"]:
            return number
        if seen["plain"] and seen["plain"] + seen["missing"] == seen["rows"]:
            self._refuse(
                text.str.contains(_MISSING_WORD),
                text.meta.root_names()[0],
                lambda row, value: ValueError(
                    f"`{argument}` is {value!r} at row {row} of {self.source}, among whole "
                    "numbers, but every event needs an id. Drop such rows, or pass "
                    f"text_ids=({argument!r},) (--text-ids {argument}) if it is one."
                ),
            )
        if seen["floats"] == seen["rows"]:
            raise self._float_ids(argument, text.meta.root_names()[0])
        if seen["plain"]:
            self.notes.append(
                f"`{argument}` is kept as text: {seen['rows'] - seen['plain']:,} of "
                f"{seen['rows']:,} values are not plain whole numbers, e.g. {seen['example']!r}."
            )
        return text

    def _float_ids(self, argument: str, column: str) -> TypeError:
        first = self._collect(self.frame.select(column).head(1)).item()
        return TypeError(
            f"`{argument}` holds floating-point ids in {self.source} (row 0: {first!r}), but ids "
            "are text or whole numbers. Tables with missing values turn whole numbers into "
            f"floats: drop those rows and cast to int64, or pass text_ids=({argument!r},) "
            f"(--text-ids {argument}) to keep the text of a text table as it is."
        )

    def seconds(self, argument: str, column: str, unit: str) -> tuple[pl.Expr, pl.Expr | None]:
        """Returns whole Unix seconds, and the exact time where cutting loses order.

        Args:
            argument: what messages call the column.
            column: name of a column of numbers, dates, or ISO 8601 text (UTC if no offset).
            unit: "auto" to go by magnitude, or a key of `TIMESTAMP_UNITS`.

        Raises:
            ValueError: a missing, infinite or unreadable time, with its row.
            TypeError: a type that cannot be a time.
        """
        checks.require_choice("timestamp_unit", unit, ("auto", *TIMESTAMP_UNITS))
        dtype = self.schema[column]
        self._refuse_missing(argument, column)
        if dtype.is_integer():
            return self._from_numbers(argument, column, pl.col(column).cast(pl.Int64), unit)
        if dtype.is_float():
            return self._from_numbers(argument, column, pl.col(column).cast(pl.Float64), unit)
        if dtype == pl.String:
            return self._from_text(argument, column, unit)
        if dtype in (pl.Datetime, pl.Date):
            return self._from_dates(pl.col(column).cast(pl.Datetime("us")).dt.epoch("us"), unit)
        raise TypeError(
            f"`{argument}` holds values of type {dtype} in {self.source}, but times are numbers, "
            "dates or ISO 8601 text. Cast the column first."
        )

    def _from_text(self, argument: str, column: str, unit: str) -> tuple[pl.Expr, pl.Expr | None]:
        text = pl.col(column).str.strip_chars()
        whole, real = text.cast(pl.Int64, strict=False), text.cast(pl.Float64, strict=False)
        seen = self._collect(
            self.frame.select(
                whole=whole.is_not_null().all(),
                real=real.is_not_null().any(),
            )
        ).row(0, named=True)
        parsed = whole if seen["whole"] else real if seen["real"] else _iso_microseconds(text)
        wanted = "a number, as in other rows" if seen["real"] else "ISO 8601, e.g. 2024-05-01 17:30"
        self._refuse(
            parsed.is_null(),
            column,
            lambda row, value: ValueError(
                f"`{argument}` is {value!r} at row {row} of {self.source}, but must be {wanted}. "
                "Mend or drop that row."
            ),
        )
        if seen["whole"] or seen["real"]:
            return self._from_numbers(argument, column, parsed, unit)
        self.notes.append(f"`{argument}` is read as ISO 8601 text; times without offset are UTC.")
        return self._from_dates(parsed, unit)

    def _from_dates(self, microseconds: pl.Expr, unit: str) -> tuple[pl.Expr, pl.Expr | None]:
        if unit != "auto":
            raise ValueError(
                f"`timestamp_unit` was {unit!r}, but {self.source} holds dates, which have no "
                "unit. Leave `timestamp_unit` out."
            )
        return self._cut(microseconds, TIMESTAMP_UNITS["us"])

    def _from_numbers(
        self, argument: str, column: str, numbers: pl.Expr, unit: str
    ) -> tuple[pl.Expr, pl.Expr | None]:
        self._refuse(
            ~numbers.cast(pl.Float64).is_finite(),
            column,
            lambda row, value: ValueError(
                f"`{argument}` is {value} at row {row} of {self.source}, but must be a finite "
                "number. Drop such rows, or mend the clock that wrote them."
            ),
        )
        if unit == "auto":
            unit = self._unit_by_magnitude(argument, column, numbers)
            if unit != "s":
                self.notes.append(
                    f"`{argument}` is read as {_NAME_OF_UNIT[unit]}, judged by its magnitude, "
                    "and turned into seconds."
                )
        return self._cut(numbers, TIMESTAMP_UNITS[unit])

    def _unit_by_magnitude(self, argument: str, column: str, numbers: pl.Expr) -> str:
        # Through floats: the absolute value of the least int64 does not exist.
        sizes = numbers.cast(pl.Float64).abs()
        least, most = self._collect(self.frame.select(least=sizes.min(), most=sizes.max())).row(0)
        unit, first = next(
            (unit, first) for unit, first in _FIRST_MAGNITUDE_OF_UNIT.items() if most >= first
        )
        if least < first:
            self._refuse(
                sizes < first,
                column,
                lambda row, value: ValueError(
                    f"`{argument}` mixes units: {value} at row {row} of {self.source}, beside "
                    f"values up to {most:.0f}, which look like {_NAME_OF_UNIT[unit]}. Mend the "
                    f"rows, or pass `timestamp_unit`, one of {', '.join(TIMESTAMP_UNITS)}."
                ),
            )
        return unit

    def _cut(self, numbers: pl.Expr, parts: int) -> tuple[pl.Expr, pl.Expr | None]:
        seconds = numbers // parts
        loses = self._collect(self.frame.select((seconds * parts != numbers).any())).item()
        if loses:
            self.notes.append(
                "Times finer than a second put the rows in order, then were cut to whole seconds."
            )
        return seconds.cast(pl.Int64), numbers if loses else None

    def ratings(self, argument: str, column: str) -> pl.Expr:
        """Returns a column of feedback as Float64, all of it finite."""
        self._refuse_missing(argument, column)
        values = pl.col(column).cast(pl.Float64, strict=False)
        self._refuse(
            values.is_null() | ~values.is_finite(),
            column,
            lambda row, value: ValueError(
                f"`{argument}` is {value!r} at row {row} of {self.source}, but must be a finite "
                f"number. Mend that row, or leave `{argument}` out."
            ),
        )
        return values

    def context(self, column: str) -> pl.Expr:
        """Returns a column as it is; in a text table as numbers where all of it is numeric."""
        values = pl.col(column)
        if self.typed:
            return values
        for dtype in (pl.Int64, pl.Float64):
            cast = values.cast(dtype, strict=False)
            if self._collect(self.frame.select((cast.is_null() == values.is_null()).all())).item():
                return cast
        return values

    def _refuse_missing(self, argument: str, column: str) -> None:
        self._refuse(
            pl.col(column).is_null(),
            column,
            lambda row, _: ValueError(
                f"`{argument}` is missing at row {row} of {self.source}, but every event needs "
                "one. Drop or mend such rows first."
            ),
        )

    def _refuse(self, bad: pl.Expr, column: str, error: Callable[[int, object], Exception]) -> None:
        if not self._collect(self.frame.select(bad.any())).item():
            return
        rows = self.frame.select(row=pl.int_range(pl.len()), value=pl.col(column), bad=bad)
        raise error(*self._collect(rows.filter("bad").select("row", "value").head(1)).row(0))

    def _collect(self, query: pl.LazyFrame) -> pl.DataFrame:
        return collect(query, self.source)


def _iso_microseconds(text: pl.Expr) -> pl.Expr:
    """Microseconds since 1970 of ISO 8601 text; null where it is something else."""
    groups = text.str.extract_groups(_ISO_8601)
    date, minute, second, fraction, offset = (
        groups.struct.field(str(number)) for number in range(1, 6)
    )
    clock = pl.format(
        "{} {}{}{}",
        date,
        minute.fill_null("00:00"),
        second.fill_null(":00"),
        fraction.fill_null(".0"),
    )
    local = clock.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    hours = offset.str.slice(1, 2).cast(pl.Int64, strict=False)
    minutes = offset.str.slice(-2).cast(pl.Int64, strict=False)
    ahead = pl.when(offset.str.starts_with("-")).then(-60).otherwise(60) * (hours * 60 + minutes)
    return local.dt.epoch("us") - ahead.fill_null(0) * TIMESTAMP_UNITS["us"]
