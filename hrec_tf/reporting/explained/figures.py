"""Figures of what a model does inside, as SVG text; numbers come from `numbers` and `vectors`.

Shades are of one hue, from light to dark, and lines have shapes of their own: nothing is told by
hue alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from hrec_tf.reporting.drawing import (
    INK,
    LINES,
    QUIET,
    WIDTH,
    canvas,
    cut,
    legend,
    settings,
    to_svg,
)
from hrec_tf.reporting.explained.numbers import EVEN, PRODUCT, Binned, Runs
from hrec_tf.reporting.explained.vectors import OTHERS, Places

HEIGHT = 270
STRIP_ROW = 22
SHADES = "Blues"
MARKERS = ("o", "D", "s", "^", "v", "P")
_LETTERS = 40
"""Of all labels below an axis; more do not fit unless they are turned."""
GROUPS = len(MARKERS)
"""Groups of items that a map tells apart; the rest are others."""
# Name -> the paper's symbol, and what it stands for.
_NAMES = {
    "context_attention": ("α(c)", "local contexts"),
    "state_attention": ("α(h)", "temporary contexts"),
    "attention": ("α", "attention"),
    EVEN: ("1/n", "all alike"),
    "reset": ("r", "reset"),
    "update": ("z", "update"),
    "drift": ("G(d)", "drift"),
    "context": ("G(c)", "local context"),
    PRODUCT: ("r ⊙ G(d)", ""),
}


def symbol_of(name: str) -> str:
    """Returns the paper's symbol of an attention or a gate; another name stays as it is."""
    return _NAMES.get(name, (name, ""))[0]


def label_of(name: str) -> str:
    """Returns the symbol and what it stands for."""
    return ", ".join(filter(None, _NAMES.get(name, (name, ""))))


class Strip(NamedTuple):
    """One row of `strip_figure`: a value at each event.

    Attributes:
        label: what it is.
        values: float (T,), NaN where there is none; shaded from the least to the greatest.
    """

    label: str
    values: np.ndarray


def distance_figure(binned: Binned, *, name: str, title: str, distance: str) -> str:
    """Draws mean attention weights by distance, a line for each channel.

    Args:
        binned: with a pair in at least one bin.
        name: of the figure; unique in its page.
        title: what it shows.
        distance: what the bins are.
    """
    filled = np.flatnonzero(binned.pairs)
    shown = np.arange(filled[0], filled[-1] + 1)
    with settings():
        figure, axes = canvas(WIDTH, HEIGHT)
        lines, said = [], []
        channels = [channel for channel in binned.means if channel != EVEN]
        for place, channel in enumerate([*channels, EVEN]):
            style: dict[str, Any] = {"color": QUIET, "linestyle": "--"}
            if channel != EVEN:
                style = {"color": LINES[place % len(LINES)], "marker": MARKERS[place % GROUPS]}
            means = binned.means[channel][shown]
            (line,) = axes.plot(range(len(shown)), means, label=label_of(channel), **style)
            lines.append(line)
            said.append(_said(label_of(channel), [binned.labels[n] for n in shown], means))
        labels = [binned.labels[n] for n in shown]
        axes.set_xticks(range(len(shown)), labels)
        if sum(map(len, labels)) > _LETTERS:
            axes.tick_params(axis="x", rotation=40)
            for tick in axes.get_xticklabels():
                tick.set(ha="right", rotation_mode="anchor")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(distance)
        axes.set_ylabel("mean weight")
        axes.grid(axis="y")
        legend(figure, lines)
        return to_svg(figure, name=name, title=title, about="; ".join(said))


def run_figure(runs: Runs, *, name: str, gate: str) -> str:
    """Draws the mean of a gate by run of like events before, for events that go on and others.

    Args:
        runs: the means.
        name: of the figure; unique in its page.
        gate: its name.
    """
    labels = [*map(str, runs.lengths[:-1]), f"{runs.lengths[-1]}+"]
    with settings():
        figure, axes = canvas(WIDTH, HEIGHT)
        lines, said = [], []
        for place, (label, means, style) in enumerate(
            (
                ("a category in common", runs.continuing, "-"),
                ("none in common", runs.breaking, "--"),
            )
        ):
            look: dict[str, Any] = {
                "color": LINES[place],
                "marker": MARKERS[place],
                "linestyle": style,
            }
            lines += axes.plot(range(len(labels)), means, label=label, **look)
            said.append(_said(label, labels, means))
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlabel("events of a common category in a row before")
        axes.set_ylabel(f"mean of {symbol_of(gate)}")
        axes.grid(axis="y")
        legend(figure, lines)
        title = f"{symbol_of(gate)} by the run of like events before"
        return to_svg(figure, name=name, title=title, about="; ".join(said))


def attention_figure(weights: np.ndarray, *, first: int, name: str, title: str) -> str:
    """Draws attention over one history: a row for each prediction, a column for each event.

    Every row is shaded up to its own greatest weight: the first rows have few events to share
    their weight among, and would outshine the others.

    Args:
        weights: float (T, T), row t over the events 0..t.
        first: number of the first event.
        name: of the figure; unique in its page.
        title: what it shows.
    """
    size = len(weights)
    greatest = weights.max(axis=1, keepdims=True)
    shares = weights / np.where(greatest > 0, greatest, 1)
    row, column = np.tril_indices(size)
    with settings():
        figure, axes = canvas(WIDTH, WIDTH - 40)
        _shade(axes, column, row, shares[row, column])
        _number(axes, size, first, both=True)
        axes.set_xlabel("event")
        axes.set_ylabel("prediction after event")
        most = [f"{t + first}: {weights[t].argmax() + first}" for t in range(size)]
        about = f"Most weight, prediction after an event: event. {', '.join(most)}"
        return to_svg(figure, name=name, title=title, about=about)


