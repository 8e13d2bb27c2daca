"""`hrec recommend`: what a trained model recommends after a history."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrec_tf.cli import console
from hrec_tf.cli.history_text import (
    AskedHistory,
    of_file,
    of_text,
    shown,
    split_ids,
    whole_number,
)

if TYPE_CHECKING:
    from hrec_tf.recommender import Recommender


def recommend(
    run: Annotated[str, typer.Argument(help="A folder that `hrec train` wrote.")],
    history: Annotated[
        str | None,
        typer.Option(
            help="Items, oldest first, with or without Unix seconds: 85123A@1291191960,71053. "
            "Without any history: a new user."
        ),
    ] = None,
    history_file: Annotated[
        str | None,
        typer.Option(
            help="CSV with the columns item, timestamp and, for several users, user; - for "
            "standard input. For ids with commas or @, too."
        ),
    ] = None,
    k: Annotated[int, typer.Option(help="Length of the list.")] = 10,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Recommend items of the history, too.")
    ] = False,
    candidates: Annotated[
        str | None, typer.Option(help="Items to choose among, separated by commas (all items).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recommends items to a user of whom nothing is needed but the history."""
    if history is not None and history_file is not None:
        raise ValueError(
            "Both `--history` and `--history-file` were given, but a history is in one place. "
            "Leave one of them out."
        )
    asked = [of_text(history or "")] if history_file is None else of_file(history_file)
    chosen = None if candidates is None else split_ids(candidates, "candidates")
    if chosen == []:
        raise ValueError(
            "`candidates` was empty, but it names the items to choose among. Pass for example "
            "--candidates 71053,22423, or leave it out for all."
        )
    console.import_tensorflow()
    from hrec_tf.recommender import Recommender

    with console.Progress().watch(f"loading {run}"):
        recommender = Recommender.load(run)
    allowed = None if chosen is None else _raw_ids(chosen, recommender, "candidates")
    _name_unknown(allowed or [], recommender, "candidates")
    options = {"k": k, "exclude_seen": not include_seen, "candidates": allowed}
    answers = [_answer(recommender, one, options) for one in asked]
    if json:
        console.print_json({"run": run, "answers": answers})
        return
    for answer in answers:
        _print_list(answer)


def _answer(
    recommender: "Recommender", asked: AskedHistory, options: dict[str, Any]
) -> dict[str, Any]:
    name = "history" if asked.user is None else f"history of user {asked.user!r}"
    raw_ids = _raw_ids(asked.item_ids, recommender, name)
    _name_unknown(raw_ids, recommender, name)
    found = recommender.recommend(_events(raw_ids, asked.seconds, name), **options)
    rows = [
        {
            "rank": rank,
            "item": item,
            "score": score,
            "description": recommender.describe(item),
        }
        for rank, (item, score) in enumerate(found, start=1)
    ]
    return {"user": asked.user, "recommendations": rows}


def _raw_ids(texts: list[str], recommender: "Recommender", name: str) -> list[Any]:
    """Ids of the vocabulary's type."""
    vocabulary = recommender.vocabulary
    if vocabulary.id_type == "text":
        return list(texts)
    wanted = f"whole numbers such as {vocabulary.raw_ids[0]}"
    return [
        whole_number(
            text,
            f"`{name}` holds the item {shown(text)} (place {place}), but this model knows "
            f"{wanted}. Pass ids as its log has them.",
        )
        for place, text in enumerate(texts)
    ]


def _events(raw_ids: list[Any], seconds: list[str | None], name: str) -> list[Any]:
    return [
        raw_id
        if text is None
        else (
            raw_id,
            whole_number(
                text,
                f"`{name}` has the time {shown(text)} (place {place}), but times are whole Unix "
                "seconds. Write for example item@1291191960.",
            ),
        )
        for place, (raw_id, text) in enumerate(zip(raw_ids, seconds, strict=True))
    ]


def _name_unknown(raw_ids: list[Any], recommender: "Recommender", name: str) -> None:
    item_ids = recommender.vocabulary.encode(raw_ids)
    unknown = list(
        dict.fromkeys(raw_id for raw_id, i in zip(raw_ids, item_ids, strict=True) if not i)
    )
    if unknown:
        shown = ", ".join(map(repr, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        print(
            f"Note: the model does not know {len(unknown)} item(s) of the {name}, and passes over "
            f"them: {shown}",
            file=sys.stderr,
        )


def _print_list(answer: dict[str, Any]) -> None:
    if answer["user"] is not None:
        print(f"user {answer['user']}")
    rows = answer["recommendations"]
    if not rows:
        print("no item is left to recommend")
    width = max((len(str(row["item"])) for row in rows), default=0)
    for row in rows:
        line = (
            f"{row['rank']:3}  {row['item']!s:{width}}  {row['score']:9.4f}  {row['description']}"
        )
        print(line.rstrip())
