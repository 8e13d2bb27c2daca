"""Figures of a search, as SVG text that stands inside a page; see `hrec_tf.reporting.drawing`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hrec_tf.reporting.drawing import (
    GRID,
    LINES,
    QUIET,
    WIDTH,
    canvas,
    cut,
    legend,
    settings,
    to_svg,
)
from hrec_tf.tuning.tuned import COMPLETE, PRUNED, Trial

HEIGHT, ROW_HEIGHT = 260, 27


def history_figure(trials: Sequence[Trial], *, name: str, objective: str) -> str:
    """Draws the value of each complete trial, the best value so far, and where trials were pruned.

    Args:
        trials: by number; at least one is complete.
        name: of the figure; unique in its page.
        objective: what is drawn.
    """
    complete = [trial for trial in trials if trial.state == COMPLETE]
    numbers = [trial.number for trial in complete]
    values = [float(trial.value) for trial in complete if trial.value is not None]
    best = np.maximum.accumulate(values)
    pruned = [trial.number for trial in trials if trial.state == PRUNED]
    with settings():
        figure, axes = canvas(WIDTH, HEIGHT)
        last = max(trial.number for trial in trials)
        steps = axes.plot(
            [*numbers, last], [*best, best[-1]], drawstyle="steps-post", color=LINES[0], linewidth=2
        )
        steps[0].set_label("best so far")
        points = axes.plot(
            numbers, values, "o", color=LINES[1], markersize=5, label="complete trial"
        )
        handles: list[Line2D] = [*steps, *points]
        if pruned:
            floor = min(values)
            handles += axes.plot(
                pruned, [floor] * len(pruned), "x", color=QUIET, markersize=6, label="pruned"
            )
        axes.set_xlabel("trial")
        axes.set_ylabel(f"validation {objective}")
        axes.grid(axis="y", color=GRID)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        legend(figure, handles)
        about = "; ".join(f"trial {n}: {v:.4f}" for n, v in zip(numbers, values, strict=True))
        return to_svg(figure, name=name, title=f"{objective} of each trial", about=about)


def importance_figure(importance: Mapping[str, float], *, name: str) -> str:
    """Draws a bar for each setting, in the order given.

    Args:
        importance: key -> its share.
        name: of the figure; unique in its page.
    """
    with settings():
        figure, axes = canvas(WIDTH, 66 + ROW_HEIGHT * len(importance))
        places = range(len(importance))
        axes.barh(places, list(importance.values()), color=LINES[0], height=0.6)
        axes.set_yticks(places, [cut(key) for key in importance])
        axes.set_ylim(len(importance) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the importance")
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        about = "; ".join(f"{key} {share:.3f}" for key, share in importance.items())
        return to_svg(figure, name=name, title="Importance of the settings", about=about)
