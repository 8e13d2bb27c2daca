"""Options that several commands share, named like the Python arguments."""

import dataclasses
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hrec_tf.data.log_source import LogSource
    from hrec_tf.recipe import Recipe

Text = str | None
Whole = int | None
Real = float | None


def option(help: str, panel: str, *names: str) -> Any:
    """A Typer option without a default of its own."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


_COLUMNS = "Columns of a file"
_PREPARATION = "Preparation of a file"
_SPLIT = "Split"
_FEATURES = "Features beside a file"
_RECIPE = "Settings (defaults: the recipe)"
_EVALUATION = "Evaluation (defaults: the recipe)"


@dataclass(frozen=True)
class LogOptions:
    """Which log, and for a file what to make of it."""

    data: Annotated[
        str,
        option(
            "A named log (see `hrec data list`), or a CSV, TSV, JSON lines or Parquet "
            "file, plain or gzip.",
            "Log",
        ),
    ] = "online-retail"
    user: Annotated[Text, option("Column of users; `none` if there is none.", _COLUMNS)] = None
    item: Annotated[Text, option("Column of items.", _COLUMNS)] = None
    timestamp: Annotated[
        Text, option("Column of times; `none` if rows are only in order.", _COLUMNS)
    ] = None
    session: Annotated[Text, option("Column of the log's own sessions.", _COLUMNS)] = None
    event_type: Annotated[Text, option("Column of event types.", _COLUMNS)] = None
    timestamp_unit: Annotated[Text, option("s, ms, us, ns or auto.", _COLUMNS)] = None
    text_ids: Annotated[Text, option("Those of user,item,session to keep as text.", _COLUMNS)] = (
        None
    )
    columns: Annotated[
        Text, option("Names of the columns, in order, of a file without a header.", _COLUMNS)
    ] = None
    separator: Annotated[Text, option("Between the fields of a text file.", _COLUMNS)] = None
    format: Annotated[Text, option("csv, tsv, jsonl or parquet.", _COLUMNS)] = None
    idle_minutes: Annotated[
        Real, option("Idle time that ends a session (30, or the log's own).", _PREPARATION)
    ] = None
    min_item_support: Annotated[Whole, option("Fewest events of an item (10).", _PREPARATION)] = (
        None
    )
    min_session_length: Annotated[
        Whole, option("Fewest events of a session (3).", _PREPARATION)
    ] = None
    min_user_sessions: Annotated[Whole, option("Fewest sessions of a user (5).", _PREPARATION)] = (
        None
    )
    max_user_sessions: Annotated[
        Whole, option("Most sessions of a user (any number).", _PREPARATION)
    ] = None
    drop_event_types: Annotated[
        Text, option("Event types to leave out, e.g. delete,view.", _PREPARATION)
    ] = None
    drop_repeats: Annotated[
        bool | None,
        option(
            "Drop repeats of an item inside a session (yes).",
            _PREPARATION,
            "--drop-repeats/--keep-repeats",
        ),
    ] = None
    split: Annotated[
        Text,
        option(
            "last_session_out, leave_one_out, temporal or by_users; a named log has one.", _SPLIT
        ),
    ] = None
    at: Annotated[Whole, option("Unix seconds at which `temporal` begins the test.", _SPLIT)] = None
    days: Annotated[Real, option("Length of the test of `temporal`, in days.", _SPLIT)] = None
    share: Annotated[Real, option("Share of sessions in the test of `temporal`.", _SPLIT)] = None
    fractions: Annotated[Text, option("Shares of the split `by_users`, e.g. 0.8,0.2.", _SPLIT)] = (
        None
    )
    items: Annotated[Text, option("File of item features, with a column `item`.", _FEATURES)] = None
    users: Annotated[
        Text,
        option("File of user features, with a column `user`; or first_item.", _FEATURES),
    ] = None
    feedback: Annotated[
        Text, option("Columns of the log that say how an event went, e.g. rating.", _FEATURES)
    ] = None
    schemas: Annotated[
        Text, option("What `hrec data features` wrote: what each column is.", _FEATURES)
    ] = None

    def source(self) -> "LogSource":
        """Returns the log that these options name."""
        from hrec_tf.data.log_source import LogSource

        reading: dict[str, Any] = {
            name: _none_or(getattr(self, name))
            for name in (*_ID_COLUMNS, "event_type", "timestamp_unit", "separator", "format")
            if getattr(self, name) is not None
        }
        reading |= {
            name: tuple(value.split(","))
            for name in ("text_ids", "columns")
            if (value := getattr(self, name)) is not None
        }
        preparation = {
            name: value for name in _PREPARING if (value := getattr(self, name)) is not None
        }
        if self.drop_event_types is not None:
            preparation["drop_event_types"] = tuple(self.drop_event_types.split(","))
        split: dict[str, Any] = {
            name: value
            for name in ("at", "days", "share")
            if (value := getattr(self, name)) is not None
        }
        if self.split is not None:
            split["name"] = self.split
        if self.fractions is not None:
            split["fractions"] = tuple(_floats("fractions", self.fractions))
        features: dict[str, Any] = {
            name: value
            for name in ("items", "users", "schemas")
            if (value := getattr(self, name)) is not None
        }
        if self.feedback is not None:
            features["feedback"] = tuple(self.feedback.split(","))
        return LogSource(
            self.data, reading=reading, preparation=preparation, split=split, features=features
        )


@dataclass(frozen=True)
class RecipeOptions:
    """A recipe and what to change in it."""

    recipe: Annotated[
        Text, option("A recipe file: a name, or a path that ends in .toml.", _RECIPE)
    ] = None
    epochs: Annotated[Whole, option("Passes over the training log.", _RECIPE)] = None
    patience: Annotated[
        Whole, option("Epochs without a better validation Recall that end the training.", _RECIPE)
    ] = None
    average_from: Annotated[
        Whole, option("First epoch of those whose weights are averaged; none by default.", _RECIPE)
    ] = None
    batch_size: Annotated[
        Whole, option("Rows of a batch, of models that read padded rows.", _RECIPE)
    ] = None
    num_lanes: Annotated[Whole, option("Histories side by side: the batch size.", _RECIPE)] = None
    steps: Annotated[Whole, option("Events per lane and update.", _RECIPE)] = None
    order: Annotated[Text, option("random, time or given.", _RECIPE)] = None
    learning_rate: Annotated[Real, option("Of the optimizer.", _RECIPE)] = None
    momentum: Annotated[Real, option("Of the optimizer.", _RECIPE)] = None
    loss: Annotated[
        Text,
        option("cross_entropy, top1, bpr, top1_max, bpr_max or binary_cross_entropy.", _RECIPE),
    ] = None
    extra: Annotated[Whole, option("Negatives drawn per step.", _RECIPE)] = None
    set: Annotated[
        list[str] | None,
        option("Any other key, as section.key=value, e.g. loss.logq=1. Repeatable.", _RECIPE),
    ] = None

    def changes(self) -> dict[str, Any]:
        """Returns recipe keys and their new values."""
        from hrec_tf.recipe import parse_value

        changes: dict[str, Any] = {
            key: getattr(self, name)
            for name, key in _KEY_OF.items()
            if getattr(self, name) is not None
        }
        for setting in self.set or ():
            key, equals, text = setting.partition("=")
            if not equals:
                raise ValueError(
                    f"`set` was {setting!r}, but must be key=value. Pass for example "
                    "--set loss.logq=1."
                )
            changes[key.strip()] = parse_value(text.strip())
        return changes

    def load(self, source: "LogSource", models: list[str], more: dict[str, Any]) -> list["Recipe"]:
        """Returns the recipes of these models for a log, changed by the options.

        Args:
            source: its name chooses among the package's recipes.
            models: names of recipes, mostly those of models.
            more: further changes.
        """
        from hrec_tf.recipe import Recipe, with_shared_changes

        if self.recipe is not None:
            recipes = [Recipe.load(self.recipe, model) for model in models]
        else:
            data = source.data if source.is_named else None
            recipes = [Recipe.for_data(data, model) for model in models]
        return with_shared_changes(recipes, self.changes() | more)


@dataclass(frozen=True)
class EvaluationOptions:
    """How points are ranked and averaged."""

    ks: Annotated[Text, option("Lengths of the list, e.g. 5,20.", _EVALUATION)] = None
    ties: Annotated[Text, option("conservative, standard, median or random.", _EVALUATION)] = None
    average: Annotated[Text, option("micro, session or user.", _EVALUATION)] = None
    top_pop: Annotated[Whole, option("Rank among the most supported items only.", _EVALUATION)] = (
        None
    )
    sampled_negatives: Annotated[
        Whole, option("Rank among so many drawn items too, e.g. 100.", _EVALUATION)
    ] = None
    sampling: Annotated[Text, option("How they are drawn: strict or sasrec.", _EVALUATION)] = None
    bootstrap_sessions: Annotated[
        Whole, option("Earlier sessions played first; -1 for all.", _EVALUATION)
    ] = None
    coverage: Annotated[
        bool | None,
        option(
            "Also measure the share of the catalogue that lists show.",
            _EVALUATION,
            "--coverage/--no-coverage",
        ),
    ] = None
    counts_on: Annotated[
        bool | None,
        option(
            "Popularity of the hour counts test events, too, as they come.",
            _EVALUATION,
            "--counts-on/--no-counts-on",
        ),
    ] = None

    def changes(self) -> dict[str, Any]:
        """Returns keys of a recipe's section `evaluation` and their new values."""
        held = {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        if self.ks is not None:
            held["ks"] = tuple(whole_numbers("ks", self.ks))
        return held


def takes(**groups: type) -> Callable[[Callable], Callable]:
    """Lets a command take the fields of dataclasses as options of its own.

    Args:
        **groups: argument of the command -> the dataclass it gets.
    """

    def with_groups(command: Callable) -> Callable:
        own = [
            parameter
            for name, parameter in inspect.signature(command).parameters.items()
            if name not in groups
        ]
        added = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for group in groups.values()
            for field in dataclasses.fields(group)
        ]

        def run(**options: Any) -> Any:
            packed = {
                name: group(**{f.name: options.pop(f.name) for f in dataclasses.fields(group)})
                for name, group in groups.items()
            }
            return command(**options, **packed)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*parameters, *added]}
        return run

    return with_groups


