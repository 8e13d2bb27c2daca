"""Features of items, users and events: columns of a table as numbers that a model reads.

A schema says what each column is; it is inferred from a table, edited where the guess is wrong,
and kept with what was trained, so that a request is read exactly as the training log was.

| kind        | a value                        | its numbers                                       |
|-------------|--------------------------------|---------------------------------------------------|
| categorical | text or a whole number         | missing; one per category                         |
| multi_hot   | several categories             | missing; one per category, of length 1 in all     |
| numeric     | a number                       | (value - mean) / sd; missing                      |
| text        | words                          | missing; hashed n-grams of characters, of length 1|

What is missing is a value of its own: empty text, null, NaN, and a category that training did not
have. A number outside the training range counts as the nearest end of it.
"""

import tomllib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from hrec_tf import checks
from hrec_tf.data import plain_toml
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.data.log_table import lazy
from hrec_tf.data.vocabulary import Vocabulary

MAX_CATEGORIES = 1_000
"""A text column with more different values is read as text, not as categories."""


@dataclass(frozen=True)
class Categorical:
    """One of several values.

    Args:
        values: the categories, in the order of their numbers.

    Example:
        >>> Categorical(("tea", "jam")).encode(pl.Series(["jam", None, "rum"])).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """

    kind: ClassVar[str] = "categorical"
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_different("values", self.values)

    @classmethod
    def infer(cls, column: pl.Series) -> Self:
        """Takes the values that the column has, in order."""
        return cls(tuple(_texts(column).drop_nulls().unique().sort().to_list()))

    @property
    def labels(self) -> tuple[str, ...]:
        """What each number stands for."""
        return ("missing", *self.values)

    def encode(self, column: pl.Series) -> np.ndarray:
        """Returns float32 (rows, 1 + categories)."""
        places = _places(_texts(column), self.values)
        return np.eye(len(self.labels), dtype=np.float32)[places]


@dataclass(frozen=True)
class MultiHot:
    """Several values at once, as lists or as text with a separator.

    Args:
        values: the categories, in the order of their numbers.
        separator: between the values of a text; of no use for lists.

    Example:
        >>> genres = MultiHot(("Comedy", "Drama", "War"))
        >>> (genres.encode(pl.Series(["Drama|War", ""])) ** 2).round(1).tolist()
        [[0.0, 0.0, 0.5, 0.5], [1.0, 0.0, 0.0, 0.0]]
    """

    kind: ClassVar[str] = "multi_hot"
    values: tuple[str, ...]
    separator: str = "|"

    def __post_init__(self) -> None:
        _require_different("values", self.values)
        if not isinstance(self.separator, str) or not self.separator:
            raise ValueError(
                f"`separator` was {self.separator!r}, but must be a text between two values. Pass "
                "e.g. '|'."
            )

    @classmethod
    def infer(cls, column: pl.Series) -> Self:
        """Takes the values that the column has, in order."""
        lists = _lists(column, "|")
        return cls(tuple(lists.explode().drop_nulls().unique().sort().to_list()))

    @property
    def labels(self) -> tuple[str, ...]:
        """What each number stands for."""
        return ("missing", *self.values)

    def encode(self, column: pl.Series) -> np.ndarray:
        """Returns float32 (rows, 1 + categories), each row of length 1."""
        lists = _lists(column, self.separator).fill_null([])
        rows = np.repeat(np.arange(len(lists)), lists.list.len().to_numpy())
        places = _places(lists.explode().drop_nulls(), self.values)
        encoded = np.zeros((len(column), len(self.labels)), np.float32)
        encoded[rows[places > 0], places[places > 0]] = 1.0
        encoded[~encoded.any(axis=1), 0] = 1.0
        return encoded / np.linalg.norm(encoded, axis=1, keepdims=True)


