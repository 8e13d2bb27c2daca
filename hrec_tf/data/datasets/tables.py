"""Tables as publishers distribute them: text in zip, tar, 7z, gzip and bzip2, read by blocks.

Fields are what stands between two separators: none of these files quotes its fields, and some
hold quotes that mean nothing. A workbook is read as the text that `sheets` makes of its sheet.
"""

import ast
import bz2
import errno
import gzip
import io
import math
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import polars as pl

from hrec_tf.data.datasets import seven_zip, sheets
from hrec_tf.data.datasets.facts import PublicDataset

_BLOCK_LINES = 200_000
_DAMAGE = (
    *(OSError, EOFError, zlib.error),
    *(zipfile.BadZipFile, tarfile.TarError, seven_zip.DamageError),
)
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open}


class Column(NamedTuple):
    """One column that is made of the text fields of a line.

    Attributes:
        field: the field that is shown where `values` is null, which is an error.
        values: its values.
        dtype: Int64, Float64 or String.
        wanted: what the field must be, in words.
    """

    field: str
    values: pl.Expr
    dtype: pl.DataType
    wanted: str


def text(field: str) -> Column:
    """The field as it stands, which may be empty."""
    return Column(field, pl.col(field), pl.String(), "text")


def texts(*fields: str) -> dict[str, Column]:
    """Several fields as they stand, under their own names."""
    return {field: text(field) for field in fields}


def identifier(field: str) -> Column:
    """Text that is not empty."""
    held = pl.when(pl.col(field) != "").then(pl.col(field))
    return Column(field, held, pl.String(), "an id, which is not empty")


def whole(field: str) -> Column:
    """A whole number."""
    number = pl.col(field).cast(pl.Int64, strict=False)
    return Column(field, number, pl.Int64(), "a whole number")


def number(field: str, *, may_be_empty: bool = False) -> Column:
    """A number; NaN where the field may be empty and is."""
    values = pl.col(field).cast(pl.Float64, strict=False)
    if may_be_empty:
        values = pl.when(pl.col(field) == "").then(math.nan).otherwise(values)
    return Column(field, values, pl.Float64(), "a number")


def choice(field: str, names: Mapping[str, str]) -> Column:
    """The name of a code."""
    named = pl.col(field).replace_strict(names, default=None, return_dtype=pl.String)
    return Column(field, named, pl.String(), f"one of {', '.join(names)}")


def time(field: str, format: str, *, unit: str = "s") -> Column:
    """Text of one format, taken as UTC, as a whole number of "s" or "ms" since 1970."""
    return Column(field, epoch(pl.col(field), format, unit), pl.Int64(), f"a time like {format}")


def epoch(values: pl.Expr, format: str, unit: str) -> pl.Expr:
    """Whole `unit`s between 1970 and times written in `format`; null where one is not."""
    moments = values.str.to_datetime(format, strict=False, time_unit="us").dt.epoch("us")
    return moments // {"s": 1_000_000, "ms": 1_000}[unit]


