"""What a log knows beside its events: schemas of item features, feedback and user features."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from hrec_tf import checks
from hrec_tf.data import log_files, plain_toml
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.data.features import FeatureSchema, FeatureTable, rows_by_id
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.schema import ITEM, USER

PARTS = ("items", "feedback", "users")


@dataclass(frozen=True)
class FeatureSchemas:
    """How the features of items, events and users become numbers; None where there are none.

    It is kept with what was trained, so that a request is read as the training log was.

    Args:
        items: columns of the item table.
        feedback: columns of events, such as a rating.
        users: columns of the user table.

    Example:
        >>> schemas = FeatureSchemas(feedback=FeatureSchema.infer({"rating": [1.0, 5.0]}))
        >>> FeatureSchemas.from_dict(schemas.to_dict()) == schemas
        True
    """

    items: FeatureSchema | None = None
    feedback: FeatureSchema | None = None
    users: FeatureSchema | None = None

    @property
    def widths(self) -> dict[str, int]:
        """Name of a part -> how many numbers it becomes; 0 where there is none."""
        held = {part: getattr(self, part) for part in PARTS}
        return {part: 0 if schema is None else schema.width for part, schema in held.items()}

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values that `from_dict` reads back."""
        held = {part: getattr(self, part) for part in PARTS}
        return {part: schema.to_dict() for part, schema in held.items() if schema is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Makes schemas of plain values.

        Raises:
            ValueError: an unknown part, or what `FeatureSchema.from_dict` refuses.
        """
        for part in values:
            checks.require_choice("features", part, PARTS)
        return cls(**{part: FeatureSchema.from_dict(held) for part, held in values.items()})

    def save(self, path: str | Path) -> None:
        """Writes the schemas as TOML, one table per column, to be edited by hand."""
        write_whole(Path(path), plain_toml.to_toml(self.to_dict()).encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: no TOML, or no schemas.
        """
        path = Path(path)
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path.name} is not a TOML file: {error}. Write it with `FeatureSchemas.save`."
            ) from error


FIRST_ITEM = "first_item"
"""In place of a user table: a user's features are those of the first item."""


@dataclass(frozen=True, eq=False)
class FeatureTables:
    """Tables that lie beside a log, and which columns of the log are feedback.

    Args:
        items: a row for each item, with the column `item`; None if there is none.
        users: a row for each user, with the column `user`; or `FIRST_ITEM`, as the paper of
            HRNN-meta does it.
        feedback: columns of the log.
        kinds: name of a column -> its kind, where `FeatureSchema.infer` would guess wrong.
        schemas: read by these; a part that it lacks is inferred.

    Raises:
        ValueError: users after first items without an item table.
    """

    items: pl.DataFrame | None = None
    users: pl.DataFrame | str | None = None
    feedback: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    schemas: FeatureSchemas = field(default_factory=FeatureSchemas)

    def __post_init__(self) -> None:
        if isinstance(self.users, str) and (self.users != FIRST_ITEM or self.items is None):
            raise ValueError(
                f"`users` was {self.users!r}, but must be a table, or {FIRST_ITEM!r} beside an "
                "item table. Pass both."
            )

    @classmethod
    def read(
        cls,
        *,
        items: str | Path | None = None,
        users: str | Path | None = None,
        feedback: Sequence[str] = (),
        schemas: str | Path | None = None,
    ) -> Self:
        """Reads tables from files, in the formats of `EventLog.read`.

        Args:
            items: file with the column `item` and feature columns.
            users: file with the column `user` and feature columns, or "first_item".
            feedback: columns of the log.
            schemas: file that `FeatureSchemas.save` wrote.
        """
        return cls(
            items=None if items is None else read_table(items),
            users=users if users in (None, FIRST_ITEM) else read_table(users),
            feedback=tuple(feedback),
            schemas=FeatureSchemas() if schemas is None else FeatureSchemas.load(schemas),
        )

    def fit(self, train: pl.DataFrame, vocabulary: Vocabulary) -> "LogFeatures":
        """Returns the features as the training part of a log has them.

        What is standardised or enumerated is taken from the training events, and from the rows
        of their items and users.

        Args:
            train: the frame of the training log.
            vocabulary: of it.

        Raises:
            ValueError: a column that is missing, two rows with one id, infinity, ...
        """
        schemas, items, users = self.schemas, None, None
        if self.items is not None:
            rows = _known(self.items, ITEM, vocabulary.raw_ids)
            items = schemas.items or self._infer(rows.drop(ITEM))
        if isinstance(self.users, pl.DataFrame):
            rows = _known(self.users, USER, train[USER].unique())
            users = schemas.users or self._infer(rows.drop(USER))
        elif self.users is not None:
            users = items
        feedback = None
        if self.feedback:
            _require_columns(train, self.feedback)
            feedback = schemas.feedback or self._infer(train.select(self.feedback))
        found = FeatureSchemas(items, feedback, users)
        table = None
        if self.items is not None:
            rows = self.items.with_columns(_cast(self.items, ITEM, vocabulary.raw_ids.dtype))
            table = FeatureTable.of_items(rows, vocabulary, id_column=ITEM, schema=items)
        return LogFeatures(found, table, self.users, self.feedback)

    def _infer(self, rows: pl.DataFrame) -> FeatureSchema:
        kinds = {name: kind for name, kind in self.kinds.items() if name in rows.columns}
        return FeatureSchema.infer(rows, kinds=kinds)


