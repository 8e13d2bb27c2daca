"""`hrec count-on`: what is taken now, for a trained model, without training again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrec_tf.cli import console
from hrec_tf.schema import ITEM, TIMESTAMP

if TYPE_CHECKING:
    from hrec_tf.recommender import Recommender


def count_on(
    run: Annotated[str, typer.Argument(help="A folder that `hrec train` wrote, or this command.")],
    events: Annotated[
        str,
        typer.Option(help="CSV, TSV, JSON lines or Parquet: events that came since, of all users."),
    ],
    out: Annotated[str, typer.Option(help="Folder to make; recommend and export read it.")],
    item: Annotated[
        str | None, typer.Option(help="Column of items (that of the training log, or `item`).")
    ] = None,
    timestamp: Annotated[
        str | None, typer.Option(help="Column of times (likewise, or `timestamp`).")
    ] = None,
    timestamp_unit: Annotated[
        str | None, typer.Option(help="s, ms, us, ns or auto (likewise).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Counts later events in a model with a popularity of the hour, without training again.

    Events that were counted before, and those of unknown items, are passed over. Repeats and
    events of all types count.
    """
    console.import_tensorflow()
    from hrec_tf import runs
    from hrec_tf.recommender import Recommender

    runs.require_free(out)
    with console.Progress().watch(f"loading {run}"):
        recommender = Recommender.load(run)
    said = {ITEM: item, TIMESTAMP: timestamp, "timestamp_unit": timestamp_unit}
    reading = _reading_of(run, events)
    reading |= {name: value for name, value in said.items() if value is not None}
    taken, notes = _read(events, recommender, reading)
    counted = recommender.count_on(list(taken.rows()))
    path = recommender.save(out)
    if json:
        about = {"path": str(path), "events": len(taken), "counted": counted, "notes": notes}
        console.print_json(about)
        return
    print(*notes, sep="\n", end="\n" if notes else "")
    print(
        f"{counted:,} of {len(taken):,} events counted; the others were before, or of unknown "
        f"items. Written to {path}. Ask it: hrec recommend {path}"
    )


def _reading_of(run: str, events: str) -> dict[str, Any]:
    """How the training log was read, where the folder knows; of a like file, its form too."""
    from hrec_tf import runs
    from hrec_tf.data import catalogue

    if not (Path(run) / runs.CONFIG).is_file():
        return {}
    log = runs.load(run).log
    reading = catalogue.entry(log.data).reading if log.is_named else log.reading
    names = [ITEM, TIMESTAMP, "timestamp_unit"]
    if not log.is_named and Path(log.data).suffixes == Path(events).suffixes:
        names += ["columns", "separator", "format"]
    return {name: of for name in names if (of := reading.get(name))}


def _read(path: str, recommender: "Recommender", reading: dict[str, Any]) -> Any:
    import polars as pl

    from hrec_tf.data.log_table import read_taken

    is_text = recommender.vocabulary.raw_ids.dtype == pl.String
    return read_taken(path, text_items=is_text, **reading)
