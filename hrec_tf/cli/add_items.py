"""`hrec add-items`: new items for a trained model, from their features alone."""

from typing import Annotated

import typer

from hrec_tf.cli import console


def add_items(
    run: Annotated[str, typer.Argument(help="A folder that `hrec train` wrote.")],
    items: Annotated[
        str, typer.Option(help="File with a column `item` and the feature columns of training.")
    ],
    out: Annotated[str, typer.Option(help="Folder to make; recommend and export read it.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Adds items that training did not have, without training again.

    They are scored by their features; the scores of the others stay as they are.
    """
    console.import_tensorflow()
    from hrec_tf.data.log_features import read_table
    from hrec_tf.recommender import Recommender

    table = read_table(items)
    with console.Progress().watch(f"loading {run}"):
        recommender = Recommender.load(run)
    dtype = recommender.vocabulary.raw_ids.dtype
    if "item" in table.columns:
        table = table.with_columns(table["item"].cast(dtype))
    path = recommender.with_items(table).save(out)
    if json:
        console.print_json({"path": str(path), "added": len(table)})
        return
    print(f"{len(table)} items added; written to {path}. Ask it: hrec recommend {path}")
