"""Scans of log files: CSV, TSV, JSON lines and Parquet, plain or gzip."""

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from hrec_tf import checks

FORMATS = ("csv", "tsv", "jsonl", "parquet")

_FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "csv",
    ".dat": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_SNIFFED_SUFFIXES = (".txt", ".dat")
_NAME_OF_SEPARATOR = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "blank"}


def scan(
    path: str | Path,
    *,
    format: str | None,
    separator: str | None,
    columns: Sequence[str] | None,
) -> tuple[pl.LazyFrame, bool, list[str]]:
    """Opens a log file without reading it whole.

    Args:
        path: the file; `.gz` at the end of its name means gzip.
        format: one of `FORMATS`, or None to go by the name of the file.
        separator: one character between the fields of a text table; None for a comma in
            `.csv`, a tab in `.tsv`, and for `.txt` and `.dat` whichever of tab, comma,
            semicolon, blank stands in the first line.
        columns: names of the columns of a text table without a header line.

    Returns:
        `(frame, typed, notes)`: `typed` is False for text tables, all of whose columns are
        text here; `notes` says what was guessed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown format, a separator that cannot be used, an empty file, or an
            argument that this format would ignore.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"`path` was {str(path)!r}, but there is no such file. Pass the path of an event log."
        )
    zipped = path.suffix == ".gz"
    suffix = Path(path.stem if zipped else path.name).suffix.lower()
    format = _format_of(path, suffix) if format is None else format
    checks.require_choice("format", format, FORMATS)
    if format in ("jsonl", "parquet"):
        _refuse_ignored(format, separator=separator, columns=columns)
        return (_scan_parquet(path, zipped) if format == "parquet" else _scan_jsonl(path)), True, []
    notes = []
    if separator is None:
        separator = "\t" if format == "tsv" else ","
        if suffix in _SNIFFED_SUFFIXES and format == "csv":
            separator = _sniffed_separator(path, zipped)
            notes.append(
                f"Fields of {path.name} are split at each {_NAME_OF_SEPARATOR[separator]}."
            )
    return _scan_text(path, separator, columns), False, notes


def _format_of(path: Path, suffix: str) -> str:
    if suffix not in _FORMAT_OF_SUFFIX:
        raise ValueError(
            f"`path` was {str(path)!r}, whose format is not known by its name; known are "
            f"{', '.join(_FORMAT_OF_SUFFIX)}, each also with .gz. Pass `format`, one of "
            f"{', '.join(FORMATS)}."
        )
    return _FORMAT_OF_SUFFIX[suffix]


def _refuse_ignored(format: str, **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"`{name}` was {value!r}, but {format} files carry their own columns. "
                f"Leave `{name}` out."
            )


def _scan_parquet(path: Path, zipped: bool) -> pl.LazyFrame:
    try:
        if zipped:
            with gzip.open(path) as file:
                return pl.read_parquet(io.BytesIO(file.read())).lazy()
        frame = pl.scan_parquet(path, glob=False)
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise _unreadable(path, error, "a whole Parquet file") from error
    return frame


def _scan_jsonl(path: Path) -> pl.LazyFrame:
    try:
        frame = pl.scan_ndjson(path, infer_schema_length=None)
        frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, error, "one JSON object per line") from error
    return frame


def _scan_text(path: Path, separator: str, columns: Sequence[str] | None) -> pl.LazyFrame:
    if len(separator.encode()) != 1:
        raise ValueError(
            f"`separator` must be one character of one byte, but was {separator!r}. "
            "Replace longer separators in the file first, e.g. '::' by a tab."
        )
    try:
        # Text only: what a column holds is decided later, over all of its values.
        frame = pl.scan_csv(
            path,
            separator=separator,
            has_header=columns is None,
            new_columns=None if columns is None else list(columns),
            infer_schema=False,
            glob=False,
        )
        frame.collect_schema()
    except pl.exceptions.NoDataError as error:
        raise empty_log(path.name) from error
    except pl.exceptions.PolarsError as error:
        raise _unreadable(path, error, f"fields split by {separator!r}") from error
    return frame


def collect(frame: pl.LazyFrame, source: str) -> pl.DataFrame:
    """Runs a query over a scanned file in pieces that fit in memory.

    Raises:
        ValueError: the file breaks its own format, e.g. lines with too many fields, or was
            cut short.
    """
    try:
        return frame.collect(engine="streaming")
    except pl.exceptions.ComputeError as error:
        raise ValueError(
            f"{source} cannot be read: {str(error).splitlines()[0]}. Expected UTF-8 text with "
            "the same number of fields on every line. Mend the file, or pass its `separator`."
        ) from error
    except OSError as error:
        raise ValueError(
            f"{source} cannot be read: {error}. Expected a whole file, and gzip only where its "
            "name ends in .gz. Fetch or write it again."
        ) from error


def empty_log(source: str) -> ValueError:
    """Returns the error for a log without a single event."""
    return ValueError(
        f"{source} holds no events; at least one row with an item is needed. "
        "Check the path, the separator and earlier filters."
    )


def _unreadable(path: Path, error: Exception, wanted: str) -> ValueError:
    return ValueError(
        f"{path.name} cannot be read: {str(error).splitlines()[0]}. Expected {wanted}. "
        "Mend the file, or pass its `format`."
    )


def _sniffed_separator(path: Path, zipped: bool) -> str:
    try:
        with (gzip.open if zipped else open)(path, "rb") as file:
            first = file.readline(1 << 20)
    except (gzip.BadGzipFile, EOFError) as error:
        raise _unreadable(path, error, "gzip, as its name says") from error
    return next((mark for mark in _NAME_OF_SEPARATOR if mark.encode() in first), ",")
