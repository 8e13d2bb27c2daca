"""Tables of results, as rows of text, for a terminal or for Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hrec_tf.recipe import Recipe
    from hrec_tf.reporting.comparison import Comparison, Result


@dataclass(frozen=True)
class Table:
    """A head and rows of cells; the first column is text, the others are numbers.

    Args:
        head: names of the columns.
        rows: one cell per column.
        notes: sentences that belong under it.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """Returns a Markdown table, with the notes under it."""
        lines = [
            f"| {' | '.join(self.head)} |",
            f"|{'|'.join(['---', *['---:'] * (len(self.head) - 1)])}|",
            *(f"| {' | '.join(row)} |" for row in self.rows),
        ]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines)

    def to_text(self) -> str:
        """Returns aligned columns, with the notes under them."""
        rows = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for row in rows:
            cells = [
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *(["", *self.notes] if self.notes else [])])


_COLUMNS = ("Recall", "MRR", "full Recall", "Coverage")
"""What a table shows at each k, unless it is told."""


def comparison_table(comparison: "Comparison", *, metrics: Sequence[str] | None = None) -> Table:
    """Returns the one table of a comparison.

    Args:
        comparison: results on the same points.
        metrics: columns; Recall and MRR at each k if left out, with sampled candidates Recall
            among all items, and coverage where it was measured.
    """
    first = comparison.results[0].evaluations[0]
    if metrics is None:
        metrics = [name for name in first.metrics if name.split("@")[0] in _COLUMNS]
    tested = comparison.against_best_baseline
    best = comparison.best_baseline
    head = ["model", *metrics, "ties", "training"]
    if tested:
        head += ["difference", "p (Holm)"]
    rows = []
    for result in comparison.results:
        row = [label(result), *_spreads(result, metrics)]
        row += [f"{result.tie_share:.1%}", f"{result.training_seconds.mean:.1f} s"]
        if tested:
            against = tested.get(result.recipe.name)
            if against is None:
                row += ["", ""]
            else:
                row += [f"{against.test.mean_difference:+.4f}", p_value(against.p_holm)]
        rows.append(tuple(row))
    return Table(tuple(head), tuple(rows), _notes(comparison, best))


def spread(mean: float, sd: float | None) -> str:
    """Writes a mean and its standard deviation, where there is one.

    Example:
        >>> spread(0.2388, 0.0011), spread(0.0145, None), spread(1.0, 0.0)
        ('.2388 ± .0011', '.0145', '1.0000')
    """
    # The sd of equal numbers is not always 0, but never more than rounding.
    parts = [f"{mean:.4f}"] if not sd or sd < 1e-9 else [f"{mean:.4f}", f"{sd:.4f}"]
    return " ± ".join(part.removeprefix("0") for part in parts)


def p_value(value: float) -> str:
    """Writes a p-value."""
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def label(result: "Result") -> str:
    """What tables and figures call a result; see `recipe_label`."""
    return recipe_label(result.recipe)


def recipe_label(recipe: "Recipe") -> str:
    """The model's title, and the recipe's name in brackets if it is another."""
    title = recipe.entry.title
    return title if recipe.name == recipe.model else f"{title} ({recipe.name})"


def _spreads(result: "Result", metrics: Sequence[str]) -> list[str]:
    values = [result.metric(name) for name in metrics]
    return [spread(value.mean, value.sd) for value in values]


def _notes(comparison: "Comparison", best: "Result | None") -> tuple[str, ...]:
    first = comparison.results[0].evaluations[0]
    seeds = ", ".join(map(str, comparison.seeds))
    notes = [
        f"{first.num_points:,} points of {first.num_sessions:,} test sessions, "
        f"{first.ranks.num_candidates:,} candidates ({first.ranks.candidates}), {first.ties} ties, "
        f"{first.average} average; seeds {seeds}"
        f"{', mean ± sd' if len(comparison.seeds) > 1 else ''}. "
        "Ties: points whose target shares its score with another item."
    ]
    trained = [result for result in comparison.results if result.recipe.epochs]
    epochs = sorted({result.recipe.epochs or 0 for result in trained if not result.best_epochs})
    if epochs:
        notes.append(f"Epochs of training: {', '.join(map(str, epochs))}.")
    stopped = [
        f"{label(result)} {', '.join(map(str, result.best_epochs))}"
        for result in trained
        if result.best_epochs
    ]
    if stopped:
        notes.append(f"Best epoch of validation, whose weights were tested: {'; '.join(stopped)}.")
    if best is not None and comparison.against_best_baseline:
        notes.append(
            f"Difference and p: {comparison.metric} against {best.recipe.entry.title}, the best "
            "baseline; mean over sessions, paired Wilcoxon test, Holm-corrected."
        )
    return tuple(notes)
