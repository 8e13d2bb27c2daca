"""`hrec compare`: several models, several seeds, one table."""

from typing import TYPE_CHECKING, Annotated

import typer

from hrec_tf.cli import console
from hrec_tf.cli.options import (
    EvaluationOptions,
    LogOptions,
    RecipeOptions,
    takes,
    whole_numbers,
)

if TYPE_CHECKING:
    from hrec_tf.data.log_source import LogSource
    from hrec_tf.recipe import Recipe


@takes(log=LogOptions, settings=RecipeOptions, ranking=EvaluationOptions)
def compare(
    *,
    models: Annotated[
        str, typer.Option(help="Models, or recipes of them, with commas between.")
    ] = "pop,s-pop,ppop,item-knn,gru4rec,rnn-concat,hrnn-init,hrnn-all",
    seeds: Annotated[str, typer.Option(help="One run each, e.g. 0,1,2.")] = "0",
    metric: Annotated[
        str | None, typer.Option(help="What is tested against the best baseline (Recall@k).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    log: LogOptions,
    settings: RecipeOptions,
    ranking: EvaluationOptions,
) -> None:
    """Trains and evaluates several models on the same points and prints one table.

    Mean ± sd over seeds, share of ties, training time, and for trained models a paired
    Wilcoxon test against the best baseline, Holm-corrected.
    """
    console.import_tensorflow()
    source = log.source()
    names = [name.strip() for name in models.split(",")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"`models` names {twice[0]!r} more than once, but every row is another model. "
            "Name it once."
        )
    recipes = settings.load(source, names, ranking.changes())
    run_comparison(
        source, recipes, seeds=whole_numbers("seeds", seeds), metric=metric, as_json=json
    )


def run_comparison(
    source: "LogSource",
    recipes: "list[Recipe]",
    *,
    seeds: list[int],
    metric: str | None,
    as_json: bool,
) -> None:
    """Measures recipes one after the other and prints their table."""
    from hrec_tf import checks
    from hrec_tf.recipes.keys import EVALUATION
    from hrec_tf.reporting.comparison import Comparison, measure
    from hrec_tf.reporting.tables import comparison_table

    ks = recipes[0].evaluation.get("ks", EVALUATION["ks"])
    names = [f"{name}@{k}" for name in ("Recall", "MRR", "Precision", "NDCG") for k in ks]
    metric = checks.require_choice("metric", metric or f"Recall@{max(ks)}", names)
    progress = console.Progress()
    with progress.watch(f"preparing {source.data}"):
        prepared = source.load()
        # Made once, inside what is watched.
        _ = prepared.train, prepared.test
    results = [measure(recipe, prepared, seeds=seeds, watch=progress.watch) for recipe in recipes]
    comparison = Comparison(tuple(results), metric, tuple(seeds))
    if as_json:
        console.print_json({"data": source.data, **comparison.to_dict()})
        return
    counts = prepared.split.train.counts
    print(
        f"{source.data}, {source.split_name}: training {counts.events:,} events, "
        f"{counts.sessions:,} sessions, {counts.users:,} users, {counts.items:,} items"
    )
    console.print_table(comparison_table(comparison))