@dataclass(frozen=True)
class Table:
    """One table of a data set: where it lies, how a line becomes fields, and its columns.

    Args:
        file: the file's name; with a `*` all files of such names, in their order. Of an .xlsx it
            is the first sheet, whose fields are set apart by tabs.
        columns: name -> what is made of the fields of a line.
        archive: zip, tar or 7z that holds the file; empty if it is distributed by itself. Of a 7z
            what was unpacked by hand is read instead, if it is there.
        fields: names of the fields of a line; empty if the first line has them.
        skipped: lines at the head of the file that hold no row, where `fields` names them.
        separator: between fields; None where each line is a Python literal of a dict.
        open_ended: a line may hold the separator in its last field, which is then cut there.
        encoding: of the text.
        comment: lines that begin like this are no rows; empty for none.
        keep: which rows are meant; None for all.
        distinct: rows that are equal in all columns count once.
        newest_first: the file begins with the latest row; it is then read backwards.
    """

    file: str
    columns: Mapping[str, Column]
    archive: str = ""
    fields: Sequence[str] = ()
    skipped: int = 0
    separator: str | None = ","
    open_ended: bool = False
    encoding: str = "utf-8"
    comment: str = ""
    keep: pl.Expr | None = None
    distinct: bool = False
    newest_first: bool = False

    def read(self, folder: str | Path, dataset: PublicDataset) -> Iterator[pl.DataFrame]:
        """Reads the rows block by block, from the archive or from the file unpacked.

        Args:
            folder: where the publisher's files lie.
            dataset: whose table it is, for messages.

        Raises:
            ImportError: the file is a workbook or a 7z archive, whose extra is not installed.
            FileNotFoundError: neither the archive nor the file is in the folder.
            ValueError: a row that is not as the publisher describes it, with its line.
        """
        blocks = self._blocks(Path(folder), dataset)
        if self.distinct:
            blocks = iter([pl.concat(blocks).unique(maintain_order=True)])
        return blocks

    def frame(self, folder: str | Path, dataset: PublicDataset) -> pl.DataFrame:
        """Reads all rows at once, the earliest first; see `read`."""
        rows = pl.concat(self.read(folder, dataset))
        return rows.reverse() if self.newest_first else rows

    def _blocks(self, folder: Path, dataset: PublicDataset) -> Iterator[pl.DataFrame]:
        is_empty = True
        for name, file in self._files(folder, dataset):
            reader = _Lines(name, dataset, file, self.encoding)
            fields = self.fields or self._header(reader.take(1))
            reader.take(self.skipped)
            while lines := reader.take(_BLOCK_LINES):
                is_empty = False
                yield self._rows(reader, lines, fields)
        if is_empty:
            raise ValueError(
                f"{self.file} holds no rows, but {dataset.title} has some. Fetch it again: "
                f"{dataset.fetch}"
            )

    def _header(self, lines: Sequence[str]) -> list[str]:
        # Exports of data bases put the name of their table before each column.
        names = lines[0].split(self.separator) if lines else []
        wanted = {column.field for column in self.columns.values()}
        return [name if name in wanted else name.rsplit(".", 1)[-1] for name in names]

    def _rows(self, reader: "_Lines", lines: list[str], fields: Sequence[str]) -> pl.DataFrame:
        numbered = pl.DataFrame({"line": lines}).with_row_index("number", reader.first)
        numbered = numbered.filter(pl.col("line") != "")
        if self.comment:
            numbered = numbered.filter(~pl.col("line").str.starts_with(self.comment))
        cut = self._literals if self.separator is None else self._fields
        rows = cut(reader, numbered, fields)
        for column in self.columns.values():
            if column.field not in rows.columns:
                raise reader.error(
                    f"has no column {column.field!r}, but {', '.join(map(repr, fields))}"
                )
        if self.keep is not None:
            rows = rows.filter(self.keep)
        made = rows.select(
            "number", **{name: column.values for name, column in self.columns.items()}
        )
        for name, column in self.columns.items():
            for bad in rows.filter(made[name].is_null()).head(1).iter_rows(named=True):
                raise reader.error(
                    f"holds {bad[column.field]!r} as {column.field!r} in line {bad['number']}, "
                    f"which must be {column.wanted}"
                )
        return made.drop("number")

    def _fields(
        self, reader: "_Lines", numbered: pl.DataFrame, fields: Sequence[str]
    ) -> pl.DataFrame:
        cut = numbered.with_columns(pl.col("line").str.split(self.separator))
        count = pl.col("line").list.len()
        bad = cut.filter(count < len(fields) if self.open_ended else count != len(fields))
        if bad.height:
            raise reader.error(
                f"has {len(bad['line'][0])} fields in line {bad['number'][0]}, but "
                f"{len(fields)} are expected, set apart by {self.separator!r}"
            )
        return cut.select("number", pl.col("line").list.to_struct(fields=list(fields))).unnest(
            "line"
        )

    def _literals(
        self, reader: "_Lines", numbered: pl.DataFrame, fields: Sequence[str]
    ) -> pl.DataFrame:
        held: list[list[str]] = []
        for number_of_line, line in numbered.iter_rows():
            try:
                record = ast.literal_eval(line)  # literals only: nothing in the file is run
                held.append([_as_text(record.get(field, "")) for field in fields])
            except (ValueError, SyntaxError, AttributeError, RecursionError, MemoryError) as error:
                raise reader.error(
                    f"holds no Python dict in line {number_of_line} ({type(error).__name__})"
                ) from error
        rows = pl.DataFrame(held, schema=dict.fromkeys(fields, pl.String), orient="row")
        return rows.with_columns(numbered["number"])

    def _files(self, folder: Path, dataset: PublicDataset) -> Iterator[tuple[str, IO[bytes]]]:
        archive = folder / self.archive
        is_unpacked = archive.suffix == ".7z" and any(folder.rglob(self.file))
        if self.archive and archive.is_file() and not is_unpacked:
            found: set[str] = set()
            try:
                with _members(archive, self.file) as members:
                    for member, file in members:
                        name = PurePosixPath(member).name
                        if name in found:
                            raise _twice(name, archive, dataset)
                        found.add(name)
                        yield member, file
            except _DAMAGE as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise  # no room to unpack it
                raise ValueError(
                    f"{self.archive} cannot be read to its end ({error}), but was expected to be "
                    f"whole. Fetch it again: {dataset.fetch}"
                ) from error
            if not found:
                raise ValueError(
                    f"{self.archive} holds no {self.file}, but {dataset.title} has one. Fetch the "
                    f"archive again: {dataset.fetch}"
                )
            return
        unpacked = self.file.removesuffix(".gz").removesuffix(".bz2")
        paths = sorted(folder.rglob(self.file)) or sorted(folder.rglob(unpacked))
        if not paths:
            either = f"neither {self.archive} nor" if self.archive else "no"
            raise FileNotFoundError(
                f"{str(folder)!r} holds {either} {self.file}, which is a part of {dataset.title}. "
                f"It is not fetched for you: {dataset.fetch} Put it into that folder."
            )
        for name, count in Counter(path.name for path in paths).items():
            if count > 1:
                raise _twice(name, folder, dataset)
        for path in paths:
            with _OPENERS.get(path.suffix, open)(path, "rb") as file:
                yield path.name, file


