"""Builder of the TensorFlow data set `diginetica`."""

import polars as pl

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Column, Table, epoch, number, text, whole
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP

__all__ = ["Builder"]

_ARCHIVE = "dataset-train-diginetica.zip"
# `timeframe` counts the milliseconds of a session; the day is all that is known of its beginning.
_TIME = Column(
    "timeframe",
    epoch(pl.col("eventdate"), "%Y-%m-%d", "ms") + pl.col("timeframe").cast(pl.Int64, strict=False),
    pl.Int64(),
    "milliseconds, beside a date like 2016-05-09",
)


class Builder(TableBuilder):
    """Diginetica: product pages that were seen, sessions of mostly unknown users.

    `train-item-views.csv` has `sessionId;userId;itemId;timeframe;eventdate`, rows of a session in
    no order of time; `userId` is mostly "NA" and is kept as text. `timestamp` is the day plus
    `timeframe`: it orders a session and tells its day, but not its hour.

    Source: rn5l/session-rec, preprocessing/session_based/preprocess_diginetica.py; products by
    RUCAIBox/RecSysDatasets, conversion_tools/src/extended_dataset.py, whose columns it tells by
    their places.

    Example:
        >>> from hrec_tf.data.datasets.diginetica import Builder
        >>> list(Builder.TABLES)
        ['events', 'items', 'item_categories']
    """

    TABLES = {
        "events": Table(
            "train-item-views.csv",
            archive=_ARCHIVE,
            separator=";",
            columns={
                SESSION: whole("sessionId"),
                ITEM: whole("itemId"),
                TIMESTAMP: _TIME,
                "user_id": text("userId"),
            },
        ),
        "items": Table(
            "products.csv",
            archive=_ARCHIVE,
            separator=";",
            fields=("item", "price_log2", "name_tokens"),
            skipped=1,
            columns={
                ITEM: whole("item"),
                "price_log2": number("price_log2"),
                "name_tokens": text("name_tokens"),
            },
        ),
        "item_categories": Table(
            "product-categories.csv",
            archive=_ARCHIVE,
            separator=";",
            fields=("item", "category"),
            skipped=1,
            columns={ITEM: whole("item"), "category": whole("category")},
        ),
    }
