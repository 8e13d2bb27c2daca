"""One self-contained HTML page on a search."""

import json
from collections.abc import Mapping
from typing import Any

import optuna
from markupsafe import Markup

from hrec_tf.data import plain_toml
from hrec_tf.reporting import pages
from hrec_tf.reporting.sections import NOTHING, Cell, Grid
from hrec_tf.reporting.tables import recipe_label, spread
from hrec_tf.training.callbacks import as_clock
from hrec_tf.tuning.dimensions import Range
from hrec_tf.tuning.figures import history_figure, importance_figure
from hrec_tf.tuning.space import value_of
from hrec_tf.tuning.study import RANDOM_TRIALS, UNPRUNED_EPOCHS, UNPRUNED_TRIALS
from hrec_tf.tuning.tuned import COMPLETE, FAILED, PRUNED, Trial, Tuned


def page(
    tuned: Tuned,
    *,
    data: str,
    facts: Mapping[str, str],
    command: str,
    source: str | None = None,
) -> str:
    """Returns an HTML page on a search.

    It holds what was chosen, how values went, which settings mattered, every trial, and what to
    keep in mind.

    Args:
        tuned: what was found.
        data: name of the log.
        facts: of the validation part, for the head of the page.
        command: the command line that makes the search again, as text.
        source: what stands in the recipe as its source; the command if left out.
    """
    importance = None
    if tuned.importance is not None:
        importance = Markup(importance_figure(tuned.importance, name="figure-importance"))
    return pages.render(
        "tuning.html.j2",
        title=f"{recipe_label(tuned.base)} tuned on {data}",
        verdict=verdict(tuned),
        facts=[*facts.items(), ("objective", tuned.objective), ("seed", str(tuned.seed))],
        chosen=chosen_grid(tuned),
        recipe=tuned.to_toml(source or command),
        history=Markup(
            history_figure(tuned.trials, name="figure-history", objective=tuned.objective)
        ),
        importance=importance,
        importance_missing=tuned.importance_missing,
        trials=trials_grid(tuned),
        notes=_notes(tuned),
        cautions=_cautions(tuned),
        command=command,
        about_page=[f"{pages.about_making()} The search is Optuna {optuna.__version__}'s TPE."],
    )


def verdict(tuned: Tuned) -> str:
    """Returns what a reader should know first, in a sentence or two."""
    best, first = tuned.best, tuned.trials[0]
    said = (
        f"The best of {tuned.count(COMPLETE)} complete trials is trial {best.number}, with "
        f"{tuned.objective} {_value(best)} on the validation part."
    )
    if best is first or first.state != COMPLETE:
        return said
    return f"{said} The first trial, which began from the recipe as it is, has {_value(first)}."


def chosen_grid(tuned: Tuned) -> Grid:
    """The searched settings: what the recipe had, where was searched, what is best."""
    before, whole = tuned.base.with_changes(tuned.space.fixed).complete(), tuned.base.complete()
    rows = [
        (
            Cell(key),
            Cell(_text(value_of(before, key))),
            Cell(where.to_text()),
            Cell(_text(tuned.best.changes[key]), "", strong=True),
        )
        for key, where in tuned.space.searched.items()
    ]
    for key, value in tuned.space.fixed.items():
        held = _text(value_of(whole, key))
        rows.append((Cell(key), Cell(held), Cell("fixed"), Cell(_text(value))))
    head = ("setting", "recipe", "searched", "best trial")
    caption = f"Ranges: {tuned.space.source or 'a space of one’s own'}"
    return Grid(caption, tuple(map(Cell, head)), tuple(rows))


def trials_grid(tuned: Tuned) -> Grid:
    """Every trial, the best first; those without a value last."""

    def rank(trial: Trial) -> tuple[bool, float, int]:
        return (trial.value is None, -(trial.value or 0.0), trial.number)

    rows = []
    for trial in sorted(tuned.trials, key=rank):
        row = [
            Cell(str(trial.number), trial.state if trial.state != COMPLETE else ""),
            Cell(_value(trial), "", trial is tuned.best),
            Cell(str(len(trial.reports)) if trial.reports else NOTHING),
            Cell(as_clock(trial.seconds)),
        ]
        row += [Cell(_text(trial.changes[key])) for key in tuned.space.searched]
        rows.append(tuple(row))
    head = ["trial", tuned.objective, "epochs", "time", *tuned.space.searched]
    return Grid("Trials, the best first", tuple(map(Cell, head)), tuple(rows))


def _notes(tuned: Tuned) -> list[str]:
    notes = [
        f"{tuned.count(COMPLETE)} complete, {tuned.count(PRUNED)} pruned, {tuned.count(FAILED)} "
        f"failed; {tuned.num_left} left by a process that ended, and made again. Time is that of "
        "training and ranking."
    ]
    if tuned.pruner == "median":
        notes.append(
            "Pruned: after an epoch, the best validation value of the trial so far was below the "
            "median of what complete trials had after that epoch. Nothing is pruned before "
            f"{UNPRUNED_TRIALS} trials are complete, nor after epoch {UNPRUNED_EPOCHS}."
        )
    errors = {trial.error: trial.number for trial in tuned.trials if trial.error}
    return notes + [f"Trial {number} failed. {error}" for error, number in errors.items()]


def _cautions(tuned: Tuned) -> list[str]:
    cautions = [
        f"The value of the best trial is the largest of {tuned.count(COMPLETE)} and was chosen for "
        "that, so it promises too much. What the recipe is worth, the test part says, which was "
        "not read here: train it, once, and look.",
        "A comparison is fair where every method had a search like this one, baselines too.",
    ]
    if tuned.base.entry.is_random:
        cautions.append(
            f"Each setting had one seed ({tuned.seed}). Small differences may be of the seed, not "
            "of the setting."
        )
    if len(tuned.trials) <= RANDOM_TRIALS:
        cautions.append(
            f"Of {len(tuned.trials)} trials all but the first were drawn at random: what is tried "
            f"follows from what was found only after {RANDOM_TRIALS}."
        )
    edges = [
        key
        for key, where in tuned.space.searched.items()
        if isinstance(where, Range) and tuned.best.changes[key] in where.edges
    ]
    if edges:
        cautions.append(
            f"The best trial lies at an end of the range of {', '.join(edges)}: a wider range may "
            "hold something better."
        )
    return cautions


def _value(trial: Trial) -> str:
    return NOTHING if trial.value is None else spread(trial.value, None)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    value = plain_toml.to_words(value)
    return value if isinstance(value, str) else json.dumps(value)
