"""`hrec count-on`: what is taken now, for a trained model, without training again."""

from typing import Annotated

import typer

from hrec_tf.cli import console
from hrec_tf.schema import ITEM, TIMESTAMP


def count_on(
    run: Annotated[str, typer.Argument(help="A folder that `hrec train` wrote, or this command.")],
    events: Annotated[
        str, typer.Option(help="File with the events that came since, of whatever users.")
    ],
    out: Annotated[str, typer.Option(help="Folder to make; recommend and export read it.")],
    item: Annotated[str, typer.Option(help="Its column of items.")] = ITEM,
    timestamp: Annotated[str, typer.Option(help="Its column of times.")] = TIMESTAMP,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Counts later events in a model with a popularity of the hour, without training again.

    Events that were counted before, and those of unknown items, are passed over.
    """
    console.import_tensorflow()
    import polars as pl

    from hrec_tf.data.event_log import EventLog
    from hrec_tf.recommender import Recommender

    with console.Progress().watch(f"loading {run}"):
        recommender = Recommender.load(run)
    is_text = recommender.vocabulary.raw_ids.dtype == pl.String
    # A column stands for the users, who do not matter.
    log = EventLog.read(
        events, user=item, item=item, timestamp=timestamp, text_ids=("item",) if is_text else ()
    )
    frame = log.frame
    counted = recommender.count_on(zip(frame[ITEM], frame[TIMESTAMP], strict=True))
    path = recommender.save(out)
    if json:
        console.print_json({"path": str(path), "events": len(frame), "counted": counted})
        return
    print(
        f"{counted:,} of {len(frame):,} events counted; the others were before, or of unknown "
        f"items. Written to {path}. Ask it: hrec recommend {path}"
    )
