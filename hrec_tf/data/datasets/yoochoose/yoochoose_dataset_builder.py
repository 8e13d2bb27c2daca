"""Builder of the TensorFlow data set `yoochoose`."""

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, number, text, time, whole
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP

__all__ = ["Builder"]

_EVENT = {
    SESSION: whole("session"),
    ITEM: whole("item"),
    TIMESTAMP: time("time", "%Y-%m-%dT%H:%M:%S%.fZ", unit="ms"),
}


class Builder(TableBuilder):
    """YooChoose: clicks and purchases in a shop, sessions without users.

    A line of `yoochoose-clicks.dat` is session, time, item, category, without a header; one of
    `yoochoose-buys.dat` is session, time, item, price, quantity. Times are ISO with milliseconds.
    Sessions are in no order.

    Source: RecSys Challenge 2015, page of the challenge; times by CRIPAC-DIG/SR-GNN,
    datasets/preprocess.py.

    Example:
        >>> from hrec_tf.data.datasets.yoochoose import Builder
        >>> list(Builder.TABLES)
        ['events', 'purchases']
    """

    TABLES = {
        "events": Table(
            "yoochoose-clicks.dat",
            archive="yoochoose-data.7z",
            fields=("session", "time", "item", "category"),
            columns={**_EVENT, "category": text("category")},
        ),
        "purchases": Table(
            "yoochoose-buys.dat",
            archive="yoochoose-data.7z",
            fields=("session", "time", "item", "price", "quantity"),
            columns={**_EVENT, "price": number("price"), "quantity": whole("quantity")},
        ),
    }
