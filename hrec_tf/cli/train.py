"""`hrec train`: one model, one seed, one run folder."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from hrec_tf import checks
from hrec_tf.cli import console
from hrec_tf.cli.options import (
    EvaluationOptions,
    LogOptions,
    RecipeOptions,
    command_line,
    takes,
)


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
            "--validation",
            help="Hold back each user's last training session, or the split's own part, or of "
            "`temporal` the last period of training; rank it each epoch. A recipe with a patience, "
            "or neighbours without a weight, does so anyway.",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training of --out that was left.")
    ] = False,
    checkpoint_seconds: Annotated[
        float | None,
        typer.Option(
            help="Seconds between two savings of what --resume goes on from (60, or 5% of the "
            "time if that is longer).",
            show_default=False,
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Train nothing: say what memory and time it would take, by a short try."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    log: LogOptions,
    settings: RecipeOptions,
    ranking: EvaluationOptions,
) -> None:
    """Trains a model, evaluates it on the test sessions, and writes a run folder.

    While it trains, <out>.unfinished holds what --resume goes on from, and event files that
    TensorBoard can show.
    """
    console.import_tensorflow()
    from hrec_tf import fitting, runs
    from hrec_tf.reporting.report import report_of_run

    source = log.source()
    (recipe,) = settings.load(source, [model], ranking.changes())
    # Whoever waits for the best epoch must see each one ranked.
    validation = validation or recipe.needs_validation
    if plan:
        ignored = {"out": out, "resume": resume or None, "checkpoint_seconds": checkpoint_seconds}
        _print_plan(recipe, source, seed, validation=validation, json=json, ignored=ignored)
        return
    path = runs.require_free(out or Path("runs") / f"{source.stem}-{recipe.name}-seed{seed}")
    run: dict[str, Any] = {"recipe": recipe, "log": source, "seed": seed, "validation": validation}
    unfinished, checkpoint = _what_is_kept(path, run, resume, checkpoint_seconds)
    progress = console.Progress()
    with progress.watch(f"preparing {source.data}"):
        prepared = source.load()
        histories, held_out = prepared.train, None
        if validation:
            histories, held_out = prepared.for_validation()
        recipe = run["recipe"] = recipe.fitted_to(prepared.features, histories)
    with unfinished.kept_if_left() if unfinished else nullcontext():
        with progress.watch(f"training {recipe.name}") as show:
            callbacks = _callbacks(recipe, histories, unfinished, show)
            begin = time.perf_counter()
            fitted = fitting.train(
                recipe,
                histories,
                seed=seed,
                validation=held_out,
                callbacks=callbacks,
                checkpoint=checkpoint,
                features=prepared.features,
            )
            seconds = checkpoint.seconds if checkpoint else time.perf_counter() - begin
        recipe = run["recipe"] = fitting.with_chosen(recipe, fitted)
        fitting.count_held_out(fitted, held_out)
        with progress.watch(f"evaluating {recipe.name}"):
            evaluation = fitting.evaluate(recipe, fitted, prepared.test, training=prepared.train)
        metrics = {**evaluation.summary(), "training_seconds": seconds}
        best = None if recipe.entry.is_baseline else fitting.best_epoch(recipe, fitted)
        if best is not None:
            metrics |= {"epochs": len(fitted.history.history["loss"]), "best_epoch": best}
        own = {"model": model, "seed": seed, "out": out, "validation": validation or None}
        page = report_of_run(
            recipe,
            evaluation,
            prepared,
            source,
            seed=seed,
            seconds=seconds,
            history=None if recipe.entry.is_baseline else fitted.history.history,
            command=command_line("train", own, log, settings, ranking),
        )
        runs.save(
            path,
            fitted,
            **run,
            vocabulary=prepared.vocabulary,
            metrics=metrics,
            histories=histories,
            test=prepared.test,
            schemas=None if prepared.features is None else prepared.features.schemas,
            users=prepared.users,
            report=page,
            tensorboard=unfinished.tensorboard if unfinished else None,
        )
    if json:
        console.print_json({"run": str(path), "model": recipe.model, "metrics": metrics})
        return
    _print_result(evaluation, seconds, path, best)


def _print_plan(
    recipe: Any,
    source: Any,
    seed: int,
    *,
    validation: bool,
    json: bool,
    ignored: dict[str, Any],
) -> None:
    from hrec_tf import planning

    for name, value in ignored.items():
        if value is not None:
            raise ValueError(
                f"`{name}` was {value!r}, but `--plan` trains nothing, so it would be ignored. "
                "Leave it out."
            )
    progress = console.Progress()
    with progress.watch(f"preparing {source.data}"):
        prepared = source.load()
        histories = prepared.for_validation()[0] if validation else prepared.train
        recipe = recipe.fitted_to(prepared.features, histories)
    with progress.watch(f"trying {recipe.name}"):
        made = planning.plan(recipe, histories, seed=seed, features=prepared.features)
    if json:
        console.print_json(made.as_dict())
    else:
        print(made.to_text())


def _what_is_kept(
    path: Path, run: dict[str, Any], resume: bool, checkpoint_seconds: float | None
) -> tuple[Any, Any]:
    """Returns the unfinished folder and the checkpoint of a training; None each for a baseline."""
    from hrec_tf import runs
    from hrec_tf.cli.unfinished import Unfinished
    from hrec_tf.training import Checkpoint

    if checkpoint_seconds is not None:
        mend = "Pass e.g. 60, or leave it out."
        checks.require_number("checkpoint_seconds", checkpoint_seconds, minimum=0, mend=mend)
    recipe = run["recipe"]
    if recipe.entry.is_baseline:
        _refuse_for_baseline(recipe, resume=resume or None, checkpoint_seconds=checkpoint_seconds)
        return None, None
    unfinished = Unfinished(path, runs.settings(**run), resume=resume)
    return unfinished, Checkpoint(unfinished.checkpoint, every_seconds=checkpoint_seconds)


def _refuse_for_baseline(recipe: Any, **options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise ValueError(
                f"`{name}` was {value!r}, but {recipe.model} is counted in one go, so there is "
                "nothing to go on with. Leave it out."
            )


def _callbacks(recipe: Any, histories: Any, unfinished: Any, show: Any) -> list[Any]:
    from hrec_tf.fitting import num_pairs
    from hrec_tf.training import EventFiles, TrainingProgress

    if unfinished is None:
        return []
    progress = TrainingProgress(num_pairs(recipe, histories), show=show)
    return [progress, EventFiles(unfinished.tensorboard)]


def _print_result(evaluation: Any, seconds: float, path: Path, best_epoch: int | None) -> None:
    for name, value in evaluation.metrics.items():
        print(f"{name:13} {value:.4f}")
    best = "" if best_epoch is None else f", best epoch {best_epoch}"
    print(
        f"{evaluation.num_points:,} points of {evaluation.num_sessions:,} test sessions, "
        f"{evaluation.ties} ties ({evaluation.tie_share:.1%} of points); trained in "
        f"{seconds:.1f} s{best}.\nWritten to {path}. Read it back: hrec evaluate {path}"
    )
