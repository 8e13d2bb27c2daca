"""`hrec train`: one model, one seed, one run folder."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hrec_tf.cli import console
from hrec_tf.cli.options import EvaluationOptions, LogOptions, RecipeOptions, takes


@takes(log=LogOptions, settings=RecipeOptions, ranking=EvaluationOptions)
def train(
    *,
    model: Annotated[str, typer.Option(help="A model, or a recipe of one.")] = "hrnn-init",
    seed: Annotated[int, typer.Option(help="Of weights, dropout, order and negatives.")] = 0,
    out: Annotated[
        str | None, typer.Option(help="Run folder to make (runs/<log>-<model>-seed<seed>).")
    ] = None,
    validation: Annotated[
        bool,
        typer.Option(
            "--validation", help="Hold back each user's last training session; rank it each epoch."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    log: LogOptions,
    settings: RecipeOptions,
    ranking: EvaluationOptions,
) -> None:
    """Trains a model, evaluates it on the test sessions, and writes a run folder."""
    console.import_tensorflow()
    from hrec_tf import recipe as recipes
    from hrec_tf import runs
    from hrec_tf.training import TrainingProgress

    source = log.source()
    (recipe,) = settings.load(source, [model], ranking.changes())
    stem = source.data if source.is_named else Path(source.data).name.split(".")[0]
    path = runs.require_free(out or Path("runs") / f"{stem}-{recipe.name}-seed{seed}")
    progress = console.Progress()
    with progress.watch(f"preparing {source.data}"):
        prepared = source.load()
        histories, held_out = prepared.train, None
        if validation:
            histories, held_out = prepared.for_validation()
    with progress.watch(f"training {recipe.name}") as show:
        callbacks = []
        if not recipe.entry.is_baseline:
            pairs = recipes.num_pairs(recipe, histories)
            callbacks = [TrainingProgress(pairs, show=show)]
        begin = time.perf_counter()
        fitted = recipes.train(
            recipe, histories, seed=seed, validation=held_out, callbacks=callbacks
        )
        seconds = time.perf_counter() - begin
    with progress.watch(f"evaluating {recipe.name}"):
        evaluation = recipes.evaluate(recipe, fitted, prepared.test)
    metrics = {**evaluation.summary(), "training_seconds": seconds}
    runs.save(
        path,
        fitted,
        recipe=recipe,
        log=source,
        seed=seed,
        vocabulary=prepared.vocabulary,
        metrics=metrics,
        validation=validation,
    )
    if json:
        console.print_json({"run": str(path), "model": recipe.model, "metrics": metrics})
        return
    _print_result(evaluation, seconds, path)


def _print_result(evaluation: Any, seconds: float, path: Path) -> None:
    for name, value in evaluation.metrics.items():
        print(f"{name:13} {value:.4f}")
    print(
        f"{evaluation.num_points:,} points of {evaluation.num_sessions:,} test sessions, "
        f"{evaluation.ties} ties ({evaluation.tie_share:.1%} of points); trained in "
        f"{seconds:.1f} s.\nWritten to {path}. Read it back: hrec evaluate {path}"
    )