@dataclass(frozen=True)
class Numeric:
    """A number, standardised by what training had.

    Args:
        mean, sd: of the training values.
        low, high: their range, beyond which a value counts as its nearest end.

    Example:
        >>> Numeric(mean=3.0, sd=2.0, low=1.0, high=5.0).encode(pl.Series([5, None, 9])).tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """

    kind: ClassVar[str] = "numeric"
    mean: float
    sd: float
    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("mean", "low", "high"):
            mend = "Pass what training had."
            checks.require_number(name, getattr(self, name), minimum=-np.inf, mend=mend)
        checks.require_number("sd", self.sd, minimum=0, mend="Pass that of the training values.")
        if not self.sd or self.low > self.high:
            raise ValueError(
                f"`sd` was {self.sd} and the range {self.low} to {self.high}, but values are "
                "divided by the one and lie in the other. Pass an sd above 0 and low <= high."
            )

    @classmethod
    def infer(cls, column: pl.Series) -> Self:
        """Takes mean, sd and range of the column."""
        known = _numbers(column)
        known = known[~np.isnan(known)]
        if not len(known):
            return cls(mean=0.0, sd=1.0, low=0.0, high=0.0)
        sd = float(known.std())
        return cls(float(known.mean()), sd or 1.0, float(known.min()), float(known.max()))

    @property
    def labels(self) -> tuple[str, ...]:
        """What each number stands for."""
        return ("value", "missing")

    def encode(self, column: pl.Series) -> np.ndarray:
        """Returns float32 (rows, 2)."""
        given = _numbers(column)
        is_missing = np.isnan(given)
        value = (np.clip(given, self.low, self.high) - self.mean) / self.sd
        value = np.where(is_missing, 0.0, value)
        return np.stack([value, is_missing], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Text:
    """Words, as counts of hashed character n-grams: "tea" is ^te, tea, ea$ with n = 3.

    The hash is CRC-32, the same on every machine and in every process.

    Args:
        buckets: how many numbers the n-grams share.
        ngram: characters of an n-gram.

    Example:
        >>> encoded = Text(buckets=8).encode(pl.Series(["red tea", "RED  TEA", None]))
        >>> bool((encoded[0] == encoded[1]).all()), encoded[2, 0].item()
        (True, 1.0)
    """

    kind: ClassVar[str] = "text"
    buckets: int = 128
    ngram: int = 3

    def __post_init__(self) -> None:
        for name in ("buckets", "ngram"):
            checks.require_positive_int(name, getattr(self, name), mend="Leave it out.")

    @classmethod
    def infer(cls, column: pl.Series) -> Self:
        """Takes the defaults: nothing of the column is kept."""
        return cls()

    @property
    def labels(self) -> tuple[str, ...]:
        """What each number stands for."""
        return ("missing", *(f"bucket {number}" for number in range(self.buckets)))

    def encode(self, column: pl.Series) -> np.ndarray:
        """Returns float32 (rows, 1 + buckets), each row of length 1."""
        encoded = np.zeros((len(column), 1 + self.buckets), np.float32)
        for row, text in enumerate(_texts(column).to_list()):
            for gram in self._grams(text or ""):
                encoded[row, 1 + zlib.crc32(gram.encode()) % self.buckets] += 1.0
        encoded[~encoded.any(axis=1), 0] = 1.0
        return encoded / np.linalg.norm(encoded, axis=1, keepdims=True)

    def _grams(self, text: str) -> Iterable[str]:
        for word in text.lower().split():
            marked = f"^{word}$"
            for begin in range(max(len(marked) - self.ngram, 0) + 1):
                yield marked[begin : begin + self.ngram]


Column = Categorical | MultiHot | Numeric | Text
_KINDS: tuple[type[Column], ...] = (Categorical, MultiHot, Numeric, Text)
KINDS: Mapping[str, type[Column]] = {kind.kind: kind for kind in _KINDS}


@dataclass(frozen=True)
class FeatureSchema:
    """What the feature columns of a table are, and how they become numbers.

    Args:
        columns: name of a column -> `Categorical`, `MultiHot`, `Numeric` or `Text`.

    Example:
        >>> table = {"genres": ["Drama|War", "Comedy"], "year": [1994, 1998]}
        >>> schema = FeatureSchema.infer(table)
        >>> [(name, column.kind) for name, column in schema.columns.items()]
        [('genres', 'multi_hot'), ('year', 'numeric')]
        >>> schema.encode(table).shape
        (2, 6)
    """

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError(
                "`columns` was empty, but features need a column. Pass one, or no schema."
            )
        for name, column in self.columns.items():
            if not isinstance(column, tuple(KINDS.values())):
                raise TypeError(
                    f"`columns` holds {column!r} for {name!r}, which is none of "
                    f"{', '.join(kind.__name__ for kind in KINDS.values())}. Pass one of them."
                )

    @classmethod
    def infer(
        cls,
        table: Any,
        *,
        columns: Sequence[str] | None = None,
        kinds: Mapping[str, str] | None = None,
    ) -> Self:
        """Guesses the schema of a table.

        Numbers are numeric, lists and text with "|" multi_hot, other text categorical up to
        1 000 different values that repeat, and else text.

        Args:
            table: a frame, or a mapping of names to sequences.
            columns: those that are features; all if None.
            kinds: name of a column -> its kind, where the guess would be wrong, e.g. of codes
                that are numbers.

        Raises:
            ValueError: a column that is not there, or a kind that there is not.
        """
        frame = _frame(table)
        names = list(frame.columns if columns is None else columns)
        kinds = dict(kinds or {})
        for name in (*names, *kinds):
            checks.require_choice("columns", name, frame.columns)
        found = {}
        for name in names:
            kind = kinds.get(name) or _guessed_kind(frame[name])
            checks.require_choice("kinds", kind, KINDS)
            with _in_column(name):
                found[name] = KINDS[kind].infer(frame[name])
        return cls(found)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What each number stands for: "column: label"."""
        return tuple(
            f"{n}: {label}" for n, column in self.columns.items() for label in column.labels
        )

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return len(self.labels)

    def encode(self, table: Any) -> np.ndarray:
        """Returns float32 (rows, width).

        Raises:
            ValueError: a column is missing, holds infinity, or text where numbers are due.
        """
        frame = _frame(table)
        parts = []
        for name, column in self.columns.items():
            if name not in frame.columns:
                raise ValueError(
                    f"`table` has the columns {frame.columns}, but the schema names {name!r}. "
                    f"{checks.did_you_mean(name, frame.columns or ['none'])} A value that is not "
                    "known may be null."
                )
            with _in_column(name):
                parts.append(column.encode(frame[name]))
        return np.concatenate(parts, axis=1)

    @cached_property
    def missing(self) -> np.ndarray:
        """Float32 (width,): a row of which nothing is known."""
        return self.encode({name: pl.Series([None], dtype=pl.String) for name in self.columns})[0]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values that `from_dict` reads back."""
        return {
            name: {"kind": column.kind, **plain_toml.to_words(asdict(column))}
            for name, column in self.columns.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, Any]]) -> Self:
        """Makes a schema of plain values.

        Raises:
            ValueError: an unknown kind or key, or one that is missing.
        """
        columns: dict[str, Column] = {}
        for name, held in values.items():
            given = dict(held)
            kind = checks.require_choice(f"kind of {name}", given.pop("kind", None), KINDS)
            known = {field.name for field in fields(KINDS[kind])}
            for key in given:
                checks.require_choice(f"key of {name}", key, sorted(known))
            given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
            try:
                columns[name] = KINDS[kind](**given)
            except TypeError as error:
                raise ValueError(
                    f"`{name}` holds {sorted(given)}, but {kind} needs {sorted(known)}. Add what "
                    "is missing."
                ) from error
        return cls(columns)

    def save(self, path: str | Path) -> None:
        """Writes the schema as TOML, one table per column, to be edited by hand."""
        write_whole(Path(path), plain_toml.to_toml(self.to_dict()).encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            ValueError: no TOML, or no schema.
        """
        path = Path(path)
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(
                f"{path.name} is not a TOML file: {error}. Write it with `FeatureSchema.save`."
            ) from error


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features of every item of a vocabulary.

    Args:
        schema: of the columns.
        values: float32 (num_items + 1, width); item id i in row i, row 0 of an unknown item.
        num_missing: items that the table had no row for; they have `schema.missing`.
    """

    schema: FeatureSchema
    values: np.ndarray
    num_missing: int = 0

    @classmethod
    def of_items(
        cls,
        table: Any,
        vocabulary: Vocabulary,
        *,
        id_column: str = "item",
        schema: FeatureSchema | None = None,
    ) -> Self:
        """Lays a table out by item id; rows of items that are not in the vocabulary are left.

        Args:
            table: a frame or mapping with a row per item.
            vocabulary: numbers the items.
            id_column: column of the raw ids.
            schema: of the other columns; inferred if None.

        Raises:
            ValueError: no such column, or two rows of one item.

        Example:
            >>> vocabulary = Vocabulary(["tea", "jam"])
            >>> table = {"item": ["jam", "rum"], "price": [2.0, 9.0]}
            >>> FeatureTable.of_items(table, vocabulary).values.tolist()
            [[0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]]
        """
        frame = rows_by_id(table, id_column)
        schema = schema or FeatureSchema.infer(frame.drop(id_column))
        item_ids = vocabulary.encode(frame[id_column])
        values = np.tile(schema.missing, (vocabulary.num_items + 1, 1))
        known = item_ids > 0
        values[item_ids[known]] = schema.encode(frame.drop(id_column))[known]
        return cls(schema, values, vocabulary.num_items - int(known.sum()))


def rows_by_id(table: Any, id_column: str) -> pl.DataFrame:
    """Returns a table whose ids are each there once.

    Raises:
        ValueError: no such column, an id that is missing, or two rows with one id.
    """
    frame = _frame(table)
    checks.require_choice("id_column", id_column, frame.columns)
    ids = frame[id_column]
    if ids.null_count():
        row = int(ids.is_null().arg_max() or 0)
        raise ValueError(
            f"`{id_column}` has no value at row {row}, but every row belongs to an id. Leave that "
            "row out."
        )
    if ids.is_duplicated().any():
        rows = ids.is_duplicated().arg_true().to_list()
        same = [row for row in rows if ids[row] == ids[rows[0]]]
        raise ValueError(
            f"`{id_column}` holds {ids[rows[0]]!r} at the rows {same[0]} and {same[1]}, but an id "
            "has one row of features. Keep one of them."
        )
    return frame


def _frame(table: Any) -> pl.DataFrame:
    if isinstance(table, pl.DataFrame):
        return table
    return lazy(table).collect()


def _guessed_kind(column: pl.Series) -> str:
    if column.dtype == pl.List:
        return "multi_hot"
    if column.dtype.is_numeric():
        return "numeric"
    if column.dtype != pl.String:
        return "categorical"
    texts = _texts(column).drop_nulls()
    if texts.str.contains("|", literal=True).any():
        return "multi_hot"
    num_values = texts.n_unique()
    repeats = num_values <= max(len(texts) // 2, 1)
    return "categorical" if num_values <= MAX_CATEGORIES and repeats else "text"


@contextmanager
def _in_column(name: str) -> Iterator[None]:
    """Names the column in a message."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"In the column {name!r}: {error}") from error


def _texts(column: pl.Series) -> pl.Series:
    """The values as text; empty text is null."""
    if column.dtype == pl.List:
        raise ValueError(
            "the values are lists, but one value per row is needed. Say that it is multi_hot."
        )
    texts = column.cast(pl.String)
    return texts.set(texts.str.strip_chars() == "", None)


def _lists(column: pl.Series, separator: str) -> pl.Series:
    if column.dtype == pl.List:
        return column.list.eval(pl.element().cast(pl.String)).list.drop_nulls()
    parts = _texts(column).str.split(separator)
    stripped = parts.list.eval(pl.element().str.strip_chars())
    return stripped.list.eval(pl.element().filter(pl.element() != ""))


def _numbers(column: pl.Series) -> np.ndarray:
    """Float64 (rows,), NaN where a value is missing."""
    texts = _texts(column) if column.dtype in (pl.String, pl.Categorical, pl.Enum) else column
    numbers = texts.cast(pl.Float64, strict=False)
    lost = numbers.is_null() & texts.is_not_null()
    if lost.any():
        row = int(lost.arg_max() or 0)
        raise ValueError(
            f"the value {column[row]!r} at row {row} is no number. Mend it, leave it empty, or say "
            "that the column is categorical or text."
        )
    given = numbers.to_numpy().astype(np.float64)
    if np.isinf(given).any():
        row = int(np.isinf(given).argmax())
        raise ValueError(
            f"the value at row {row} is {given[row]}, but features are finite. Leave it empty if "
            "it is not known."
        )
    return given


def _places(texts: pl.Series, values: Sequence[str]) -> np.ndarray:
    """Int64 (rows,): 1 + the place of each text among the values, 0 if it is none of them."""
    places = texts.replace_strict(
        list(values), list(range(1, len(values) + 1)), default=0, return_dtype=pl.Int64
    )
    return places.fill_null(0).to_numpy()


def _require_different(name: str, values: Sequence[str]) -> None:
    if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"`{name}` was {values!r}, but must be several texts. Pass ('a', 'b').")
    if len(set(values)) != len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise ValueError(f"`{name}` holds {twice!r} twice, but categories differ. Keep one.")
