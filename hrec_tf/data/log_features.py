"""What a log knows beside its events: schemas of item features, feedback and user features."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from hrec_tf import checks
from hrec_tf.data import plain_toml
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.data.features import FeatureSchema, FeatureTable

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


@dataclass(frozen=True, eq=False)
class LogFeatures:
    """The features of a prepared log that are not held by its histories.

    Args:
        schemas: of all parts.
        items: the item features by item id; None where the log has none.
    """

    schemas: FeatureSchemas
    items: FeatureTable | None = None


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
