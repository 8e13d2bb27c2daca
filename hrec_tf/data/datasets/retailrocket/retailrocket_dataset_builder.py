"""Builder of the TensorFlow data set `retailrocket`."""

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, choice, text, whole
from hrec_tf.schema import EVENT_TYPE, ITEM, TIMESTAMP, USER

__all__ = ["Builder"]

_TYPES = {name: name for name in ("view", "addtocart", "transaction")}


class Builder(TableBuilder):
    """Retailrocket: what visitors of a shop saw, put into the cart and bought.

    `events.csv` has `timestamp,visitorid,event,itemid,transactionid`, times in milliseconds, rows
    in no order of time; `transactionid` is not kept. Properties of items change with time; their
    text is hashed.

    Source: Retail Rocket (2016), page of the data set.

    Example:
        >>> from hrec_tf.data.datasets.retailrocket import Builder
        >>> list(Builder.TABLES)
        ['events', 'item_properties']
    """

    TABLES = {
        "events": Table(
            "events.csv",
            columns={
                USER: whole("visitorid"),
                ITEM: whole("itemid"),
                TIMESTAMP: whole("timestamp"),
                EVENT_TYPE: choice("event", _TYPES),
            },
        ),
        "item_properties": Table(
            "item_properties_part*.csv",
            columns={
                ITEM: whole("itemid"),
                TIMESTAMP: whole("timestamp"),
                "property": text("property"),
                "value": text("value"),
            },
        ),
    }