@dataclass(frozen=True, eq=False)
class LogFeatures:
    """The features of a prepared log.

    Args:
        schemas: how they become numbers.
        items: the item features by item id; None where the log has none.
        users: see `FeatureTables`.
        feedback: columns of the log.
    """

    schemas: FeatureSchemas
    items: FeatureTable | None = None
    users: pl.DataFrame | str | None = None
    feedback: tuple[str, ...] = ()

    def of_events(self, frame: pl.DataFrame) -> np.ndarray | None:
        """Returns float32 (rows, width) of a log's frame; None without feedback."""
        if self.schemas.feedback is None:
            return None
        _require_columns(frame, self.feedback)
        return self.schemas.feedback.encode(frame.select(self.feedback))

    def of_users(self, users: pl.Series, first_items: np.ndarray) -> np.ndarray | None:
        """Returns float32 (users, width); who has no row is missing. None without user features.

        Args:
            users: raw ids.
            first_items: int (users,), item id of each user's first event.
        """
        schema = self.schemas.users
        if schema is None:
            return None
        table: Any = self.users
        if isinstance(table, str):
            return self.items.values[first_items]  # type: ignore[union-attr]
        table = rows_by_id(table.with_columns(_cast(table, USER, users.dtype)), USER)
        laid = users.to_frame(USER).join(table, on=USER, how="left", maintain_order="left")
        return schema.encode(laid.drop(USER))


def read_table(path: str | Path) -> pl.DataFrame:
    """Reads a table of features: columns of a text table that are all numbers become numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file that cannot be read.
    """
    frame, typed, _ = log_files.scan(path, format=None, separator=None, columns=None)
    table = log_files.collect(frame, Path(path).name)
    if typed:
        return table
    for name in table.columns:
        values = table[name]
        # "007" is a code: as a number it would not write back as it stands.
        if values.str.contains(r"^\s*[+-]?0\d").any():
            continue
        for dtype in (pl.Int64, pl.Float64):
            cast = values.cast(dtype, strict=False)
            if (cast.is_null() == values.is_null()).all():
                table = table.with_columns(cast)
                break
    return table


def _known(table: pl.DataFrame, column: str, ids: pl.Series) -> pl.DataFrame:
    rows = rows_by_id(table, column)
    rows = rows.with_columns(_cast(rows, column, ids.dtype))
    known = rows.filter(rows[column].is_in(ids.implode()))
    if known.is_empty():
        raise ValueError(
            f"The table of {column}s has {len(rows)} rows, none of one of the training log. "
            f"Check that both have the same ids, e.g. {rows[column][0]!r} and {ids[0]!r}."
        )
    return known


def _cast(table: pl.DataFrame, column: str, dtype: pl.DataType) -> pl.Series:
    """The ids in the log's type; those that cannot be of it are none of its ids."""
    checks.require_choice("id_column", column, table.columns)
    return table[column].cast(dtype, strict=False)


def _require_columns(frame: pl.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in frame.columns:
            raise ValueError(
                f"`feedback` names {name!r}, but the log has {', '.join(frame.columns)}. "
                f"{checks.did_you_mean(name, frame.columns)}"
            )


def encode_rows(schema: FeatureSchema, rows: list[Mapping[str, Any]]) -> np.ndarray:
    """Returns float32 (rows, width) of mappings of column names to values; what lacks is missing.

    Raises:
        ValueError: a name that the schema does not have, or a value that it cannot read.

    Example:
        >>> schema = FeatureSchema.infer({"rating": [1.0, 5.0]})
        >>> encode_rows(schema, [{"rating": 5.0}, {}]).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    for row in rows:
        for name in row:
            checks.require_choice("features", name, schema.columns)
    return schema.encode({name: [row.get(name) for row in rows] for name in schema.columns})
