"""Builder of the TensorFlow data set `online_retail_uci`."""

import polars as pl

from hrec_tf.data.datasets.table_builder import TableBuilder
from hrec_tf.data.datasets.tables import Table, identifier, number, text, time, whole
from hrec_tf.schema import ITEM, SESSION, TIMESTAMP, USER

__all__ = ["Builder"]

# The page describes the letter of a cancellation as "c", and the sheet has "C".
_CANCELLED = pl.col("InvoiceNo").str.contains("^[Cc]")


class Builder(TableBuilder):
    """Online Retail: purchases of a wholesaler's customers; an invoice is a session.

    The sheet of `Online Retail.xlsx` has
    `InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country`.
    Cancellations, whose invoice begins with C, and rows without a customer are not kept, as in the
    bundled tables; items such as POST, which are no products, are, as there. A time is taken as
    UTC. Descriptions and prices are those of the row.

    Source: Chen, D. (2015), Online Retail, UCI Machine Learning Repository,
    doi:10.24432/C5BW33, licence CC BY 4.0.

    Example:
        >>> from hrec_tf.data.datasets.online_retail_uci import Builder
        >>> list(Builder.TABLES)
        ['events']
    """

    TABLES = {
        "events": Table(
            "Online Retail.xlsx",
            archive="online+retail.zip",
            separator="\t",
            columns={
                USER: whole("CustomerID"),
                ITEM: identifier("StockCode"),
                TIMESTAMP: time("InvoiceDate", "%Y-%m-%d %H:%M:%S"),
                SESSION: whole("InvoiceNo"),
                "quantity": whole("Quantity"),
                "description": text("Description"),
                "unit_price": number("UnitPrice"),
                "country": text("Country"),
            },
            keep=(pl.col("CustomerID") != "") & ~_CANCELLED,
        )
    }
