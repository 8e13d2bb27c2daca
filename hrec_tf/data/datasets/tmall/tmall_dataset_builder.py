"""Builder of the TensorFlow data set `tmall`."""

import polars as pl

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Column, Table, choice, epoch, text, texts, whole
from hrec_tf.schema import EVENT_TYPE, ITEM, TIMESTAMP, USER

__all__ = ["Builder"]

_ARCHIVE = "data_format1.zip"
_ACTIONS = {"0": "click", "1": "cart", "2": "purchase", "3": "favourite"}
# The publisher names no year; any one keeps the order, since the log spans May to November.
_DAY = Column(
    "time_stamp",
    epoch("1970" + pl.col("time_stamp"), "%Y%m%d", "s"),
    pl.Int64(),
    "a day like 0829 (month and day)",
)


class Builder(TableBuilder):
    """Tmall: what shoppers clicked, put into the cart, bought and liked.

    `user_log_format1.csv` has `user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type`;
    a time is a day of an unnamed year, counted here as a day of 1970. Brand, age and gender may be
    missing and are text.

    Source: Alibaba, "IJCAI-15 Dataset", page at Tianchi; rn5l/session-rec,
    preprocessing/session_based/preprocess_tmall.py.

    Example:
        >>> from hrec_tf.data.datasets.tmall import Builder
        >>> list(Builder.TABLES)
        ['events', 'users']
    """

    TABLES = {
        "events": Table(
            "user_log_format1.csv",
            archive=_ARCHIVE,
            columns={
                USER: whole("user_id"),
                ITEM: whole("item_id"),
                TIMESTAMP: _DAY,
                EVENT_TYPE: choice("action_type", _ACTIONS),
                "category": whole("cat_id"),
                "seller": whole("seller_id"),
                "brand": text("brand_id"),
            },
        ),
        "users": Table(
            "user_info_format1.csv",
            archive=_ARCHIVE,
            columns={
                USER: whole("user_id"),
                **texts("age_range", "gender"),
            },
        ),
    }