def strip_figure(
    strips: Sequence[Strip], *, first: int, breaks: Sequence[int], name: str, title: str
) -> str:
    """Draws values over one history, a row for each, with its least and greatest at the right.

    Args:
        strips: at least one.
        first: number of the first event.
        breaks: places of events to mark above the columns.
        name: of the figure; unique in its page.
        title: what it shows.
    """
    size = len(strips[0].values)
    with settings():
        figure, axes = canvas(WIDTH, 60 + STRIP_ROW * len(strips))
        said, ranges = [], []
        for place, strip in enumerate(strips):
            known = np.flatnonzero(np.isfinite(strip.values))
            least, most = (
                (f(strip.values[known]) if len(known) else np.nan) for f in (np.min, np.max)
            )
            width = most - least if most > least else 1.0
            _shade(axes, known, np.full(len(known), place), (strip.values[known] - least) / width)
            ranges.append(f"{_short(least)}–{_short(most)}" if len(known) else "")
            events = [str(event + first) for event in known]
            said.append(_said(strip.label, events, strip.values[known]))
        if len(breaks):
            axes.plot(breaks, np.full(len(breaks), -0.85), "v", color=INK, markersize=4)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(len(strips) - 0.5, -1.2 if len(breaks) else -0.5)
        _number(axes, size, first, both=False)
        axes.set_yticks(range(len(strips)), [cut(strip.label) for strip in strips])
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(len(strips)), ranges)
        for side in (axes.yaxis, right.yaxis):
            side.set_tick_params(length=0)
        for spine in (*axes.spines.values(), *right.spines.values()):
            spine.set_visible(False)
        axes.set_xlabel("event")
        return to_svg(figure, name=name, title=title, about="; ".join(said))


def map_figure(places: Places, groups: Mapping[str, np.ndarray], *, name: str, title: str) -> str:
    """Draws items and global contexts in a plane; contexts are stars with their numbers.

    Args:
        places: of the vectors.
        groups: label -> rows of its items: at most `GROUPS` with a shape of their own, and
            first, if there are any, `OTHERS`, which are small and grey.
        name: of the figure; unique in its page.
        title: what it shows.
    """
    with settings():
        figure, axes = canvas(WIDTH, WIDTH + 50)
        look: dict[str, Any] = {"linestyle": "none", "alpha": 0.75}
        marks = []
        for place, (label, rows) in enumerate(groups.items(), start=-(OTHERS in groups)):
            style: dict[str, Any] = {"marker": ".", "color": "#a4abb6", "markersize": 4.0}
            if label != OTHERS:
                style = {"marker": MARKERS[place], "color": LINES[place], "markersize": 3.5}
            axes.plot(*places.items[rows].T, label=cut(label), **style, **look)
            marks.append(Line2D([], [], label=cut(label), **{**style, "markersize": 6}, **look))
        star: dict[str, Any] = {
            "marker": "*",
            "color": INK,
            "markeredgecolor": "white",
            "linestyle": "none",
        }
        axes.plot(*places.contexts.T, markersize=11, **star)
        for number, place in enumerate(places.contexts, start=1):
            axes.annotate(
                str(number),
                place,
                (4, 3),
                textcoords="offset points",
                fontsize=8,
                bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7},
            )
        marks.append(Line2D([], [], label="global context", markersize=10, **star))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", adjustable="datalim")
        axes.spines[:].set_visible(False)
        legend(figure, marks)
        counts = ", ".join(f"{label}: {len(rows)} items" for label, rows in groups.items())
        about = f"{counts}; {len(places.contexts)} global contexts"
        return to_svg(figure, name=name, title=title, about=about)


def _shade(axes: Axes, x: np.ndarray, y: np.ndarray, shares: np.ndarray) -> None:
    """Fills unit squares around places, by shares in 0..1."""
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    squares = np.stack([x, y], axis=1)[:, None] + corners
    colors = colormaps[SHADES](0.06 + 0.94 * np.asarray(shares))
    # No clipping and no edges: they would double the size of the page.
    axes.add_collection(PolyCollection(squares, facecolors=colors, linewidths=0, clip_on=False))


def _number(axes: Axes, size: int, first: int, *, both: bool) -> None:
    """Numbers about every fifth event, at least the first."""
    step = 1 if size <= 12 else 5
    shown = [place for place in range(size) if (place + first) % step == 0 or size <= 12]
    labels = [str(place + first) for place in shown]
    axes.set_xticks(shown, labels)
    if both:
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_yticks(shown, labels)
    axes.xaxis.set_minor_locator(FixedLocator([]))


def _short(value: float) -> str:
    return f"{value:.2g}" if abs(value) >= 1e-4 else "0"


def _said(label: str, places: Sequence[str], values: np.ndarray) -> str:
    """The numbers of a line, for those who do not see it."""
    pairs = [
        f"{place} {value:.3g}"
        for place, value in zip(places, values, strict=True)
        if np.isfinite(value)
    ]
    return f"{label}: {', '.join(pairs)}"
