"""`hrec evaluate`: a run folder once more, also with other measures."""

from typing import Annotated

import typer

from hrec_tf.cli import console
from hrec_tf.cli.options import EvaluationOptions, takes


@takes(ranking=EvaluationOptions)
def evaluate(
    *,
    run: Annotated[str, typer.Argument(help="A folder that `hrec train` wrote.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ranking: EvaluationOptions,
) -> None:
    """Evaluates a trained model on the test sessions of its log."""
    console.import_tensorflow()
    from hrec_tf import fitting, runs

    progress = console.Progress()
    held = runs.load(run)
    with progress.watch(f"preparing {held.log.data}"):
        prepared = held.load_log()
    was_taken_on = held.about.get("test_data")
    same_points = was_taken_on in (None, prepared.test.fingerprint)
    if not same_points:
        progress.console.print(
            f"Note: the test sessions of {held.log.data} are not those that {runs.METRICS} of the "
            "run was taken on: the log was changed. The numbers do not compare.",
            markup=False,
            soft_wrap=True,
        )
    with progress.watch(f"evaluating {held.recipe.name}"):
        fitted = held.fitted(prepared.train, prepared.features)
        found = fitting.evaluate(
            held.recipe, fitted, prepared.test, training=prepared.train, **ranking.changes()
        )
    if json:
        about = {"run": run, "model": held.recipe.model, "split": held.log.split_label}
        same = {"same_test_sessions": same_points}
        console.print_json({**about, **same, "metrics": found.summary()})
        return
    for name, value in found.metrics.items():
        print(f"{name:13} {value:.4f}")
    print(
        f"{found.num_points:,} points of {found.num_sessions:,} test sessions, {found.ties} ties "
        f"({found.tie_share:.1%} of points), {found.average} average; split {held.log.split_label}"
    )
