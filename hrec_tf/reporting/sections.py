"""The parts of a report: tables whose cells have a second line, and texts beside figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from hrec_tf.data.event_log import EventLog
from hrec_tf.data.filter_report import FilterStep
from hrec_tf.data.inspection import inspect
from hrec_tf.data.log_source import LogSource
from hrec_tf.data.splits import Split
from hrec_tf.evaluation import Interval
from hrec_tf.recipe import Recipe
from hrec_tf.recipes.keys import NUMBERS, SECTIONS
from hrec_tf.reporting.cautions import package_recipe, preparation_steps
from hrec_tf.reporting.comparison import Comparison
from hrec_tf.reporting.tables import label, p_value, recipe_label, spread
from hrec_tf.reporting.verdict import LEVEL
from hrec_tf.schema import TIMESTAMP

_WRITTEN = {"recall": "Recall", "mrr": "MRR", "precision": "Precision", "ndcg": "NDCG"}
"""How Keras' names of metrics are written."""
NOTHING = "–"
"""Stands where there is no value."""


class Cell(NamedTuple):
    """What stands in one place of a table: text, and a smaller line under it."""

    text: str
    small: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Grid:
    """A table; the first column names its rows.

    Args:
        caption: what it shows.
        head: names of the columns.
        rows: one cell per column.
    """

    caption: str
    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


def shown_metrics(comparison: Comparison) -> list[str]:
    """Recall, MRR, NDCG and coverage at each k, as far as they were measured; what is tested."""
    shown = ("Recall", "MRR", "NDCG", "Coverage")
    names = comparison.results[0].evaluations[0].metrics
    return [
        name
        for name in names
        if name == comparison.metric or name.removeprefix("full ").split("@")[0] in shown
    ]


def results_grid(comparison: Comparison, intervals: Sequence[Mapping[str, Interval]]) -> Grid:
    """Metrics of each method: mean and deviation over seeds, interval over sessions."""
    metrics = shown_metrics(comparison)
    best = {
        name: max(result.metric(name).mean for result in comparison.results) for name in metrics
    }
    rows = []
    for result, interval in zip(comparison.results, intervals, strict=True):
        row = [Cell(label(result), "counted" if result.recipe.entry.is_baseline else "trained")]
        for name in metrics:
            value = result.metric(name)
            # Coverage is of all lists together: it has no value of a session.
            ends = interval.get(name)
            row.append(
                Cell(
                    spread(value.mean, value.sd),
                    f"[{spread(ends.low, None)}, {spread(ends.high, None)}]" if ends else "",
                    len(comparison.results) > 1 and value.mean == best[name],
                )
            )
        seconds = result.training_seconds.mean
        rows.append((*row, Cell(f"{result.tie_share:.1%}"), Cell(f"{seconds:,.1f} s")))
    head = ("method", *metrics, "ties", "training")
    over = "mean ± sd over seeds, " if len(comparison.seeds) > 1 else ""
    best_of = ", the best in bold" if len(rows) > 1 else ""
    caption = f"Metrics: {over}95 % interval over test sessions in brackets{best_of}"
    return Grid(caption, tuple(map(Cell, head)), tuple(rows))


def tests_grid(comparison: Comparison) -> Grid | None:
    """Trained models against the best baseline; None if there is nothing to test."""
    baseline = comparison.best_baseline
    if baseline is None or not comparison.against_best_baseline:
        return None
    results = {result.recipe.name: result for result in comparison.results}
    rows = []
    for name, against in comparison.against_best_baseline.items():
        test = against.test
        rows.append(
            (
                Cell(label(results[name])),
                Cell(f"{test.mean_difference:+.4f}"),
                Cell(f"{test.num_pairs:,}", f"{test.num_zeros:,} without difference"),
                Cell(p_value(test.p_value)),
                Cell(p_value(against.p_holm)),
                Cell("yes" if against.p_holm < LEVEL else "no"),
            )
        )
    head = ("model", "mean difference", "sessions", "p (Wilcoxon)", "p (Holm)", "significant")
    return Grid(
        f"{comparison.metric} against {label(baseline)}, the best baseline: means of each session, "
        "all sessions alike, in pairs",
        tuple(map(Cell, head)),
        tuple(rows),
    )


def parts_grid(split: Split) -> Grid:
    """Sizes of training, validation and test."""
    rows = []
    for name, log in (
        ("training", split.train),
        ("validation", split.validation),
        ("test", split.test),
    ):
        if log is None:
            continue
        counts = log.counts
        users = f"{counts.users:,}" if log.has_users else NOTHING
        new = split.num_new_users if log is split.test else 0
        row = (
            Cell(name),
            Cell(f"{counts.events:,}"),
            Cell(f"{counts.sessions or 0:,}"),
            Cell(users, f"{new:,} new" if new else ""),
            Cell(f"{counts.items:,}"),
            Cell(f"{counts.events / (counts.sessions or 1):.1f}"),
            Cell(_span(log)),
        )
        rows.append(row)
    head = ("part", "events", "sessions", "users", "items", "events per session", "from – to (UTC)")
    return Grid("Parts of the log after preparation", tuple(map(Cell, head)), tuple(rows))


