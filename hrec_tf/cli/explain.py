"""`hrec explain`: what a trained model attends to, and when it forgets."""

import json as json_text
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hrec_tf import checks
from hrec_tf.cli import console
from hrec_tf.cli.history_text import AskedHistory, events_of, name_unknown, of_text, raw_ids_of
from hrec_tf.cli.options import command_line

if TYPE_CHECKING:
    from hrec_tf.models import ExplainedHistory
    from hrec_tf.reporting.explained.findings import Findings
    from hrec_tf.reporting.explained.numbers import Reading
    from hrec_tf.runs import Run

USERS = 100
PAGE, NUMBERS = "explanation.html", "explanation.json"


class _Files(NamedTuple):
    """What is written."""

    page: Path
    numbers: Path


class _Read(NamedTuple):
    """What was read of a model: the histories to average, and the one to draw.

    `facts` are what the page's head says of them, and `has_times` is of the drawn one.
    """

    readings: "list[Reading]"
    drawn: "ExplainedHistory"
    drawn_name: str
    has_times: bool
    facts: list[tuple[str, str]]


def explain(
    run: Annotated[str, typer.Argument(help="A folder that `hrec train` wrote.")],
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder for explanation.html and explanation.json, or a page's name that ends "
            "in .html (<RUN>-explanation)."
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(
            help="Draw this history: items, oldest first, with or without Unix seconds: "
            "85123A@1291191960,71053. The model reads its last session, or all of it if it "
            "reads whole histories."
        ),
    ] = None,
    users: Annotated[
        int | None,
        typer.Option(
            help=f"Test histories to average ({USERS}; with --history none but that one).",
            show_default=False,
        ),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            help="Test history to draw: `longest` of the averaged ones, or its number (longest).",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Shows attention, gates, states and global contexts of a model on one page."""
    if history is not None and show is not None:
        raise ValueError(
            "Both `--history` and `--show` were given, but one history is drawn. Leave one of "
            "them out."
        )
    if users is not None:
        checks.require_positive_int("users", users, mend="Pass how many to average, e.g. 100.")
    asked = None if history is None else of_text(history)
    files = _free_files(run, out)
    console.import_tensorflow()
    from hrec_tf import runs
    from hrec_tf.data.atomic_files import write_whole
    from hrec_tf.reporting.explained import chosen, findings, plain
    from hrec_tf.reporting.explained.page import Items, page
    from hrec_tf.reporting.tables import recipe_label

    progress = console.Progress()
    with progress.watch(f"loading {run}"):
        held = runs.load(run)
        _require_explains(held, run)
        model = held.model()
    if asked is None:
        read = _read_test(held, model, users or USERS, show or chosen.LONGEST, progress)
    else:
        read = _read_asked(held, model, asked)
        if users is not None:
            of_test = _read_test(held, model, users, chosen.LONGEST, progress)
            read = read._replace(readings=of_test.readings, facts=of_test.facts)
    items = Items(held.vocabulary, held.log.descriptions(), _categories(held))
    with progress.watch("laying out items and global contexts"):
        found = findings.find(model, read.readings, read.drawn, categories=items.categories)
    data = held.log.data if held.log.is_named else Path(held.log.data).name
    own = {"out": out, "history": history, "users": users, "show": show}
    text = page(
        found,
        items,
        title=f"Inside {recipe_label(held.recipe)} on {data}",
        facts=[*read.facts, ("seed", str(held.seed))],
        drawn_name=read.drawn_name,
        has_times=read.has_times,
        command=command_line("explain", own, arguments=[Path(run).name]),
    )
    about = {"run": Path(run).name, "model": held.recipe.model, "data": data, "seed": held.seed}
    found_numbers = {
        **about,
        "drawn": read.drawn_name,
        **plain.to_dict(found, held.vocabulary, descriptions=items.descriptions),
    }
    files.page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(files.page, text.encode())
    numbers_text = json_text.dumps(found_numbers, ensure_ascii=False, allow_nan=False)
    write_whole(files.numbers, (numbers_text + "\n").encode())
    _say_what_is_missing(found.skipped, progress)
    if json:
        kept = ("histories", "events", "gates", "changes", "skipped")
        written = {"page": str(files.page), "numbers": str(files.numbers)}
        shown = {key: found_numbers[key] for key in kept}
        console.print_json({"run": run, "model": held.recipe.model, **written, **shown})
        return
    _print_result(found, files)


def _free_files(run: str, out: str | None) -> _Files:
    """Says now what would fail after the work."""
    of_run = Path(run) if Path(run).name else Path(run).resolve()
    path = of_run.with_name(f"{of_run.name}-explanation") if out is None else Path(out)
    if path.suffix == ".html":
        files = _Files(path, path.with_suffix(".json"))
    else:
        files = _Files(path / PAGE, path / NUMBERS)
    if files.page.resolve().is_relative_to(Path(run).resolve()):
        raise ValueError(
            f"`out` was {str(path)!r}, which is inside of the run, but a run holds the files that "
            "it was written with, and no others. Choose another folder."
        )
    for file in files:
        if file.exists():
            raise ValueError(
                f"`out` was {str(path)!r}, but {file.name} is there, and nothing is overwritten. "
                "Choose another place, or remove that file."
            )
    folder = files.page.parent
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise ValueError(
            f"`out` was {str(path)!r}, but {str(nearest)!r} is a file, and no folder can be made "
            "there. Choose another place, or a page's name that ends in .html."
        )
    return files


def _require_explains(held: "Run", run: str) -> None:
    """Refuses a run before its log and its weights are read."""
    from hrec_tf import registry

    if hasattr(held.recipe.entry.load_class(), "explain"):
        return
    able = [
        name
        for name in registry.names(registry.MODEL)
        if hasattr(registry.entry(name).load_class(), "explain")
    ]
    listed = f" of {', '.join(able)}" if able else " of another model"
    raise ValueError(
        f"{run!r} is a run of {held.recipe.model}, which has no attention to show, but only "
        f"models that tell what they do inside are explained. Choose a run{listed}."
    )


def _read_asked(held: "Run", model: Any, asked: AskedHistory) -> _Read:
    """Lets the model explain the history that was typed."""
    from hrec_tf.recommender import Recommender
    from hrec_tf.reporting.explained.numbers import Reading

    raw_ids = raw_ids_of(asked.item_ids, held.vocabulary, "history")
    name_unknown(raw_ids, held.vocabulary, "history")
    recommender = Recommender(model, held.vocabulary, idle_minutes=held.log.idle_minutes)
    drawn = recommender.explain(events_of(raw_ids, asked.seconds, "history"))
    has_times = any(seconds is not None for seconds in asked.seconds)
    readings = [Reading.of(drawn, has_times=has_times)]
    return _Read(readings, drawn, "The given history", has_times, [])


def _read_test(held: "Run", model: Any, users: int, show: str, progress: console.Progress) -> _Read:
    """Lets the model explain test histories of its log."""
    from hrec_tf.reporting.explained import chosen
    from hrec_tf.reporting.explained.numbers import Reading

    with progress.watch(f"preparing {held.log.data}"):
        prepared = held.load_log()
        test, has_times = prepared.test, prepared.split.test.has_times
    sessions = chosen.sessions_to_read(model, test)
    averaged = chosen.chosen(len(sessions), users)
    shown = chosen.number_to_show(show, chosen.lengths(model, test, sessions), averaged)
    readings, drawn = [], None
    with progress.watch(f"reading {len(averaged):,} histories") as activity:
        for done, number in enumerate(averaged):
            activity.count(done, len(averaged))
            history = chosen.explain_session(model, held.vocabulary, test, sessions[number])
            readings.append(Reading.of(history, has_times=has_times))
            drawn = history if number == shown else drawn
        if drawn is None:
            drawn = chosen.explain_session(model, held.vocabulary, test, sessions[shown])
    facts = [("drawn from", f"{len(sessions):,} test histories")]
    return _Read(readings, drawn, f"Test history {shown}", has_times, facts)


def _categories(held: "Run") -> Mapping[Any, tuple[str, ...]]:
    try:
        return held.log.categories()
    except (ValueError, OSError):
        # The log is not there; a typed history is read all the same.
        return {}


def _say_what_is_missing(skipped: Mapping[str, str], progress: console.Progress) -> None:
    for part, reason in skipped.items():
        progress.console.print(
            f"Note: the page is without {part}. {reason}", markup=False, soft_wrap=True
        )


def _print_result(found: "Findings", files: _Files) -> None:
    from hrec_tf.reporting.explained.page import lead, magnitudes_grid
    from hrec_tf.reporting.tables import Table

    grid = magnitudes_grid(found)
    rows = (tuple(cell.text for cell in row) for row in (grid.head, *grid.rows))
    head, *body = rows
    console.print_table(Table(head, tuple(body), (lead(found),)))
    print(f"Written to {files.page} and {files.numbers}.")
