"""`hrec quickstart`: from nothing to a comparison in a few minutes."""

from typing import Annotated

import typer

from hrec_tf.cli import console

MODELS = ("pop", "s-pop", "ppop", "item-knn", "gru4rec", "hrnn-init")
EPOCHS = 5
"""The recipes train for 10; half of them show the way in half the time."""


def quickstart(
    epochs: Annotated[int, typer.Option(help="Passes over the log; the recipes have 10.")] = EPOCHS,
    seed: Annotated[int, typer.Option(help="Of weights, dropout and order.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Trains HRNN Init and GRU4Rec on the bundled Online Retail log, beside four baselines."""
    console.import_tensorflow()
    from hrec_tf.cli.compare import run_comparison
    from hrec_tf.data.log_source import LogSource
    from hrec_tf.recipe import Recipe, with_shared_changes

    source = LogSource("online-retail")
    recipes = [Recipe.for_data(source.data, model) for model in MODELS]
    recipes = with_shared_changes(recipes, {"epochs": epochs})
    console.Progress().console.print(
        f"Online Retail by the HRNN protocol: the last session of each user is predicted. "
        f"{epochs} epochs each.",
        markup=False,
    )
    run_comparison(source, recipes, seeds=[seed], metric=None, as_json=json)
