"""Builder of the TensorFlow data set `ml_100k`."""

import polars as pl

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Column, Table, number, texts, whole
from hrec_tf.schema import ITEM, RATING, TIMESTAMP, USER

__all__ = ["Builder"]

_ARCHIVE = "ml-100k.zip"
# fmt: off
_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)
# fmt: on
_FLAGGED = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in _GENRES]


class Builder(TableBuilder):
    """MovieLens 100K: ratings, movies and raters.

    `u.data` is set apart by tabs; `u.item` and `u.user` by "|", in Latin-1. The 19 flags of genres
    become one text, set apart by "|".

    Source: GroupLens, README of the archive.

    Example:
        >>> from hrec_tf.data.datasets.ml_100k import Builder
        >>> list(Builder.TABLES)
        ['events', 'items', 'users']
    """

    TABLES = {
        "events": Table(
            "u.data",
            archive=_ARCHIVE,
            fields=(USER, ITEM, RATING, TIMESTAMP),
            separator="\t",
            columns={
                USER: whole(USER),
                ITEM: whole(ITEM),
                TIMESTAMP: whole(TIMESTAMP),
                RATING: number(RATING),
            },
        ),
        "items": Table(
            "u.item",
            archive=_ARCHIVE,
            fields=(ITEM, "title", "release_date", "video_release_date", "imdb", *_GENRES),
            separator="|",
            encoding="latin-1",
            columns={
                ITEM: whole(ITEM),
                **texts("title", "release_date"),
                "genres": Column(
                    "unknown",
                    pl.concat_str(_FLAGGED, separator="|", ignore_nulls=True),
                    pl.String(),
                    "a flag",
                ),
            },
        ),
        "users": Table(
            "u.user",
            archive=_ARCHIVE,
            fields=(USER, "age", "gender", "occupation", "zip_code"),
            separator="|",
            encoding="latin-1",
            columns={
                USER: whole(USER),
                "age": whole("age"),
                **texts("gender", "occupation", "zip_code"),
            },
        ),
    }
