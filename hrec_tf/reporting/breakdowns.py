"""Break-downs of a report: the tested metric in groups of points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hrec_tf.data.log_source import PreparedLog
from hrec_tf.evaluation import Evaluation, by_history_length, by_item_age, by_position
from hrec_tf.reporting.comparison import Comparison
from hrec_tf.reporting.sections import NOTHING, Cell, Grid
from hrec_tf.reporting.tables import label, spread

SHORT_HISTORY = 6
"""The longest short history, in sessions, as published."""
LONG_SESSION = 5
"""Events from which a session counts in the break-down by position, as published."""


@dataclass(frozen=True)
class Breakdown:
    """Values in groups of points.

    Args:
        title, about: what the groups are.
        groups: group -> method -> mean over seeds; NaN where a group has no point.
        grid: the same as a table.
    """

    title: str
    about: str
    groups: Mapping[str, Mapping[str, float]]
    grid: Grid

    @property
    def has_points(self) -> bool:
        """Whether two groups at least can be compared."""
        filled = [any(np.isfinite(v) for v in group.values()) for group in self.groups.values()]
        return sum(filled) > 1


def breakdowns(comparison: Comparison, prepared: PreparedLog) -> list[Breakdown]:
    """By length of the user's history, by position, and in logs with times by age of the item."""
    test = prepared.test
    made = [
        _breakdown(
            comparison,
            lambda evaluation, options: by_history_length(
                evaluation.ranks, test, threshold=SHORT_HISTORY, **options
            ),
            {
                "short": f"up to {SHORT_HISTORY} earlier sessions",
                "long": f"more than {SHORT_HISTORY}",
            },
            "By length of the user's history",
            "Does knowing more of a user help? Test sessions are parted by how many sessions the "
            "user had before.",
        ),
        _breakdown(
            comparison,
            lambda evaluation, options: by_position(
                evaluation.ranks, test, min_session_length=LONG_SESSION, **options
            ),
            {"beginning": "event 2", "middle": "events 3 and 4", "end": "event 5 and later"},
            "By position in the session",
            "What a user did before matters most while the session is young. Only sessions of at "
            f"least {LONG_SESSION} events count, and their predicted events are parted by place.",
        ),
    ]
    if prepared.split.train.has_times:
        made.append(_by_item_age(comparison, prepared))
    return made


def _by_item_age(comparison: Comparison, prepared: PreparedLog) -> Breakdown:
    unseen = prepared.split.unseen_target_share
    dropped = "" if unseen is None else f": they were {unseen:.1%} of the test targets"
    return _breakdown(
        comparison,
        lambda evaluation, options: by_item_age(
            evaluation.ranks, prepared.test, prepared.train, **options
        ),
        {
            "hour": "first seen in the last hour of training",
            "day": "in the last day, not hour",
            "week": "in the last week, not day",
            "older": "before that",
        },
        "By age of the predicted item",
        "Are new items found? Predicted events are parted by when training first saw their item. "
        f"Items that training never saw are dropped from the test{dropped}.",
    )


def _breakdown(
    comparison: Comparison,
    part: Callable[[Evaluation, dict[str, Any]], dict[str, Evaluation]],
    meaning: Mapping[str, str],
    title: str,
    about: str,
) -> Breakdown:
    metric = comparison.metric
    groups: dict[str, dict[str, float]] = {group: {} for group in meaning}
    sessions: dict[str, int] = {}
    ordered = sorted(comparison.results, key=lambda result: -result.metric(metric).mean)
    for result in ordered:
        found = []
        # Counting has one evaluation for all seeds.
        for evaluation in {id(e): e for e in result.evaluations}.values():
            options = {"ks": (int(metric.split("@")[1]),), "ties": evaluation.ties}
            found.append(part(evaluation, options))
        for group in meaning:
            groups[group][label(result)] = float(np.mean([f[group].metrics[metric] for f in found]))
            sessions[group] = found[0][group].num_sessions
    head = [Cell("method")]
    head += [
        Cell(group, f"{text}; {sessions[group]:,} sessions") for group, text in meaning.items()
    ]
    rows = [
        (Cell(label(result)), *(_value(groups[group][label(result)]) for group in meaning))
        for result in ordered
    ]
    caption = f"{metric}, mean inside each session, then over sessions"
    return Breakdown(title, about, groups, Grid(caption, tuple(head), tuple(rows)))


def _value(value: float) -> Cell:
    return Cell(spread(value, None) if np.isfinite(value) else NOTHING)