class _Lines:
    """Lines of one file, counted from 1 as an editor counts them; the rows of a sheet likewise."""

    def __init__(self, name: str, dataset: PublicDataset, file: IO[bytes], encoding: str) -> None:
        self.name, self.dataset = name, dataset
        self.first, self.taken = 1, 0
        if name.endswith(".xlsx"):
            try:
                file = sheets.as_lines(file)
            except (ValueError, *_DAMAGE) as error:
                raise self.error(f"cannot be read ({error})") from error
        self.file = io.TextIOWrapper(file, encoding, newline="\n")

    def take(self, count: int) -> list[str]:
        """Returns the next lines, without their ends; `first` is the number of the first."""
        self.first += self.taken
        try:
            lines = [line.rstrip("\r\n") for line in islice(self.file, count)]
        except (UnicodeDecodeError, *_DAMAGE) as error:
            last = self.first + count - 1  # or a few lines later: a buffer is read at once
            raise self.error(
                f"cannot be read in or just after lines {self.first} to {last} ({error})"
            ) from error
        self.taken = len(lines)
        return lines

    def error(self, what: str) -> ValueError:
        """Returns the error for a file that is not as its publisher describes it."""
        return ValueError(
            f"{self.name} {what}. Expected is the layout of {self.dataset.title} as its publisher "
            f"distributes it ({self.dataset.described_by}). Fetch the file again, or mend it."
        )


@contextmanager
def _members(archive: Path, pattern: str) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Opens the members whose names fit, in the order of their names; 7z alone is unpacked."""
    if archive.suffix == ".7z":
        with seven_zip.members(archive, pattern) as opened:
            yield opened
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            names = sorted(name for name in zipped.namelist() if PurePosixPath(name).match(pattern))
            yield ((name, zipped.open(name)) for name in names)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            # In the order of the archive: going back in a compressed one reads it anew.
            yield (
                (member.name, file)
                for member in tar
                if PurePosixPath(member.name).match(pattern)
                and (file := tar.extractfile(member)) is not None
            )
    else:
        raise ValueError(
            f"{archive.name} is neither a zip nor a tar file, but was expected to be one by its "
            "name. Fetch it again, whole."
        )


def _twice(name: str, where: Path, dataset: PublicDataset) -> ValueError:
    return ValueError(
        f"{str(where)!r} holds more than one file {name}, but {dataset.title} has one. Pass a "
        "folder with the files of one data set, each of them once."
    )


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return "|".join(map(str, value)) if isinstance(value, list) else str(value)