def steps_grid(split: Split) -> Grid | None:
    """What each step of preparation and split left, and what it removed; None without steps."""
    common = preparation_steps(split)
    if not common:
        return None
    rows = [_step_row("as read", common[0], None)]
    rows += [_step_row(step.name, step, step) for step in common]
    for log in (split.train, split.validation, split.test):
        if log is not None:
            rest = log.report.steps[_shared(common, log.report.steps) :]
            rows += [_step_row(step.name, step, step) for step in rest]
    head = ("step", "events", "sessions", "users", "items")
    caption = "What each step left, and under it what it removed"
    return Grid(caption, tuple(map(Cell, head)), tuple(rows))


def habits(split: Split) -> list[str]:
    """What inspection finds in the training part, in sentences."""
    found = inspect(split.train)
    shares = {
        "are on the same item as the event before": found.immediate_repeat_share,
        "are on an item that the user had before": found.known_item_share,
        "share their time with the event before": found.tie_share,
    }
    said = [f"{share:.1%} {what}" for what, share in shares.items() if share is not None]
    return [f"Of the training events {', '.join(said)}.", *split.train.notes]


def settings_grids(comparison: Comparison, source: LogSource) -> list[Grid]:
    """Every setting of every recipe, defaults included; what was changed stands out.

    Trained models and counted methods have a table each, since they have other settings.
    """
    trained = [r.recipe for r in comparison.results if not r.recipe.entry.is_baseline]
    counted = [r.recipe for r in comparison.results if r.recipe.entry.is_baseline]
    return [
        _settings_grid(recipes, source, kind)
        for recipes, kind in ((trained, "Trained models"), (counted, "Counted methods"))
        if recipes
    ]


def curves(comparison: Comparison) -> list[tuple[str, str, dict[str, Sequence[float]]]]:
    """Learning curves: title, quantity, and line -> value per epoch.

    Losses have a figure for each model, since different losses do not compare; a metric of
    the validation has one for all.
    """
    drawn: list[tuple[str, str, dict[str, Sequence[float]]]] = []
    validation: dict[str, dict[str, Sequence[float]]] = {}
    for result in comparison.results:
        lines: dict[str, Sequence[float]] = {}
        for seed, history in zip(comparison.seeds, result.history, strict=False):
            of_seed = f", seed {seed}" if len(result.history) > 1 else ""
            for name, values in history.items():
                if name in ("loss", "val_loss"):
                    kind = "validation" if name == "val_loss" else "training"
                    lines[f"{kind}{of_seed}"] = values
                elif name.startswith("val_"):
                    line = f"{label(result)}{of_seed}"
                    metric, at, k = name.removeprefix("val_").partition("@")
                    metric = _WRITTEN.get(metric, metric)
                    validation.setdefault(f"{metric}{at}{k}", {})[line] = values
        if lines:
            drawn.append((label(result), "loss", lines))
    drawn += [("Validation", name, lines) for name, lines in sorted(validation.items())]
    return drawn


def _span(log: EventLog) -> str:
    if not log.has_times:
        return "no times"
    times = log.frame[TIMESTAMP].to_numpy()
    try:
        days = [datetime.fromtimestamp(int(t), UTC).strftime("%Y-%m-%d") for t in _ends(times)]
    except (ValueError, OverflowError, OSError):
        days = [f"{int(t)} s" for t in _ends(times)]
    return " – ".join(days)


def _ends(times: np.ndarray) -> tuple[int, int]:
    return times.min(), times.max()


def _step_row(name: str, step: FilterStep, before: FilterStep | None) -> tuple[Cell, ...]:
    """A step's sizes; without `before` those at its start."""
    counts = step.before if before is None else step.after
    cells = [Cell(name)]
    for column in ("events", "sessions", "users", "items"):
        now, earlier = getattr(counts, column), getattr(step.before, column)
        change = 0 if now is None or earlier is None else now - earlier
        cells.append(Cell(NOTHING if now is None else f"{now:,}", f"{change:+,}" if change else ""))
    return tuple(cells)


def _shared(common: Sequence[FilterStep], steps: Sequence[FilterStep]) -> int:
    return len(common) if tuple(steps[: len(common)]) == tuple(common) else 0


def _settings_grid(recipes: Sequence[Recipe], source: LogSource, kind: str) -> Grid:
    columns = [_flat(recipe) for recipe in recipes]
    packaged = [package_recipe(recipe, source) for recipe in recipes]
    originals = [None if recipe is None else _flat(recipe) for recipe in packaged]
    rows = []
    for key in _keys(columns):
        row = [Cell(key)]
        for column, original in zip(columns, originals, strict=True):
            value = column.get(key, NOTHING)
            before = value if original is None else original.get(key, NOTHING)
            changed = before != value
            row.append(Cell(value, f"recipe: {before}" if changed else "", changed))
        rows.append(tuple(row))
    head = ("setting", *(recipe_label(recipe) for recipe in recipes))
    caption = f"{kind}, defaults included; in bold what differs from the package's recipe"
    return Grid(caption, tuple(map(Cell, head)), tuple(rows))


def _flat(recipe: Recipe) -> dict[str, str]:
    complete = recipe.complete()
    flat = {"source": complete.source or NOTHING}
    flat |= {key: str(held) for key in NUMBERS if (held := getattr(complete, key)) is not None}
    for section in SECTIONS:
        for key, value in getattr(complete, section).items():
            flat[f"{section}.{key}"] = _plain(value)
    return flat


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _keys(columns: Sequence[Mapping[str, str]]) -> list[str]:
    """All keys, those of a section together."""
    found = list(dict.fromkeys(key for column in columns for key in column))
    order = ["source", *NUMBERS, *SECTIONS]
    return sorted(found, key=lambda key: order.index(key.split(".")[0]))
