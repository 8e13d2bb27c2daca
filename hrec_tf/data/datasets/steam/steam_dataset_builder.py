"""Builder of the TensorFlow data set `steam`."""

import polars as pl

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, identifier, number, texts, time
from hrec_tf.schema import ITEM, TIMESTAMP, USER

__all__ = ["Builder"]


class Builder(TableBuilder):
    """Steam: reviews of games, version 2 of the data (the one that SASRec was measured on).

    A line is a Python literal of a dict, no JSON; not all keys are in all lines. Users go by
    their names. `hours` that were played are NaN where the line has none. Games without an id are
    left out; entries of lists (genres, tags) are set apart by "|".

    Source: Kang & McAuley, ICDM 2018; keys by RUCAIBox/RecSysDatasets,
    conversion_tools/src/extended_dataset.py.

    Example:
        >>> from hrec_tf.data.datasets.steam import Builder
        >>> list(Builder.TABLES)
        ['events', 'items']
    """

    TABLES = {
        "events": Table(
            "steam_reviews.json.gz",
            fields=("username", "product_id", "date", "hours"),
            separator=None,
            columns={
                USER: identifier("username"),
                ITEM: identifier("product_id"),
                TIMESTAMP: time("date", "%Y-%m-%d"),
                "hours": number("hours", may_be_empty=True),
            },
        ),
        "items": Table(
            "steam_games.json.gz",
            fields=("id", "title", "genres", "tags", "developer", "publisher"),
            separator=None,
            keep=pl.col("id") != "",
            columns={
                ITEM: identifier("id"),
                **texts("title", "genres", "tags", "developer", "publisher"),
            },
        ),
    }
