"""Tables and event logs of public data sets, built by TensorFlow Datasets or read of the files."""

import importlib
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from hrec_tf import checks
from hrec_tf.data.datasets import facts, import_tfds
from hrec_tf.data.event_log import EventLog
from hrec_tf.schema import EVENT_TYPE, ITEM, RATING, SESSION, TIMESTAMP, USER

_BATCH = 65_536
_STOCK_NAMES = {"user_id": USER, "movie_id": ITEM, "user_rating": RATING, TIMESTAMP: TIMESTAMP}


def build(name: str, *, files: str | Path, data_dir: str | Path | None = None) -> None:
    """Builds one table of a data set from its publisher's files.

    Args:
        name: data set and, after a slash, the table; its first table if left out.
        files: folder with the files that docs/datasets.md names.
        data_dir: where to build; by default where TensorFlow Datasets builds.

    Raises:
        ImportError: the extra `tfds` is not installed.
        FileNotFoundError: a file is missing; the message says which, and whose it is.
        ValueError: no such data set, one that was built before, or a row that is not as the
            publisher describes it.

    Example:
        >>> from hrec_tf.data.datasets.built import build
        >>> build("ml_1m", files="files", data_dir="built")  # doctest: +SKIP
    """
    builder, about = _builder(name, data_dir)
    if builder.is_prepared():
        raise ValueError(
            f"`name` was {name!r}, which {builder.data_dir} holds already, so that `files` would "
            "be ignored. Read it with read_log, or remove that folder first."
        )
    if not Path(files).is_dir() or not any(Path(files).iterdir()):
        raise FileNotFoundError(
            f"`files` was {str(files)!r}, but there is no such folder, or nothing in it. "
            f"{about.title} is not fetched for you: {about.fetch} Put it into that folder."
        )
    if about.origin == facts.STOCK:
        archive = PurePosixPath(builder.builder_config.download_url).name
        if not (Path(files) / archive).is_file():
            raise FileNotFoundError(
                f"`files` was {str(files)!r}, but holds no {archive}, which {name!r} is built from "
                "and which is not fetched for you. Fetch it from its publisher into that folder."
            )
    download = import_tfds().download.DownloadConfig(manual_dir=files, try_download_gcs=False)
    builder.download_and_prepare(download_config=download)


def read_files(name: str, *, files: str | Path) -> pl.DataFrame:
    """Reads a table straight from its publisher's files, in memory and much faster than `build`.

    Args:
        name: data set and, after a slash, the table; its first table if left out.
        files: folder with the files that docs/datasets.md names.

    Raises:
        ImportError, FileNotFoundError, ValueError: as `build` does; also for data sets whose
            builder is not ours.

    Example:
        >>> from hrec_tf.data.datasets.built import read_files
        >>> movies = read_files("ml_1m/items", files="files")  # doctest: +SKIP
    """
    about, table = _named(name)
    if about.origin != facts.BUILDER:
        raise ValueError(
            f"`name` was {name!r}, which a builder of TensorFlow Datasets reads. Call `build` and "
            "`read_log`, or name a data set that hrec_tf builds."
        )
    return _package(about).Builder.TABLES[table].frame(files, about)


def read_table(name: str, *, data_dir: str | Path | None = None) -> pl.DataFrame:
    """Reads a table that was built before; see `build` for the arguments.

    Rows are in the publisher's order, but for those of `movielens`: its builder shuffles them.

    Raises:
        FileNotFoundError: it has not been built.
    """
    builder, about = _builder(name, data_dir)
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"`name` was {name!r}, but {builder.data_dir} holds no such data set. Build it first, "
            "or pass the `data_dir` where it was built."
        )
    is_stock = about.origin == facts.STOCK
    names = _STOCK_NAMES if is_stock else {column: column for column in builder.info.features}
    examples = builder.as_dataset(split="train", shuffle_files=False)
    batches = examples.map(lambda row: {new: row[old] for old, new in names.items()}).batch(_BATCH)
    frame = pl.concat(pl.DataFrame(dict(batch)) for batch in import_tfds().as_numpy(batches))
    return frame.with_columns(pl.col(pl.Binary).cast(pl.String))


def read_log(name: str, *, data_dir: str | Path | None = None) -> EventLog:
    """Reads a table of events that was built before as an event log; see `build`.

    Raises:
        FileNotFoundError: it has not been built.
        ValueError: the table has no events.

    Example:
        >>> from hrec_tf.data.datasets.built import read_log
        >>> log = read_log("ml_1m", data_dir="built")  # doctest: +SKIP
    """
    frame = read_table(name, data_dir=data_dir)
    has = {column: column for column in (SESSION, EVENT_TYPE, RATING) if column in frame.columns}
    mapped = (USER, ITEM, TIMESTAMP, *has)
    return EventLog.from_frame(
        frame,
        user=USER if USER in frame.columns else None,
        timestamp_unit=facts.entry(name.partition("/")[0]).timestamp_unit,
        context=[column for column in frame.columns if column not in mapped],
        **has,
    )


def _named(name: str) -> tuple[facts.PublicDataset, str]:
    dataset, _, table = name.partition("/")
    about = facts.entry(dataset)
    if about.origin == facts.BUNDLED:
        raise ValueError(
            f"`name` was {name!r}, whose log is in the package and needs no building. Read it with "
            "hrec_tf.data.catalogue.read, or name another data set; 'online_retail_uci' is built "
            "of its publisher's workbook."
        )
    return about, checks.require_choice("table", table or about.tables[0], about.tables)


def _package(about: facts.PublicDataset) -> Any:
    return importlib.import_module(f"hrec_tf.data.datasets.{about.name}")


def _builder(name: str, data_dir: str | Path | None) -> tuple[Any, facts.PublicDataset]:
    about, table = _named(name)
    if about.origin == facts.BUILDER:
        _package(about)  # which registers it
    return import_tfds().builder(f"{about.name}/{table}", data_dir=data_dir), about
