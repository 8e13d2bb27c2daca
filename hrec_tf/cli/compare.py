"""`hrec compare`: several models, several seeds, one table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hrec_tf.cli import console
from hrec_tf.cli.new_files import require_free
from hrec_tf.cli.options import (
    EvaluationOptions,
    LogOptions,
    RecipeOptions,
    command_line,
    takes,
    whole_numbers,
)

if TYPE_CHECKING:
    from hrec_tf.data.log_source import LogSource, PreparedLog
    from hrec_tf.recipe import Recipe
    from hrec_tf.reporting.comparison import Comparison

MODELS = "pop,s-pop,ppop,item-knn,gru4rec,rnn-concat,hrnn-init,hrnn-all"


@takes(log=LogOptions, settings=RecipeOptions, ranking=EvaluationOptions)
def compare(
    *,
    models: Annotated[
        str, typer.Option(help="Models, or recipes of them, with commas between.")
    ] = MODELS,
    seeds: Annotated[str, typer.Option(help="One run each, e.g. 0,1,2.")] = "0",
    metric: Annotated[
        str | None, typer.Option(help="What is tested against the best baseline (Recall@k).")
    ] = None,
    report: Annotated[
        str | None, typer.Option(help="HTML file to write: tables, figures, data, settings.")
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
    _refuse_twice("models", names, "every row is another model")
    numbers = whole_numbers("seeds", seeds)
    _refuse_twice("seeds", numbers, "the same seed gives the same run, which is no spread")
    recipes = settings.load(source, names, ranking.changes())
    own = {"models": models, "seeds": seeds, "metric": metric, "report": report}
    run_comparison(
        source,
        recipes,
        seeds=numbers,
        metric=metric,
        as_json=json,
        report=report,
        command=command_line("compare", own, log, settings, ranking),
    )


def _refuse_twice(name: str, values: Sequence[str | int], reason: str) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"`{name}` names {twice[0]!r} more than once, but {reason}. Name it once.")


def run_comparison(
    source: "LogSource",
    recipes: "list[Recipe]",
    *,
    seeds: list[int],
    metric: str | None,
    as_json: bool | None,
    report: str | None = None,
    command: str | None = None,
    keep: bool = False,
) -> "tuple[Comparison, PreparedLog]":
    """Measures recipes one after the other and prints their table.

    Args:
        source: the log.
        recipes: what is compared.
        seeds: of every model.
        metric: what is tested; Recall at the largest k if None.
        as_json: whether JSON is printed instead; None prints nothing.
        report: HTML file to write, if any.
        command: the command line that makes the comparison again, for the report.
        keep: whether each result holds what was fitted with the last seed.
    """
    from hrec_tf import checks
    from hrec_tf.recipes.keys import EVALUATION
    from hrec_tf.reporting.comparison import Comparison, measure

    for key in ("ks", "average"):
        _require_same(recipes, key, EVALUATION[key])
    ks = recipes[0].evaluation.get("ks", EVALUATION["ks"])
    names = [f"{name}@{k}" for name in ("Recall", "MRR", "Precision", "NDCG") for k in ks]
    metric = checks.require_choice("metric", metric or f"Recall@{max(ks)}", names)
    if report is not None:
        require_free("report", report, kind="reports")
    progress = console.Progress()
    with progress.watch(f"preparing {source.data}"):
        prepared = source.load()
        # Made once, inside what is watched.
        _ = prepared.train, prepared.test
    results = [
        measure(recipe, prepared, seeds=seeds, watch=progress.watch, keep=keep)
        for recipe in recipes
    ]
    comparison = Comparison(tuple(results), metric, tuple(seeds))
    # Printed first: what was measured is not lost if the page cannot be written.
    if as_json is not None:
        _print(comparison, prepared, source, as_json=as_json)
    if report is not None:
        from hrec_tf.data.atomic_files import write_whole
        from hrec_tf.reporting.report import report as page

        with progress.watch(f"writing {report}"):
            write_whole(report, page(comparison, prepared, source, command=command).encode())
        progress.console.print(f"Written to {report}.", markup=False, soft_wrap=True)
    return comparison, prepared


def _require_same(recipes: "list[Recipe]", key: str, default: object) -> None:
    """Refuses recipes whose metrics have no common columns."""

    def value(recipe: "Recipe") -> object:
        held = recipe.evaluation.get(key, default)
        return tuple(held) if isinstance(held, list) else held

    first, *others = recipes
    expected = value(first)
    for recipe in others:
        given = value(recipe)
        if given != expected:
            raise ValueError(
                f"`{key}` is {given!r} in the recipe {recipe.name}, but {expected!r} in "
                f"{first.name}, and one table has one of them. Pass --{key} to set it for all."
            )


def _print(
    comparison: "Comparison", prepared: "PreparedLog", source: "LogSource", *, as_json: bool
) -> None:
    from hrec_tf.reporting.tables import comparison_table

    if as_json:
        split = {"split": source.split_label, "num_new_users": prepared.split.num_new_users}
        split["unseen_target_share"] = prepared.split.unseen_target_share
        console.print_json({"data": source.data, **split, **comparison.to_dict()})
        return
    counts = prepared.split.train.counts
    print(
        f"{source.data}, {source.split_label}: training {counts.events:,} events, "
        f"{counts.sessions:,} sessions, {counts.users:,} users, {counts.items:,} items"
    )
    console.print_table(comparison_table(comparison))
