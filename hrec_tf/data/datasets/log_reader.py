"""Event logs out of data sets that TensorFlow Datasets has built."""

import importlib
from pathlib import Path

import polars as pl

from hrec_tf.data.datasets import facts, import_tfds
from hrec_tf.data.event_log import EventLog
from hrec_tf.schema import EVENT_TYPE, ITEM, RATING, SESSION, TIMESTAMP, USER

_BATCH = 65_536
_STOCK_NAMES = {"user_id": USER, "movie_id": ITEM, "user_rating": RATING, TIMESTAMP: TIMESTAMP}


def read_log(name: str, *, data_dir: str | Path | None = None) -> EventLog:
    """Reads a data set that was built before as an event log.

    Args:
        name: data set and, after a slash, the table; the table `events` if left out.
        data_dir: where it was built; by default where TensorFlow Datasets builds.

    Raises:
        ImportError: the extra `tfds` is not installed.
        ValueError: no such data set, or one whose log is in the package.
        FileNotFoundError: it has not been built.

    Example:
        >>> from hrec_tf.data.datasets.log_reader import read_log
        >>> log = read_log("ml_1m", data_dir="built")  # doctest: +SKIP
    """
    dataset, _, table = name.partition("/")
    about = facts.entry(dataset)
    if about.origin == facts.BUNDLED:
        raise ValueError(
            f"`name` was {name!r}, whose log is in the package and needs no building. Read it with "
            "hrec_tf.data.catalogue.read, or name another data set."
        )
    tfds = import_tfds()
    is_stock = about.origin == facts.STOCK
    if not is_stock:
        importlib.import_module(f"hrec_tf.data.datasets.{dataset}")
    builder = tfds.builder(f"{dataset}/{table or about.tables[0]}", data_dir=data_dir)
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"`name` was {name!r}, but {builder.data_dir} holds no such data set. Build it first "
            "(docs/datasets.md tells how), or pass the `data_dir` where it was built."
        )
    names = _STOCK_NAMES if is_stock else {column: column for column in builder.info.features}
    examples = builder.as_dataset(split="train", shuffle_files=False)
    batches = examples.map(lambda row: {new: row[old] for old, new in names.items()}).batch(_BATCH)
    frame = pl.concat(pl.DataFrame(dict(batch)) for batch in tfds.as_numpy(batches))
    frame = frame.with_columns(pl.col(pl.Binary).cast(pl.String))
    has = {column: column for column in (SESSION, EVENT_TYPE, RATING) if column in frame.columns}
    mapped = (USER, ITEM, TIMESTAMP, *has)
    return EventLog.from_frame(
        frame,
        user=USER if USER in frame.columns else None,
        timestamp_unit=about.timestamp_unit,
        context=[column for column in frame.columns if column not in mapped],
        **has,
    )
