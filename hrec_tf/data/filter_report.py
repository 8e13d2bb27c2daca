"""What every preparation step removed: counts before and after, and a table of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """Size of a log. `sessions` is None while sessions have not been formed."""

    events: int
    sessions: int | None
    users: int
    items: int


@dataclass(frozen=True)
class FilterStep:
    """One preparation step: its name with its settings, and the log's size around it."""

    name: str
    before: Counts
    after: Counts


@dataclass(frozen=True)
class FilterReport:
    """The steps that made a log, oldest first.

    Example:
        >>> step = FilterStep("drop_repeats", Counts(9, 3, 2, 5), Counts(8, 3, 2, 5))
        >>> print(FilterReport().adding(step).to_text())
        step          events  sessions  users  items
        at the start       9         3      2      5
        drop_repeats  8 (-1)         3      2      5
    """

    steps: tuple[FilterStep, ...] = ()

    def adding(self, step: FilterStep) -> "FilterReport":
        """Returns a report with one more step; this one stays as it is."""
        return FilterReport((*self.steps, step))

    def to_rows(self) -> list[dict[str, str | int | None]]:
        """Returns one plain dict per step, ready for JSON or a table."""
        return [
            {
                "step": step.name,
                **{f"{name}_before": getattr(step.before, name) for name in _COLUMNS},
                **{f"{name}_after": getattr(step.after, name) for name in _COLUMNS},
            }
            for step in self.steps
        ]

    def to_text(self) -> str:
        """Returns a table: what each step left, and in brackets what it removed."""
        if not self.steps:
            return "No preparation steps."
        rows = [["step", *_COLUMNS], ["at the start", *_cells(self.steps[0].before, None)]]
        rows += [[step.name, *_cells(step.after, step.before)] for step in self.steps]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )


_COLUMNS = ("events", "sessions", "users", "items")


def _cells(after: Counts, before: Counts | None) -> list[str]:
    cells = []
    for name in _COLUMNS:
        now = getattr(after, name)
        earlier = None if before is None else getattr(before, name)
        change = 0 if now is None or earlier is None else now - earlier
        cells.append(("-" if now is None else f"{now:,}") + (f" ({change:+,})" if change else ""))
    return cells
