"""Builder of the TensorFlow data set `citeulike`."""

import polars as pl

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Column, Table, epoch, identifier, whole
from hrec_tf.schema import ITEM, TIMESTAMP, USER

__all__ = ["Builder"]

_SECOND = pl.col("time").str.replace(r"(\..*|\+00)$", "")
_FORMAT = "%Y-%m-%d %H:%M:%S"


class Builder(TableBuilder):
    """CiteULike: who saved which article when.

    A line of `current.bz2` is `article|user hash|time|tag`; an article with n tags is n lines and
    one posting, so rows that differ in their tag alone count once. A tag may hold "|". Times are
    PostgreSQL's, e.g. "2004-11-04 02:25:05.373798+00", and are cut to seconds.

    Source: CiteULike, "Available datasets", a page of its FAQ; times by flaviovdf/tag_assess,
    src/tagassess/data_parser.py.

    Example:
        >>> from hrec_tf.data.datasets.citeulike import Builder
        >>> list(Builder.TABLES)
        ['events']
    """

    TABLES = {
        "events": Table(
            "current.bz2",
            fields=("article", "user_hash", "time", "tag"),
            separator="|",
            columns={
                USER: identifier("user_hash"),
                ITEM: whole("article"),
                TIMESTAMP: Column(
                    "time", epoch(_SECOND, _FORMAT, "s"), pl.Int64(), f"a time like {_FORMAT}"
                ),
            },
            open_ended=True,
            distinct=True,
        )
    }
