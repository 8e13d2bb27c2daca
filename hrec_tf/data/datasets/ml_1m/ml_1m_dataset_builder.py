"""Builder of the TensorFlow data set `ml_1m`."""

from collections.abc import Callable

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Column, Table, number, text, whole
from hrec_tf.schema import ITEM, RATING, TIMESTAMP, USER

__all__ = ["Builder"]


def _table(file: str, **columns: Callable[[str], Column]) -> Table:
    return Table(
        file,
        archive="ml-1m.zip",
        fields=tuple(columns),
        separator="::",
        encoding="latin-1",
        columns={name: make(name) for name, make in columns.items()},
    )


class Builder(TableBuilder):
    """MovieLens 1M: ratings, movies and raters.

    Fields are set apart by "::", in Latin-1; genres by "|". Age and occupation are codes.

    Source: GroupLens, README of the archive.

    Example:
        >>> from hrec_tf.data.datasets.ml_1m import Builder
        >>> list(Builder.TABLES)
        ['events', 'items', 'users']
    """

    TABLES = {
        "events": _table(
            "ratings.dat", **{USER: whole, ITEM: whole, RATING: number, TIMESTAMP: whole}
        ),
        "items": _table("movies.dat", **{ITEM: whole, "title": text, "genres": text}),
        "users": _table(
            "users.dat",
            **{USER: whole, "gender": text, "age": whole, "occupation": whole, "zip_code": text},
        ),
    }