def command_line(
    command: str, own: Mapping[str, Any], *groups: Any, arguments: Sequence[str] = ()
) -> str:
    """Writes a command as one would type it, with the options that were set.

    Files are named without their folders, which may tell of a person or a machine: reports are
    handed on.

    Args:
        command: its name.
        own: its own options: name -> value, or None where the default holds.
        *groups: its dataclasses of options.
        arguments: what stands before the options.

    Example:
        >>> command_line("compare", {"seeds": "0,1"}, RecipeOptions(epochs=3, set=["loss.logq=1"]))
        'hrec compare --seeds 0,1 --epochs 3 --set loss.logq=1'
    """
    words = ["hrec", command, *arguments]
    values = dict(own)
    for group in groups:
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            values[field.name] = None if value == field.default else value
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else _OFF[name])
        elif isinstance(value, list):
            words += [word for one in value for word in (option, one)]
        elif value is not None:
            is_file = name in _FILES and isinstance(value, str)
            words += [option, Path(value).name if is_file else str(value)]
    return shlex.join(words)


def whole_numbers(name: str, text: str) -> list[int]:
    """Reads "0,1,2"."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"`{name}` was {text!r}, but must be whole numbers with commas between them. Pass for "
            "example 0,1,2."
        ) from None


def _floats(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"`{name}` was {text!r}, but must be numbers with commas between them. Pass for "
            "example 0.8,0.2."
        ) from None


def _none_or(text: str) -> str | None:
    return None if text == "none" else text


_FILES = (
    *("data", "recipe", "items", "users", "schemas"),
    *("out", "report", "output", "study", "space"),
)
_OFF = {"drop_repeats": "--keep-repeats"}
_ID_COLUMNS = ("user", "item", "timestamp", "session")
_PREPARING = (
    "idle_minutes",
    "min_item_support",
    "min_session_length",
    "min_user_sessions",
    "max_user_sessions",
    "drop_repeats",
)
_KEY_OF = {
    "epochs": "epochs",
    "patience": "patience",
    "average_from": "average_from",
    "batch_size": "stream.batch_size",
    "num_lanes": "stream.num_lanes",
    "steps": "stream.steps",
    "order": "stream.order",
    "learning_rate": "optimizer.learning_rate",
    "momentum": "optimizer.momentum",
    "loss": "loss.name",
    "extra": "negatives.extra",
}
