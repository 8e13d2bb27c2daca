"""The one freely licensed log that the package carries: Online Retail (Chen, 2015; CC BY 4.0)."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from hrec_tf.schema import ITEM, SESSION, TIMESTAMP, USER

__all__ = ["OnlineRetail", "load_online_retail", "online_retail_path"]

_PURCHASES = {
    USER: pl.Int64(),
    ITEM: pl.String(),
    TIMESTAMP: pl.Int64(),
    SESSION: pl.Int64(),
    "quantity": pl.Int64(),
}
_ITEMS = {ITEM: pl.String(), "description": pl.String(), "median_unit_price": pl.Float64()}
_USERS = {USER: pl.Int64(), "country": pl.String()}


class OnlineRetail(NamedTuple):
    """The three tables of the Online Retail data set, rows in the order of the files.

    Attributes:
        purchases: 397,924 rows of user, item (text), timestamp (Unix seconds), session (the
            invoice) and quantity, in time order; the rows of a session are contiguous.
        items: 3,665 rows of item, description and median_unit_price (GBP).
        users: 4,339 rows of user and country.
    """

    purchases: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame


def online_retail_path() -> Path:
    """Returns the installed folder with purchases.tsv.gz, items.tsv.gz and users.tsv.gz.

    Its README.md holds the citation, the licence (CC BY 4.0) and the changes made to the data.

    Example:
        >>> sorted(path.name for path in online_retail_path().glob("*.gz"))
        ['items.tsv.gz', 'purchases.tsv.gz', 'users.tsv.gz']
    """
    return Path(__file__).resolve().parent / "online_retail"


def load_online_retail() -> OnlineRetail:
    """Reads the bundled Online Retail tables: purchases of a UK gift wholesaler, 2010 to 2011.

    Source: Chen, D. (2015), Online Retail, UCI Machine Learning Repository,
    doi:10.24432/C5BW33, licence CC BY 4.0.

    Returns:
        `OnlineRetail` of three Polars frames. Nothing is filtered: items such as POST are no
        products, and an item may stand twice in an invoice.

    Example:
        >>> load_online_retail().purchases["session"].n_unique()
        18536
    """
    folder = online_retail_path()
    return OnlineRetail(
        purchases=_read(folder / "purchases.tsv.gz", _PURCHASES),
        items=_read(folder / "items.tsv.gz", _ITEMS),
        users=_read(folder / "users.tsv.gz", _USERS),
    )


def _read(path: Path, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.read_csv(path, separator="\t", schema=schema)
