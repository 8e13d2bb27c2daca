"""One self-contained HTML page on what a model does inside."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from markupsafe import Markup

from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models.explanation import ExplainedHistory
from hrec_tf.reporting import pages, tables
from hrec_tf.reporting.explained import figures, numbers, vectors
from hrec_tf.reporting.explained.figures import label_of, symbol_of
from hrec_tf.reporting.explained.findings import Findings
from hrec_tf.reporting.explained.numbers import EVEN, Binned, Spread
from hrec_tf.reporting.sections import NOTHING, Cell, Grid

Drawn = list[tuple[str, Markup]]


@dataclass(frozen=True)
class Items:
    """What is known of the items.

    Args:
        vocabulary: of the model.
        descriptions: raw id -> text; may lack items.
        categories: raw id -> categories; may lack items.
    """

    vocabulary: Vocabulary
    descriptions: Mapping[Any, str] = field(default_factory=dict)
    categories: Mapping[Any, Sequence[str]] = field(default_factory=dict)

    def cell(self, raw_id: Any, small: str = "") -> Cell:
        """An item as a table shows it: its text, or its raw id."""
        return Cell(self.descriptions.get(raw_id) or str(raw_id), small)


def page(
    found: Findings,
    items: Items,
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    drawn_name: str,
    has_times: bool,
    command: str | None = None,
) -> str:
    """Returns the page.

    Args:
        found: the numbers.
        items: what is known of the items.
        title: heading of the page.
        facts: further facts for its head, name and value.
        drawn_name: which history is drawn, e.g. "Test history 17".
        has_times: whether its times are seconds.
        command: the command line that makes the page again, as text.
    """
    drawn_figures, drawn_table = _history(found, items, has_times)
    run_figure, run_table = _runs(found)
    map_figure, map_about = _map(found, items)
    return pages.render(
        "explanation.html.j2",
        title=title,
        verdict=lead(found),
        facts=[
            ("histories", f"{found.num_histories:,}"),
            ("events", f"{found.num_events:,}"),
            *facts,
        ],
        skipped=found.skipped,
        attention=_attention(found),
        attention_tables=[attention_grid(binned, distance) for binned, distance in _binned(found)],
        boundaries=boundaries_grid(found),
        magnitudes=magnitudes_grid(found),
        run_figure=run_figure,
        run_table=run_table,
        drawn_about=_drawn_about(found, drawn_name),
        drawn_figures=drawn_figures,
        drawn_table=drawn_table,
        map=map_figure,
        map_about=map_about,
        near_table=near_grid(found, items),
        command=command,
        about_page=[pages.about_making()],
    )


def lead(found: Findings) -> str:
    """Returns what a reader should know first, in a sentence or two."""
    said = []
    if found.by_steps is not None and found.by_steps.pairs[0]:
        means = found.by_steps.means
        times = [
            f"{symbol_of(name)} {means[name][0] / means[EVEN][0]:.2f}" for name in _channels(means)
        ]
        said.append(
            "Weight of the latest event, in multiples of what it would be if all counted alike: "
            f"{', '.join(times)}."
        )
    for name, held in found.boundaries.items():
        if not held.said:
            said.append(f"{name} begins no segment.")
        elif held.true:
            said.append(
                f"{name} finds {_plain(held.recall)} of the events that begin a session, and "
                f"{_plain(held.precision)} of those that it finds do (F1 {_plain(held.f1)})."
            )
    gate = numbers.resetting_gate(found.gates)
    if found.runs is not None and found.runs.all_breaking and found.runs.all_continuing:
        both = (found.runs.all_continuing, found.runs.all_breaking)
        alike, other = (_plain(held.mean) for held in both)
        said.append(
            f"{symbol_of(str(gate))} is {alike} where an event has a category in common with the "
            f"one before it, {other} where it has none."
        )
    elif gate is not None:
        said.append(f"{symbol_of(gate)} is {_spread(found.gates[gate])} at an event.")
    return " ".join(said) or "The model tells of its states alone."


def attention_grid(binned: Binned, distance: str) -> Grid:
    """Mean weights by distance, a row for each bin with a pair."""
    means = binned.means
    channels = [*_channels(means), EVEN]
    rows = [
        (
            Cell(label),
            *(Cell(_plain(means[name][place])) for name in channels),
            Cell(f"{binned.pairs[place]:,}"),
        )
        for place, label in enumerate(binned.labels)
        if binned.pairs[place]
    ]
    head = (distance, *map(label_of, channels), "pairs of events")
    return Grid(f"Mean weight by {distance}", tuple(map(Cell, head)), tuple(rows))


def magnitudes_grid(found: Findings) -> Grid:
    """Means and deviations of gates and of changes of states."""
    rows = [
        (Cell(f"{kind}{label_of(name)}"), Cell(_spread(held)), Cell(f"{held.events:,}"))
        for kind, part in (("", found.gates), ("change of ", found.changes))
        for name, held in part.items()
    ]
    head = ("gate or state", "mean ± sd", "events")
    return Grid("Gates, and changes of states", tuple(map(Cell, head)), tuple(rows))


def boundaries_grid(found: Findings) -> Grid | None:
    """How well a model's segments are the log's sessions; None where it has none to compare."""
    if not found.boundaries:
        return None
    rows = [
        (
            Cell(name),
            *(
                Cell(NOTHING if np.isnan(score) else _plain(score))
                for score in (held.precision, held.recall, held.f1)
            ),
            *(Cell(f"{number:,}") for number in (held.said, held.true)),
        )
        for name, held in found.boundaries.items()
    ]
    head = ("boundary", "precision", "recall", "F1", "segments begin", "sessions begin")
    return Grid(
        "First events of the model's segments against those of the sessions",
        tuple(map(Cell, head)),
        tuple(rows),
    )


def near_grid(found: Findings, items: Items) -> Grid | None:
    """The items nearest to each global context; None where there are none."""
    if found.near is None:
        return None
    ids, cosines = found.near
    raw_ids = items.vocabulary.decode(ids).tolist()
    rows = []
    for place, near in enumerate(raw_ids):
        shares = [
            f"{symbol} {_plain(held[place])}"
            for symbol, held in (("θ", found.topics), ("α", found.memory_attention))
            if held is not None
        ]
        row = [Cell(str(place + 1), ", ".join(shares)), _common_category(near, items)]
        row += [
            items.cell(raw_id, f"{cosine:.2f}")
            for raw_id, cosine in zip(near, cosines[place], strict=True)
        ]
        rows.append(tuple(row))
    head = ["context", "common category"]
    head += [f"{number}." for number in range(1, ids.shape[1] + 1)]
    caption = (
        "The items nearest to each global context, by the cosine under them; under its number its "
        "mean share of a history, θ, and mean weight at an event, α"
    )
    return Grid(caption, tuple(map(Cell, head)), tuple(rows))


def _common_category(raw_ids: Sequence[Any], items: Items) -> Cell:
    counted = Counter(
        category for raw_id in raw_ids for category in set(items.categories.get(raw_id, ()))
    )
    if not counted:
        return Cell(NOTHING)
    category, number = min(counted.items(), key=lambda held: (-held[1], held[0]))
    return Cell(category, f"{number} of {len(raw_ids)}")


def _binned(found: Findings) -> list[tuple[Binned, str]]:
    """What is drawn by distance, if there is a pair of events at all."""
    parts = (
        (found.by_time, "time before the prediction"),
        (found.by_steps, "events before the prediction"),
    )
    return [(binned, name) for binned, name in parts if binned is not None and binned.pairs.any()]


def _attention(found: Findings) -> Drawn:
    return [
        (
            f"Mean attention weight by {distance}",
            Markup(
                figures.distance_figure(
                    binned,
                    name=f"distance-{number}",
                    title=f"Mean attention weight by {distance}",
                    distance=distance,
                )
            ),
        )
        for number, (binned, distance) in enumerate(_binned(found), start=1)
    ]


def _runs(found: Findings) -> tuple[Markup | None, Grid | None]:
    runs, gate = found.runs, numbers.resetting_gate(found.gates)
    if runs is None or gate is None:
        return None, None
    labels = [*map(str, runs.lengths[:-1]), f"{runs.lengths[-1]} or more"]
    rows = [
        (
            Cell(label),
            _counted(runs.continuing[place], runs.num_continuing[place]),
            _counted(runs.breaking[place], runs.num_breaking[place]),
        )
        for place, label in enumerate(labels)
    ]
    total = [Cell("all")]
    for held in (runs.all_continuing, runs.all_breaking):
        total.append(
            Cell(NOTHING) if held is None else Cell(_spread(held), f"events: {held.events:,}")
        )
    head = ("like events in a row before", "a category in common", "none in common")
    grid = Grid(f"Mean of {symbol_of(gate)}", tuple(map(Cell, head)), (*rows, tuple(total)))
    return Markup(figures.run_figure(runs, name="runs", gate=gate)), grid


def _history(found: Findings, items: Items, has_times: bool) -> tuple[Drawn, Grid]:
    drawn = found.drawn
    first = found.drawn_of - len(drawn.raw_ids) + 1
    gates, changes = numbers.gate_means(drawn), numbers.step_changes(drawn)
    held = [items.categories.get(raw_id, ()) for raw_id in drawn.raw_ids]
    before, goes_on = numbers.run_lengths(held)
    breaks = np.flatnonzero((before > 0) & ~goes_on)
    strips = [
        *(figures.Strip(symbol_of(name), one[-1]) for name, one in drawn.attentions.items()),
        *_boundary_strips(drawn),
        *(figures.Strip(symbol_of(name), one) for name, one in gates.items()),
        *(
            figures.Strip(f"change of {name}", np.concatenate([[np.nan], one]))
            for name, one in changes.items()
        ),
    ]
    shown: Drawn = []
    if strips:
        title = "Attention of the last prediction, boundaries, gates, and changes of states"
        marked = "; ▾ no category in common with the event before" if len(breaks) else ""
        svg = figures.strip_figure(
            strips, first=first, breaks=breaks.tolist(), name="strip", title=title
        )
        shown.append((f"{title}: each row from its least to its greatest{marked}", Markup(svg)))
    for number, (name, weights) in enumerate(drawn.attentions.items(), start=1):
        title = f"{label_of(name)}: a row for each prediction, shaded up to its greatest weight"
        svg = figures.attention_figure(weights, first=first, name=f"heat-{number}", title=title)
        shown.append((title, Markup(svg)))
    gate = numbers.resetting_gate(gates)
    head = ["event", "item", *(["time (UTC)"] if has_times else [])]
    head += ["like the one before", *([symbol_of(gate)] if gate else [])]
    head += [f"change of {name}" for name in changes]
    rows = []
    for place, raw_id in enumerate(drawn.raw_ids):
        row = [Cell(str(first + place)), items.cell(raw_id, ", ".join(held[place]))]
        row += [Cell(_moment(drawn.timestamps[place]))] if has_times else []
        row.append(Cell(("yes" if goes_on[place] else "no") if before[place] else NOTHING))
        row += [Cell(_plain(gates[gate][place]))] if gate else []
        row += [
            Cell(tables.spread(one[place - 1], None) if place else NOTHING)
            for one in changes.values()
        ]
        rows.append(tuple(row))
    return shown, Grid("The events of the history", tuple(map(Cell, head)), tuple(rows))


def _boundary_strips(drawn: ExplainedHistory) -> list[figures.Strip]:
    """What the model says of its segments, under where the sessions begin."""
    starts = drawn.session_start
    if not drawn.boundaries:
        return []
    strips = [figures.Strip(name, values) for name, values in drawn.boundaries.items()]
    if starts is not None:
        strips.insert(0, figures.Strip("session begins", starts.astype(float)))
    return strips


def _drawn_about(found: Findings, name: str) -> str:
    shown, in_all = len(found.drawn.raw_ids), found.drawn_of
    if shown == in_all:
        return f"{name}, {in_all} events."
    return f"{name}: the latest {shown} of {in_all} events. Weight on earlier ones is not drawn."


def _map(found: Findings, items: Items) -> tuple[Markup | None, str]:
    places = found.places
    if places is None:
        return None, ""
    num_shown, num_items = len(places.items), items.vocabulary.num_items
    groups = vectors.groups_of(
        items.vocabulary.raw_ids[:num_shown].to_list(), items.categories, most=figures.GROUPS
    )
    about = f"The {num_shown:,} most frequent of {num_items:,} items. "
    if num_shown == num_items:
        about = f"All {num_items:,} items. "
    if items.categories:
        about += (
            "An item counts for its first category; the most frequent categories have a colour."
        )
    title = "Item vectors and global contexts by t-SNE"
    return Markup(figures.map_figure(places, groups, name="map", title=title)), about


def _channels(means: Mapping[str, Any]) -> list[str]:
    return [name for name in means if name != EVEN]


def _plain(value: float) -> str:
    return tables.spread(float(value), None)


def _spread(held: Spread) -> str:
    return tables.spread(held.mean, held.sd)


def _counted(mean: float, events: int) -> Cell:
    return Cell(_plain(mean), f"events: {events:,}") if events else Cell(NOTHING)


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{int(seconds)} s"
