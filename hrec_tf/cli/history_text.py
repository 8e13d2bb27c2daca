"""Histories as the command line gets them: text, or a CSV."""

import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hrec_tf.data.vocabulary import Vocabulary

_LONGEST_SHOWN = 100
_MOST_DIGITS = 100
"""Of a whole number: five times what int64 has; more is no id or time, but a slip."""


class AskedHistory(NamedTuple):
    """A user's history as text: raw ids, and seconds or None."""

    user: str | None
    item_ids: list[str]
    seconds: list[str | None]


def split_ids(text: str, name: str) -> list[str]:
    """Returns the ids between the commas; none of an empty text."""
    parts = text.split(",") if text else []
    for place, part in enumerate(parts):
        if not part:
            raise ValueError(
                f"`{name}` was {text!r}, which has nothing at place {place}, but items are "
                "separated by single commas. Take one comma out; ids with commas go through "
                "--history-file."
            )
    return parts


def of_text(text: str) -> AskedHistory:
    """Reads `id@seconds,id@seconds`, or ids alone."""
    pairs = [
        part.rpartition("@") if "@" in part else (part, "", None)
        for part in split_ids(text, "history")
    ]
    for raw_id, sign, seconds in pairs:
        if not raw_id:
            raise ValueError(
                f"`history` holds {sign + str(seconds)!r}, which has no item before the @, but an "
                "event is item@seconds. Write for example 85123A@1291191960."
            )
    return AskedHistory(
        None, [raw_id for raw_id, _, _ in pairs], [seconds for _, _, seconds in pairs]
    )


def of_file(path: str) -> list[AskedHistory]:
    """Reads a CSV; users in the order in which they first come."""
    import polars as pl

    source: Any = sys.stdin.buffer.read() if path == "-" else path
    try:
        rows = pl.read_csv(source, infer_schema=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"`history_file` was {path!r}, but there is no such file. Pass a CSV, or - for "
            "standard input."
        ) from error
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"`history_file` was {path!r}, which is no CSV ({error}). Pass a file with a heading, "
            "item,timestamp or user,item,timestamp."
        ) from error
    strange = [name for name in rows.columns if name not in ("user", "item", "timestamp")]
    if strange or "item" not in rows.columns:
        raise ValueError(
            f"`history_file` {path!r} has the columns {', '.join(rows.columns)}, but a history "
            "has item, and may have timestamp and user. Rename or drop the others."
        )
    for name in rows.columns:
        missing = rows[name].is_null().arg_true()
        if len(missing):
            raise ValueError(
                f"`history_file` {path!r} has no {name} at row {missing[0]} (after the heading, "
                "from 0), but every event needs one. Fill it in, or drop the row."
            )
    times = rows["timestamp"].to_list() if "timestamp" in rows.columns else [None] * len(rows)
    users = rows["user"].to_list() if "user" in rows.columns else [None] * len(rows)
    asked: dict[str | None, AskedHistory] = {}
    for user, item, seconds in zip(users, rows["item"].to_list(), times, strict=True):
        one = asked.setdefault(user, AskedHistory(user, [], []))
        one.item_ids.append(item)
        one.seconds.append(seconds)
    return list(asked.values()) or [AskedHistory(None, [], [])]


def raw_ids_of(texts: list[str], vocabulary: "Vocabulary", name: str) -> list[Any]:
    """Returns ids of the vocabulary's type."""
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


def events_of(raw_ids: list[Any], seconds: list[str | None], name: str) -> list[Any]:
    """Returns a history as `Recommender` takes it."""
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


def name_unknown(raw_ids: list[Any], vocabulary: "Vocabulary", name: str) -> None:
    """Says on stderr which items a model passes over."""
    item_ids = vocabulary.encode(raw_ids)
    unknown = list(
        dict.fromkeys(raw_id for raw_id, i in zip(raw_ids, item_ids, strict=True) if not i)
    )
    if unknown:
        listed = ", ".join(map(repr, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        print(
            f"Note: the model does not know {len(unknown)} item(s) of the {name}, and passes over "
            f"them: {listed}",
            file=sys.stderr,
        )


def shown(text: str) -> str:
    """Returns the text in quotes; the beginning alone of a very long one."""
    if len(text) <= _LONGEST_SHOWN:
        return repr(text)
    return f"{text[:_LONGEST_SHOWN]!r}... ({len(text):,} characters)"


def whole_number(text: str, complaint: str) -> int:
    """Returns the number, or raises with the complaint."""
    # `int` would also take 1_000, which is another id than 1000; and of very long ones it
    # complains in words of its own.
    if not re.fullmatch(rf"\s*[+-]?[0-9]{{1,{_MOST_DIGITS}}}\s*", text):
        raise ValueError(complaint)
    return int(text)
