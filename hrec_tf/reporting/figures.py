"""Figures of a report, as SVG text that stands inside a page; see `hrec_tf.reporting.drawing`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hrec_tf.reporting.drawing import (
    GRID,
    LINES,
    WIDTH,
    canvas,
    cut,
    legend,
    settings,
    to_svg,
)

ROW_HEIGHT = 27
CURVE_WIDTH, CURVE_HEIGHT = 300, 210

TRAINED, COUNTED = "#0b5cad", "#6f7782"
# Colours that people who are colour-blind tell apart, and a shape for each.
GROUPS = (
    ("#0072b2", "o"),
    ("#d55e00", "D"),
    ("#009e73", "s"),
    ("#cc79a7", "^"),
    ("#56b4e9", "v"),
    ("#b58900", "P"),
    ("#333333", "X"),
    ("#999999", "*"),
)


@dataclass(frozen=True)
class Row:
    """One method of a figure.

    Args:
        label: its name.
        value: mean of the metric.
        low, high: its interval.
        trained: whether it is a model and no counted baseline.
    """

    label: str
    value: float
    low: float
    high: float
    trained: bool


def interval_figure(rows: Sequence[Row], *, name: str, metric: str) -> str:
    """Draws a point and its interval for each method, best first.

    Args:
        rows: at least one.
        name: of the figure; unique in its page.
        metric: what is drawn.
    """
    rows = sorted(rows, key=lambda row: -row.value)
    with settings():
        figure, axes = _rows_of([row.label for row in rows], metric)
        for place, row in enumerate(rows):
            color = TRAINED if row.trained else COUNTED
            axes.plot([row.low, row.high], [place, place], color=color, linewidth=2.5)
            axes.plot(row.value, place, marker="o", color=color, markersize=7)
        _from_zero(axes, max(row.high for row in rows))
        about = "; ".join(f"{r.label} {r.value:.4f} [{r.low:.4f}, {r.high:.4f}]" for r in rows)
        kinds = [
            Line2D([], [], marker="o", linewidth=2.5, color=color, label=kind)
            for kind, color, there in (
                ("trained", TRAINED, any(row.trained for row in rows)),
                ("counted", COUNTED, not all(row.trained for row in rows)),
            )
            if there
        ]
        legend(figure, kinds)
        return to_svg(figure, name=name, title=f"{metric} of each method", about=about)


def group_figure(
    groups: Mapping[str, Mapping[str, float]], *, name: str, metric: str, title: str
) -> str:
    """Draws a method's values in several groups of points as marks on one line.

    Args:
        groups: at most 7, group -> method -> value; NaN where a group has no point.
        name: of the figure; unique in its page.
        metric: what is drawn.
        title: what the figure shows, for those who do not see it.
    """
    labels = list(next(iter(groups.values())))
    with settings():
        figure, axes = _rows_of(labels, metric, len(groups))
        values = np.array([[group[label] for label in labels] for group in groups.values()])
        for place, column in enumerate(values.T):
            known = column[np.isfinite(column)]
            if len(known):
                axes.plot([known.min(), known.max()], [place, place], color=GRID, linewidth=4)
        marks = []
        for (color, marker), group, row in zip(GROUPS[: len(groups)], groups, values, strict=True):
            style: dict[str, Any] = {
                "marker": marker,
                "color": color,
                "linestyle": "none",
                "markersize": 7,
            }
            axes.plot(row, range(len(labels)), **style)
            marks.append(Line2D([], [], label=group, **style))
        _from_zero(axes, float(np.nanmax(values)))
        legend(figure, marks)
        about = "; ".join(
            f"{label}: " + ", ".join(f"{group} {held[label]:.4f}" for group, held in groups.items())
            for label in labels
        )
        return to_svg(figure, name=name, title=title, about=about)


def curve_figure(
    curves: Mapping[str, Sequence[float]], *, name: str, quantity: str, title: str
) -> str:
    """Draws one value per epoch, a line for each curve.

    Args:
        curves: what each line is, e.g. "seed 0" -> values; a legend stands below if there
            are several.
        name: of the figure; unique in its page.
        quantity: what is drawn, e.g. "loss".
        title: above the figure.
    """
    with settings():
        height = CURVE_HEIGHT + (18 * -(-len(curves) // 3) if len(curves) > 1 else 0)
        figure, axes = canvas(CURVE_WIDTH, height)
        lines = []
        for place, (label, values) in enumerate(curves.items()):
            style = ("-", "--", ":")[place // len(LINES) % 3]
            epochs = range(1, len(values) + 1)
            color = LINES[place % len(LINES)]
            lines += axes.plot(
                epochs, values, style, color=color, marker="o", markersize=3.5, label=cut(label)
            )
        axes.set_title(cut(title), loc="left")
        axes.set_xlabel("epoch")
        axes.set_ylabel(quantity)
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        longest = max(map(len, curves.values()))
        axes.set_xlim(1 - 0.04 * longest, longest + 0.04 * longest)
        if len(curves) > 1:
            legend(figure, lines)
        about = "; ".join(
            f"{label}: {', '.join(f'{value:.4g}' for value in values)}"
            for label, values in curves.items()
        )
        return to_svg(figure, name=name, title=f"{title}: {quantity} per epoch", about=about)


def _rows_of(labels: Sequence[str], metric: str, marks: int = 1) -> tuple[Figure, Axes]:
    """A figure with a row for each label, the first on top, and room for a legend of marks."""
    legend_rows = -(-marks // 3)
    figure, axes = canvas(WIDTH, 48 + 18 * legend_rows + ROW_HEIGHT * len(labels))
    axes.set_yticks(range(len(labels)), [cut(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel(metric)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    return figure, axes


def _from_zero(axes: Axes, largest: float) -> None:
    # A part of the scale only would make small differences look large.
    axes.set_xlim(0, 1.06 * largest if largest > 0 else 1)
