"""`hrec tune`: the settings of a recipe that do best on validation sessions."""

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrec_tf.cli import console
from hrec_tf.cli.new_files import require_free
from hrec_tf.cli.options import (
    EvaluationOptions,
    LogOptions,
    RecipeOptions,
    command_line,
    takes,
)

if TYPE_CHECKING:
    from hrec_tf.data.log_source import LogSource
    from hrec_tf.tuning import Trial, Tuned


@takes(log=LogOptions, settings=RecipeOptions, ranking=EvaluationOptions)
def tune(
    *,
    model: Annotated[str, typer.Option(help="A model, or a recipe of one.")] = "hrnn-init",
    trials: Annotated[
        int, typer.Option(help="How many are to be finished in the end, with those of --study.")
    ] = 20,
    study: Annotated[
        str | None,
        typer.Option(
            help="SQLite file of the trials (runs/<log>-<model>-study.db); one that is there is "
            "gone on with, also by several processes at once."
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(help="What is searched: a name, or a path that ends in .toml (the model's)."),
    ] = None,
    print_space: Annotated[
        bool,
        typer.Option("--print-space", help="Search nothing: print the model's space, to edit."),
    ] = False,
    objective: Annotated[
        str | None, typer.Option(help="What is made large, e.g. MRR@20 (Recall@k).")
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(help="median ends bad trials early, none does not (median, if trained)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the search and of every training.")] = 0,
    output: Annotated[
        str | None, typer.Option(help="Recipe file to write, for `hrec train --recipe`.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(help="HTML file to write: trials, figures, settings.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    log: LogOptions,
    settings: RecipeOptions,
    ranking: EvaluationOptions,
) -> None:
    """Searches for the settings that rank validation sessions best; the test part is not read.

    Validation sessions are the split's own, or each user's last training session. What is set
    beside the recipe, such as --learning-rate, is not searched.
    """
    console.import_tensorflow()
    # Every trial compiles a model of its own, of which TensorFlow warns from the fifth on.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    console.require(lambda: import_module("hrec_tf.tuning"))
    from hrec_tf import tuning
    from hrec_tf.tuning import space as spaces

    source = log.source()
    changes = settings.changes() | ranking.changes()
    (recipe,) = settings.load(source, [model], ranking.changes())
    if print_space:
        _require_alone({"space": space, "output": output, "report": report, "study": study})
        print(spaces.text_of(spaces.name_for(recipe)), end="")
        return
    if output is not None:
        require_free("output", output, kind="recipes")
    if report is not None:
        require_free("report", report, kind="reports")
    searched = tuning.Space.load(space) if space else tuning.Space.for_recipe(recipe)
    searched = searched.without(changes)
    tuning.check_search(
        recipe, searched, trials=trials, objective=objective, seed=seed, pruner=pruner
    )
    path = _study_file(study, source, recipe.name)
    progress = console.Progress()
    with progress.watch(f"preparing {source.data}"):
        prepared = source.load()
        training, validation = prepared.for_validation()
    try:
        tuned = tuning.tune(
            recipe,
            searched,
            training,
            validation,
            trials=trials,
            study=path,
            objective=objective,
            seed=seed,
            pruner=pruner,
            features=prepared.features,
            watch=progress.watch,
            show=lambda trial: _show(progress, trial),
        )
    except KeyboardInterrupt:
        progress.console.print(
            f"What was tried is kept in {path}: the same command goes on.", soft_wrap=True
        )
        raise
    own: dict[str, Any] = {"model": model, "trials": trials, "study": study, "space": space}
    own |= {"objective": objective, "pruner": pruner, "seed": seed}
    own |= {"output": output, "report": report}
    command = command_line("tune", own, log, settings, ranking)
    _write(tuned, source, validation, command, output=output, report=report)
    if json:
        files = {"study": str(path), "output": output, "report": report}
        console.print_json({"data": source.data, **tuned.to_dict(), **files})
        return
    _print(tuned, source, path, output=output, report=report)


def _require_alone(others: dict[str, str | None]) -> None:
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"`--print-space` was given with `--{name} {value}`, which it would ignore, since "
                "it searches nothing. Leave one of them out."
            )


def _study_file(study: str | None, source: "LogSource", recipe: str) -> Path:
    from hrec_tf.tuning.study import require_folder

    if study is not None:
        return require_folder(Path(study))
    path = Path("runs") / f"{source.stem}-{recipe}-study.db"
    path.parent.mkdir(exist_ok=True)
    return path


def _show(progress: console.Progress, trial: "Trial") -> None:
    value = trial.state if trial.value is None else f"{trial.value:.4f}"
    changes = "  ".join(f"{key}={_short(held)}" for key, held in trial.changes.items())
    progress.console.print(
        f"trial {trial.number}: {value}  {changes}", markup=False, soft_wrap=True
    )
    if trial.error:
        progress.console.print(trial.error, markup=False, soft_wrap=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _write(
    tuned: "Tuned",
    source: "LogSource",
    validation: Any,
    command: str,
    *,
    output: str | None,
    report: str | None,
) -> None:
    from hrec_tf.data.atomic_files import write_whole

    said = f"{command} ({tuned.objective} {tuned.best.value:.4f} on validation sessions)"
    if output is not None:
        write_whole(output, tuned.to_toml(said).encode())
    if report is not None:
        from hrec_tf.tuning.page import page

        name = source.data if source.is_named else Path(source.data).name
        facts = {
            "validation points": f"{int((validation.target_weights > 0).sum()):,}",
            "items": f"{validation.num_items:,}",
        }
        text = page(tuned, data=name, facts=facts, command=command, source=said)
        write_whole(report, text.encode())


def _print(
    tuned: "Tuned", source: "LogSource", path: Path, *, output: str | None, report: str | None
) -> None:
    counts = ", ".join(f"{tuned.count(s)} {s}" for s in ("complete", "pruned", "failed"))
    print(f"{tuned.objective} {tuned.best.value:.4f} in trial {tuned.best.number} ({counts}), with")
    for key, value in tuned.best.changes.items():
        print(f"  {key:28} {_short(value)}")
    print(f"on validation sessions. The trials are in {path}.")
    if report is not None:
        print(f"Report: {report}.")
    if output is not None:
        print(
            f"Written to {output}. Train it: hrec train --data {source.data} … --recipe {output} "
            f"--model {tuned.base.name}"
        )
