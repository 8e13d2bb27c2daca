"""What the files of numbers in docs/ share: where they are, their metrics, how they are written."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hrec_tf import checks
from hrec_tf.data.atomic_files import write_whole
from hrec_tf.data.log_source import LogSource

DOCS = Path(__file__).parents[1] / "docs"
SECONDS, TIES = "training_seconds", "tie_share"
EPOCHS, BEST_EPOCH = "epochs", "best_epoch"
COVERAGE, LISTS = "Coverage@20", "lists_per_second"
BESIDE = (TIES, SECONDS, EPOCHS, BEST_EPOCH, COVERAGE, LISTS)
"""What is recorded beside the metrics; the epochs only of what is stopped early, coverage and
speed where they were asked for."""
UNBOUNDED = (SECONDS, EPOCHS, BEST_EPOCH, LISTS)
"""What is no share."""

_KS = {
    # The lists of Song et al., whose table these logs stand beside.
    "citeulike-hcrnn": (3, 20),
    "lastfm-hcrnn-sequences": (3, 20),
    "movielens-hcrnn-sequences": (3, 20),
}


LEAVE_ONE_OUT = ("ml-1m-part", "ml-100k", "steam-reviews", "foursquare-nyc-sequences")
"""Logs of whole sequences, measured as Hi-RNN's paper does, among drawn items and among all."""


def ks_of(dataset: str) -> tuple[int, ...]:
    """Returns the lengths of the lists that a log is measured with."""
    return _KS.get(dataset, (10,) if dataset in LEAVE_ONE_OUT else (5, 20))


def metrics_of(dataset: str) -> tuple[str, ...]:
    """Returns the names of the metrics that a log is measured with."""
    names: tuple[str, ...] = ("Recall", "MRR")
    if dataset in LEAVE_ONE_OUT:
        names = ("Recall", "NDCG", "full Recall", "full NDCG")
    return tuple(f"{name}@{k}" for k in ks_of(dataset) for name in names)


def split_of(protocol: str) -> str:
    """Returns the split that a protocol begins with, e.g. "temporal(days=1)"."""
    return protocol.partition(", ")[0]


def is_own_split(dataset: str, protocol: str) -> bool:
    """Whether a protocol has the split that the log's name stands for; others' points differ."""
    return split_of(protocol) == LogSource(dataset).split_label


def read(path: Path) -> list[dict[str, Any]]:
    """Reads a file of records; none if it is not there yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def as_json(records: Sequence[dict[str, Any]]) -> str:
    """One record per line, so that a change shows as one line."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    return f"[\n{lines}\n]\n" if records else "[]\n"


def write(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Writes a file of records, whole or not at all."""
    write_whole(path, as_json(records).encode())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder's files while they are read and written anew."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def check_types(record: dict[str, Any], types: dict[str, tuple[type, ...]], where: str) -> None:
    """Raises ValueError unless a record has these keys and no others, of these types."""
    for name in record:
        checks.require_choice(f"{where}: key", name, types)
    for name, allowed in types.items():
        if name not in record or not isinstance(record[name], allowed):
            wanted = " or ".join("null" if t is type(None) else t.__name__ for t in allowed)
            raise ValueError(
                f"{where}: `{name}` was {record.get(name)!r}, but must be {wanted}. Write it as "
                "the head of benchmarks/report.py says."
            )


def require_value(where: str, metric: str, name: str, value: float | None) -> None:
    """Raises ValueError unless a value is one that the metric can have."""
    if value is not None and (value < 0 or (metric not in UNBOUNDED and value > 1)):
        raise ValueError(
            f"{where}: `{name}` of {metric} was {value}, but must be a fraction in [0, 1] "
            "(seconds and epochs: at least 0). Write .25, not 25."
        )
