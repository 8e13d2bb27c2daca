"""One self-contained HTML page on a comparison, or on a single run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hrec_tf.data.log_source import LogSource, PreparedLog
from hrec_tf.evaluation import Evaluation, Interval, confidence_intervals
from hrec_tf.recipe import Recipe
from hrec_tf.reporting import figures, pages, sections
from hrec_tf.reporting.breakdowns import breakdowns
from hrec_tf.reporting.cautions import cautions
from hrec_tf.reporting.comparison import Comparison, Result
from hrec_tf.reporting.tables import label
from hrec_tf.reporting.verdict import verdict

RESAMPLES = 2000


def report(
    comparison: Comparison,
    prepared: PreparedLog,
    source: LogSource,
    *,
    command: str | None = None,
) -> str:
    """Returns an HTML page on a comparison.

    It holds the verdict, all metrics with intervals and tests, what to keep in mind, learning
    curves, break-downs, the data, every setting, and how to make it again.

    Args:
        comparison: one result or several, on the same points.
        prepared: the log they were taken on.
        source: where it came from.
        command: the command line that makes the page again, as text.
    """
    results = comparison.results
    intervals = confidence_intervals(
        [result.evaluations for result in results], prepared.test, resamples=RESAMPLES
    )
    name = source.data if source.is_named else Path(source.data).name
    subject = label(results[0]) if len(results) == 1 else f"{len(results)} methods compared"
    return pages.render(
        "report.html.j2",
        title=f"{subject} on {name}",
        verdict=verdict(comparison),
        facts=_facts(comparison),
        results=sections.results_grid(comparison, intervals),
        notes=_notes(comparison),
        interval_figures=_interval_figures(comparison, intervals),
        tests=sections.tests_grid(comparison),
        cautions=cautions(comparison, prepared, source),
        curves=_curves(comparison),
        breakdowns=_breakdowns(comparison, prepared),
        about_data=_about_data(source, name),
        parts=sections.parts_grid(prepared.split),
        habits=sections.habits(prepared.split),
        steps=sections.steps_grid(prepared.split),
        settings=sections.settings_grids(comparison, source),
        command=command,
        about_page=_about_page(comparison, prepared),
    )


def report_of_run(
    recipe: Recipe,
    evaluation: Evaluation,
    prepared: PreparedLog,
    source: LogSource,
    *,
    seed: int,
    seconds: float,
    history: Mapping[str, Sequence[float]] | None = None,
    command: str | None = None,
) -> str:
    """Returns the same page on one training run.

    Args:
        recipe: its settings.
        evaluation: what the test sessions gave.
        prepared: the log it was trained and evaluated on.
        source: where that came from.
        seed: of the run.
        seconds: training time.
        history: what `fit` logged per epoch; None for a baseline.
        command: the command line that makes the run again, as text.
    """
    result = Result(recipe, (evaluation,), (seconds,), () if history is None else (history,))
    metric = next(name for name in reversed(evaluation.metrics) if name.startswith("Recall@"))
    return report(Comparison((result,), metric, (seed,)), prepared, source, command=command)


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    first = comparison.results[0].evaluations[0]
    return [
        ("points", f"{first.num_points:,}"),
        ("test sessions", f"{first.num_sessions:,}"),
        ("candidates", f"{first.ranks.num_candidates:,} ({first.ranks.candidates})"),
        ("ties", first.ties),
        ("average", first.average),
        ("seed" if len(comparison.seeds) == 1 else "seeds", ", ".join(map(str, comparison.seeds))),
    ]


def _notes(comparison: Comparison) -> list[str]:
    first = comparison.results[0].evaluations[0]
    units = {"micro": "sessions, each with its points", "session": "sessions", "user": "users"}
    return [
        f"Intervals: percentile bootstrap, {RESAMPLES:,} draws of the test "
        f"{units[first.average]}; seeds are averaged first. They say how a mean would vary with "
        "other sessions, not with other seeds. Precision@k is Recall@k divided by k, since each "
        "point has one right answer. Ties: points whose target shares its score with another item."
    ]


def _interval_figures(
    comparison: Comparison, intervals: Sequence[Mapping[str, Interval]]
) -> list[tuple[str, Markup]]:
    if len(comparison.results) == 1:
        return []
    name, _, k = comparison.metric.partition("@")
    drawn = []
    for metric in (comparison.metric, f"{'Recall' if name == 'MRR' else 'MRR'}@{k}"):
        rows = [
            figures.Row(
                label(result),
                result.metric(metric).mean,
                interval[metric].low,
                interval[metric].high,
                trained=not result.recipe.entry.is_baseline,
            )
            for result, interval in zip(comparison.results, intervals, strict=True)
        ]
        svg = figures.interval_figure(
            rows, name=f"figure-{metric.replace('@', '-')}", metric=metric
        )
        drawn.append((f"{metric} with its 95 % interval, best first", Markup(svg)))
    return drawn


def _curves(comparison: Comparison) -> list[tuple[str, Markup]]:
    return [
        ("", Markup(figures.curve_figure(lines, name=f"curve-{n}", quantity=quantity, title=title)))
        for n, (title, quantity, lines) in enumerate(sections.curves(comparison), start=1)
    ]


def _breakdowns(comparison: Comparison, prepared: PreparedLog) -> list[dict[str, Any]]:
    parts = []
    for number, part in enumerate(breakdowns(comparison, prepared), start=1):
        svg = None
        title = f"{comparison.metric} of each method, {part.title[0].lower()}{part.title[1:]}"
        if part.has_points:
            svg = Markup(
                figures.group_figure(
                    part.groups,
                    name=f"breakdown-{number}",
                    metric=comparison.metric,
                    title=title,
                )
            )
        parts.append(
            {
                "title": part.title,
                "about": part.about,
                "grid": part.grid,
                "figure": svg,
                "missing": "No figure: fewer than two of the groups hold a test session.",
                "id": f"breakdown-table-{number}",
            }
        )
    return parts


def _about_data(source: LogSource, name: str) -> str:
    if source.is_named:
        return f"{name}: {source.about}"
    listed = ", ".join(f"{key} {value}" for key, value in source.to_dict()["preparation"].items())
    return f"{name}: prepared with {listed or 'defaults'}; split {source.split_label}."


def _about_page(comparison: Comparison, prepared: PreparedLog) -> list[str]:
    seeds = ", ".join(map(str, comparison.seeds))
    return [
        f"{pages.about_making()} Training times include compilation.",
        f"Seeds: {seeds}. Fingerprint of the items: {prepared.vocabulary.fingerprint}.",
    ]
