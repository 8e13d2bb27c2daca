"""The model card of a run: what the model is, what it was made of, and what it is not for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrec_tf.data import catalogue, plain_toml
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_source import LogSource
from hrec_tf.recipe import Recipe
from hrec_tf.schema import PADDED_LAYOUTS


def text(
    *,
    recipe: Recipe,
    log: LogSource,
    seed: int,
    num_items: int,
    metrics: Mapping[str, Any],
    histories: Histories | None = None,
    validation: bool = False,
    versions: Mapping[str, str] | None = None,
) -> str:
    """Returns the card as Markdown.

    Args:
        recipe: what was trained.
        log: where the data came from.
        seed: of the run.
        num_items: size of the vocabulary.
        metrics: what the test gave, with the conditions it was taken under.
        histories: what the model was trained on, for the counts.
        validation: whether the training held sessions back.
        versions: name of a package -> its version.
    """
    sections = {
        f"# {recipe.entry.title}": _what_it_is(recipe, seed),
        "## Data": _data(log, num_items, histories),
        "## Evaluation": _evaluation(log, metrics, validation),
        "## Intended use": [_INTENDED_USE],
        "## Limits": _limits(recipe, log),
        "## Settings": [
            *("```toml", plain_toml.to_toml(recipe.complete().to_dict()).rstrip(), "```"),
            *([_listed(versions)] if versions else []),
        ],
    }
    return "\n\n".join(f"{head}\n\n" + "\n".join(body) for head, body in sections.items()) + "\n"


def _what_it_is(recipe: Recipe, seed: int) -> list[str]:
    row = recipe.entry
    how = "counted from the data" if row.is_baseline else f"trained for {recipe.epochs} epochs"
    if recipe.patience is not None:
        how = (
            f"trained for up to {recipe.epochs} epochs, to the one with the best validation Recall "
            f"(patience {recipe.patience})"
        )
    if recipe.average_from is not None:
        how += f", its weights averaged from epoch {recipe.average_from} on"
    return [
        f"`{row.name}`: {row.about}.",
        "",
        f"- Source: {row.paper}",
        *([f"- Inferred, as its source does not say: {row.inferred}"] if row.inferred else []),
        f"- Recipe: {recipe.name}{f' ({recipe.source})' if recipe.source else ''}",
        f"- Made by hrec_tf, {how}, seed {seed}",
    ]


def _data(log: LogSource, num_items: int, histories: Histories | None) -> list[str]:
    lines = []
    if log.is_named:
        entry = catalogue.entry(log.data)
        lines += [f"`{entry.name}`: {log.about}", "", f"- Files: {', '.join(entry.files)}"]
        terms = entry.terms or "not stated here; ask whoever gave you the log"
    else:
        # The name alone: a folder may tell of a person or a machine.
        lines += ["A log of its owner.", "", f"- File: {Path(log.data).name}"]
        lines += [f"- {name}: {value}" for name, value in _plain(log).items()]
        terms = "those of its owner"
    lines += [f"- Terms of use: {terms}", f"- Items that the model knows: {num_items:,}"]
    if histories is not None:
        lines.append(
            f"- Trained on {histories.num_events:,} events in {histories.num_sessions:,} sessions "
            f"of {histories.num_users:,} users"
        )
    return lines


def _plain(log: LogSource) -> dict[str, Any]:
    values = log.to_dict()
    return {
        f"{section}.{key}": value
        for section in ("reading", "preparation")
        for key, value in values[section].items()
    }


def _evaluation(log: LogSource, metrics: Mapping[str, Any], validation: bool) -> list[str]:
    lines = [
        f"Split: {log.split_label}. Every event of a test session but its first is predicted from "
        "what came before it.",
        "",
        "| measure | value |",
        "|---|---|",
    ]
    lines += [f"| {name} | {_shown(value)} |" for name, value in metrics.items()]
    if validation:
        held_back = "last training session of each user"
        if log.split_name == "temporal":
            held_back = "last period of training"
        lines += ["", f"The {held_back} was held back for validation."]
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _limits(recipe: Recipe, log: LogSource) -> list[str]:
    limits = [
        "It knows the items of its training log alone. Another item in a history is passed over, "
        "and none is recommended before the model was trained again.",
        "It learned from what people were shown and chose at that time: what was popular then is "
        "favoured, rare items are rarely recommended, and the numbers above say nothing of how "
        "people would have acted on other recommendations.",
        "The numbers are of users and items that the preparation kept; people with few events "
        "may be served worse.",
    ]
    if recipe.entry.is_baseline:
        limits.append("It is counted from the log and has no weights: it cannot be served alone.")
        return [f"- {limit}" for limit in limits]
    idle_minutes = log.idle_minutes
    if idle_minutes is None:
        limits.append("Served, a whole history is one session, as it was in training.")
    else:
        limits.append(
            f"Served, a session ends after {idle_minutes:g} idle minutes unless that is set "
            "otherwise; the sessions of the training log may have been cut in another way."
        )
    if recipe.entry.layout in PADDED_LAYOUTS:
        limits.append(
            "Served, it reads the events of the last session as a whole and keeps no state of a "
            "user: it answers `recommend` and `score`, and has no `step`."
        )
    if log.is_named or log.preparation.get("drop_repeats", True):
        limits.append(
            "Served, every event is read; the preparation of a training log may drop repeats of "
            "an item inside a session."
        )
    return [f"- {limit}" for limit in limits]


def _listed(versions: Mapping[str, str]) -> str:
    return "\nVersions: " + ", ".join(f"{name} {version}" for name, version in versions.items())


_INTENDED_USE = (
    "Ranking the items that a user of the service whose log it was trained on may want next. It "
    "is not meant for other catalogues, nor for decisions about people."
)
