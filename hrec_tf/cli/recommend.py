"""`hrec recommend`: what a trained model recommends after a history."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrec_tf.cli import console
from hrec_tf.cli.history_text import (
    AskedHistory,
    events_of,
    name_unknown,
    of_file,
    of_text,
    raw_ids_of,
    split_ids,
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
    at: Annotated[
        int | None,
        typer.Option(
            help="Unix seconds, the time of asking, of a model that is told it (the time of the "
            "last event)."
        ),
    ] = None,
    user_features: Annotated[
        str | None,
        typer.Option(help="Of a model that reads them, e.g. age=25,gender=F."),
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
    allowed = None if chosen is None else raw_ids_of(chosen, recommender.vocabulary, "candidates")
    name_unknown(allowed or [], recommender.vocabulary, "candidates")
    options: dict[str, Any] = {"k": k, "exclude_seen": not include_seen, "candidates": allowed}
    options["at"] = at
    if user_features is not None:
        options["user_features"] = _named_values(user_features)
    answers = [_answer(recommender, one, options) for one in asked]
    if json:
        console.print_json({"run": run, "answers": answers})
        return
    for answer in answers:
        _print_list(answer)


def _named_values(text: str) -> dict[str, str]:
    """Reads `age=25,gender=F`."""
    values = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(
                f"`user_features` was {text!r}, but must be name=value with commas between them. "
                "Pass for example --user-features age=25,gender=F."
            )
        values[name.strip()] = value.strip()
    return values


def _answer(
    recommender: "Recommender", asked: AskedHistory, options: dict[str, Any]
) -> dict[str, Any]:
    name = "history" if asked.user is None else f"history of user {asked.user!r}"
    raw_ids = raw_ids_of(asked.item_ids, recommender.vocabulary, name)
    name_unknown(raw_ids, recommender.vocabulary, name)
    found = recommender.recommend(events_of(raw_ids, asked.seconds, name), **options)
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
