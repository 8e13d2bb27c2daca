"""What the demo page asks of a recommender: plain values in, plain values for JSON out.

Ids are text on both sides, as in a shell: a browser cannot hold every whole number.
"""

import re
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

import numpy as np

from hrec_tf import checks
from hrec_tf.user_history import read_history, session_numbers

MAX_EVENTS = 500
"""Of a history: an explanation takes the square of their number."""
MAX_LISTED = 100
"""Items of a list, and of a search."""
MAX_QUERY = 200
RULES_KEPT = 8
"""Idle times whose graphs are kept; another one is traced again."""

_KEYS = {
    "recommend": ("history", "k", "exclude_seen", "idle_minutes"),
    "explain": ("history", "idle_minutes"),
}
_WHOLE_NUMBER = "[+-]?[0-9]{1,100}"


class Answers:
    """Lists, explanations and the catalogue of one recommender.

    Args:
        recommender: a `hrec_tf.recommender.Recommender`.
        name: what the page calls it.
        examples: histories `[(raw id, Unix seconds), ...]` to begin with.
    """

    def __init__(self, recommender: Any, *, name: str, examples: Sequence[Any] = ()):
        self._recommender, self._name, self._examples = recommender, name, examples
        self._under = lru_cache(RULES_KEPT)(self._under_rule)
        self._under(recommender.idle_minutes)
        self._raw_ids = recommender.vocabulary.raw_ids.to_list()
        self._place_of = {str(raw_id): place for place, raw_id in enumerate(self._raw_ids)}
        self._texts = [
            f"{raw_id} {recommender.describe(raw_id)}".casefold() for raw_id in self._raw_ids
        ]

    def model(self) -> dict[str, Any]:
        """Returns what there is to know of the model before it is asked."""
        model = self._recommender.model
        return {
            "name": self._name,
            "model": type(model).__name__,
            "items": len(self._raw_ids),
            "idle_minutes": self._recommender.idle_minutes,
            "explains": hasattr(model, "explain"),
            "reads": list(self._recommender.inference.context),
            "max_events": MAX_EVENTS,
            "max_k": min(MAX_LISTED, len(self._raw_ids)),
            "examples": [
                [[str(raw_id), int(seconds)] for raw_id, seconds in history]
                for history in self._examples
            ],
        }

    def items(self, query: str = "", limit: int = 20) -> dict[str, Any]:
        """Returns items whose id or description holds all words of a query, frequent ones first.

        The item whose id is the query itself comes before all others.

        Raises:
            ValueError: a query that is too long, or a limit outside its range.
        """
        _check_at_most("limit", limit, MAX_LISTED)
        if len(query) > MAX_QUERY:
            raise ValueError(
                f"`query` has {len(query):,} characters, but at most {MAX_QUERY} are searched for. "
                "Type a part of the id or of the description."
            )
        words, itself = query.casefold().split(), query.strip()
        places = [self._place_of[itself]] if itself in self._place_of else []
        others = (
            place
            for place, text in enumerate(self._texts)
            if place not in places and all(word in text for word in words)
        )
        places.extend(islice(others, limit - len(places)))
        return {"items": [self._described(self._raw_ids[place]) for place in places]}

    def typed(self, asked: Any) -> dict[str, Any]:
        """Returns the items that a typed or pasted text means, in its order.

        A text that is an id means that item. Else each line is an id, or ids between commas; one
        between commas may be several words, each of which is an id. A text that is none of this
        is a query, and means the first item that it finds; where it finds none, it is its words
        if one of them is an id, or else one unknown item.

        Args:
            asked: `text`.

        Returns:
            `items`, of which unknown ones are not `known`; a history may hold them.

        Raises:
            ValueError: a text without ids, one of too many, or one that no id of this model's
                type can be.
            TypeError: something else than text.
        """
        if not isinstance(asked, Mapping) or set(asked) != {"text"}:
            raise ValueError(
                f"The question was {asked!r}, but must be `text` alone. Send a JSON object such as "
                '{"text": "tea, jam"}.'
            )
        if not isinstance(asked["text"], str):
            raise TypeError(f"`text` was {asked['text']!r}, but must be text. Send ids as text.")
        names = self._names(asked["text"])
        if not 1 <= len(names) <= MAX_EVENTS:
            raise ValueError(
                f"`text` holds {len(names):,} ids, but a history has 1..{MAX_EVENTS} events. Type "
                "ids between commas or on lines of their own."
            )
        return {"items": [self._named(name) for name in names]}

    def recommend(self, asked: Any) -> dict[str, Any]:
        """Returns the list after a history, and how the rule cuts that history into sessions.

        Args:
            asked: `history` [[id, seconds], ...], and where it differs from the usual `k` (10, or
                the whole of a smaller catalogue), `exclude_seen` (True) and `idle_minutes` (as
                trained; None never ends a session).

        Raises:
            ValueError, TypeError: something that cannot be asked for.
        """
        history, options = self._read(asked, "recommend")
        recommender = self._under(options["idle_minutes"])
        k = options.get("k", min(10, len(self._raw_ids)))
        exclude_seen = options.get("exclude_seen", True)
        _check_at_most("k", k, MAX_LISTED)
        if not isinstance(exclude_seen, bool):
            raise TypeError(
                f"`exclude_seen` was {exclude_seen!r}, but must be true or false. Leave it out "
                "for true."
            )
        begin = time.perf_counter()
        found = recommender.recommend(history, k=k, exclude_seen=exclude_seen)
        milliseconds = 1000 * (time.perf_counter() - begin)
        events = read_history(history)
        sessions = session_numbers(events.timestamps, recommender.idle_minutes).tolist()
        known = (recommender.vocabulary.encode(events.raw_ids) > 0).tolist()
        return {
            "items": [{**self._described(raw_id), "score": score} for raw_id, score in found],
            "events": [
                {**self._described(raw_id), "session": session, "known": is_known}
                for raw_id, session, is_known in zip(events.raw_ids, sessions, known, strict=True)
            ],
            "milliseconds": round(milliseconds, 3),
        }

    def explain(self, asked: Any) -> dict[str, Any]:
        """Returns what the model did at the events that it read for its list.

        Args:
            asked: `history`, and `idle_minutes` where it differs from the trained one.

        Returns:
            `places` of those events in the history, and `parts`: the attention of the list on
            each event, the mean of each gate's units, and how sure a segment began there.

        Raises:
            ValueError, TypeError: a model that explains nothing, or a bad history.
        """
        history, options = self._read(asked, "explain")
        found = self._under(options["idle_minutes"]).explain(history)
        parts = {
            "attention": {name: rows[-1] for name, rows in found.attentions.items()},
            "gate": {name: units.mean(axis=1) for name, units in found.gates.items()},
            "boundary": found.boundaries,
        }
        # Sessions and events that the model does not read are those before the ones it does.
        item_ids = self._recommender.vocabulary.encode([raw_id for raw_id, _ in history])
        return {
            "places": np.flatnonzero(item_ids)[-len(found.item_ids) :].tolist(),
            "parts": [
                {"kind": kind, "name": name, "values": np.round(values, 6).tolist()}
                for kind, held in parts.items()
                for name, values in held.items()
            ],
        }

    def _under_rule(self, idle_minutes: float | None) -> Any:
        """The recommender under another session rule, which has answered once."""
        ours = self._recommender
        recommender = ours
        if idle_minutes != ours.idle_minutes:
            recommender = type(ours)(
                ours.model,
                ours.vocabulary,
                idle_minutes=idle_minutes,
                descriptions=ours.descriptions,
                schemas=ours.schemas,
            )
        # The first answer traces a graph; the time of those after it is what is shown.
        recommender.recommend(k=1)
        return recommender

    def _names(self, text: str) -> list[str]:
        """The ids in a text, as they were typed."""
        # An id can hold commas and spaces, but no line break.
        if self._is_known(text.strip()):
            return [text.strip()]
        parts: list[str] = []
        for line in re.split(r"[\r\n]+", text):
            parts.extend([line] if self._is_known(line.strip()) else line.split(","))
        parts = [part.strip() for part in parts if part.strip()]
        names = [name for part in parts for name in self._between_commas(part)]
        is_query = len(names) == 1 and not self._is_known(names[0])
        return self._found(names[0]) if is_query else names

    def _between_commas(self, part: str) -> list[str]:
        """The words of a part where each is an id, or else the part."""
        # A word that a text model does not know may be part of an id; a whole number is one.
        words = part.split()
        is_id = self._is_known if self._is_of_text else self._written
        return words if not self._is_known(part) and all(map(is_id, words)) else [part]

    def _found(self, query: str) -> list[str]:
        """The first item that a query finds; where there is none, the ids that it is made of."""
        if len(query) <= MAX_QUERY and (found := self.items(query, limit=1)["items"]):
            return [found[0]["id"]]
        return query.split() if any(map(self._is_known, query.split())) else [query]

    def _named(self, name: str) -> dict[str, Any]:
        written = self._written(name)
        if written is None:
            raise ValueError(
                f"`text` holds {name!r}, but this model knows whole numbers such as "
                f"{self._raw_ids[0]}. Type ids as its log has them, or words of one description."
            )
        if written not in self._place_of:
            return {"id": written, "description": "", "known": False}
        return {**self._described(self._raw_ids[self._place_of[written]]), "known": True}

    def _is_known(self, name: str) -> bool:
        return self._written(name) in self._place_of

    def _written(self, name: str) -> str | None:
        """An id as this page writes it; None if no id of the model's type can be that."""
        if self._is_of_text:
            return name
        return str(int(name)) if re.fullmatch(_WHOLE_NUMBER, name) else None

    @property
    def _is_of_text(self) -> bool:
        return self._recommender.vocabulary.id_type == "text"

    def _described(self, raw_id: Any) -> dict[str, str]:
        return {"id": str(raw_id), "description": self._recommender.describe(raw_id)}

    def _read(
        self, asked: Any, question: Literal["recommend", "explain"]
    ) -> tuple[list[tuple[Any, Any]], dict[str, Any]]:
        """The history and the options of a question, the session rule among them."""
        if not isinstance(asked, Mapping) or "history" not in asked:
            raise ValueError(
                "The question holds no `history`, but a list follows from one. Send a JSON object "
                'such as {"history": [["tea", 1700000000]]}.'
            )
        for key in asked:
            checks.require_choice(f"key of a {question} question", key, _KEYS[question])
        options = {key: value for key, value in asked.items() if key != "history"}
        minutes = options.setdefault("idle_minutes", self._recommender.idle_minutes)
        if minutes is not None:
            mend = "Send minutes, e.g. 30, or null for sessions that never end."
            options["idle_minutes"] = checks.require_number(
                "idle_minutes", minutes, minimum=0, mend=mend
            )
        events = asked["history"]
        if not isinstance(events, list) or len(events) > MAX_EVENTS:
            what = f"{len(events):,} events" if isinstance(events, list) else repr(events)
            raise ValueError(
                f"`history` was {what}, but must be a list of at most {MAX_EVENTS} events. Send "
                "the newest ones as [[id, Unix seconds], ...]."
            )
        return [self._event(event, row) for row, event in enumerate(events)], options

    def _event(self, event: Any, row: int) -> tuple[Any, Any]:
        if (
            not isinstance(event, list)
            or len(event) != 2
            or isinstance(event[0], bool)
            or not isinstance(event[0], str | int)
        ):
            raise ValueError(
                f"`history` holds {event!r} (row {row}), but an event is [id, Unix seconds], its "
                'id text or a whole number. Send for example ["tea", 1700000000].'
            )
        raw_id, seconds = str(event[0]), event[1]
        if self._is_of_text:
            return _encodable(raw_id, row), seconds
        if not re.fullmatch(_WHOLE_NUMBER, raw_id):
            raise ValueError(
                f"`history` holds the item {raw_id!r} (row {row}), but this model knows whole "
                f"numbers such as {self._raw_ids[0]}. Send ids as its log has them."
            )
        return int(raw_id), seconds


def _encodable(text: str, row: int) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"`history` holds the item {text!r} (row {row}), which is half of a character, but ids "
            "are Unicode text. Send ids as its log has them."
        ) from error
    return text


def _check_at_most(name: str, value: Any, maximum: int) -> None:
    mend = f"Send a whole number 1..{maximum}."
    if checks.require_positive_int(name, value, mend=mend) > maximum:
        raise ValueError(f"`{name}` must be at most {maximum}, but was {value}. {mend}")
