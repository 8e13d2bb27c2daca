"""Builder of the TensorFlow data set `citeulike`."""

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, identifier, time, whole
from hrec_tf.schema import ITEM, TIMESTAMP, USER

__all__ = ["Builder"]


class Builder(TableBuilder):
    """CiteULike: who saved which article when.

    A line of `current.bz2` is `article|user hash|time|tag`; an article with n tags is n lines and
    one posting, so rows that differ in their tag alone count once. Times are PostgreSQL's, e.g.
    "2004-11-04 02:25:05.373798+00"; the description does not show one.

    Source: CiteULike, "Available datasets", a page of its FAQ.

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
                TIMESTAMP: time("time", "%Y-%m-%d %H:%M:%S%.f+00", unit="us"),
            },
            distinct=True,
        )
    }
