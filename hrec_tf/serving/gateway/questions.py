"""What a gateway is asked over HTTP, read from JSON and from the query of an address."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from hrec_tf import checks
from hrec_tf.serving.gateway.records import Event

LONGEST_ID = 256
"""Characters of a user, an item or an event id."""
MAX_EVENTS = 1000
"""Events of one request."""
_OF_EVENT = ("user", "item", "timestamp", "event", "feedback")
_OF_LIST = ("k", "exclude_seen")
_DECIMAL = re.compile(r"-?[0-9]{1,19}")
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


class NewEvents(NamedTuple):
    """Events of one user, and the list that is wanted after them; `k` None for none."""

    user: str
    events: tuple[Event, ...]
    k: int | None
    exclude_seen: bool


class WantedList(NamedTuple):
    """The list that a user wants; `k` None for the longest, `at` None for after the last event."""

    user: str
    k: int | None
    exclude_seen: bool
    at: int | None


def read_events(body: bytes) -> NewEvents:
    """Reads the body of `POST /events`.

    Raises:
        ValueError: it is no JSON of that kind.

    Example:
        >>> read_events(b'{"user": "u1", "item": "tea", "timestamp": 1700000000}').events
        (Event(item='tea', timestamp=1700000000, event_id=None, feedback=None),)
    """
    content = _object(_parsed(body), "the body")
    rows = [content]
    if "events" not in content:
        _require_known(content, "the body", (*_OF_EVENT, *_OF_LIST))
    else:
        _require_known(content, "the body", ("events", *_OF_LIST))
        rows = content["events"]
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_EVENTS:
            raise ValueError(
                f"`events` was {_shown(rows)}, but must be a list of 1 to {MAX_EVENTS} events. "
                "Send more in several requests."
            )
        for place, row in enumerate(rows):
            _require_known(_object(row, f"event {place}"), f"event {place}", _OF_EVENT)
    read = [_read_event(row) for row in rows]
    users = {user for user, _ in read}
    if len(users) > 1:
        raise ValueError(
            f"`events` names {len(users)} users, but the events of a request are of one user: they "
            "are added all or none. Send a request for each user."
        )
    k = content.get("k")
    if k is not None:
        checks.require_positive_int("k", k, mend="Send for example 10, or leave it out.")
    exclude_seen = content.get("exclude_seen", False)
    if not isinstance(exclude_seen, bool):
        raise ValueError(
            f"`exclude_seen` was {_shown(exclude_seen)}, but must be true or false. Leave it out "
            "for false."
        )
    if k is None and "exclude_seen" in content:
        raise ValueError(
            "`exclude_seen` was sent without `k`, so that there is no list it could shape. Send "
            "`k`, too, e.g. 10."
        )
    return NewEvents(users.pop(), tuple(event for _, event in read), k, exclude_seen)


def read_query(query: Mapping[str, Any]) -> WantedList:
    """Reads the query of `GET /recommendations`.

    Raises:
        ValueError: a name that is unknown, missing or there twice, or a value of another type.

    Example:
        >>> read_query({"user": "u1", "k": "10"})
        WantedList(user='u1', k=10, exclude_seen=False, at=None)
    """
    _require_known(query, "the query", ("user", *_OF_LIST, "at"))
    if len(set(query)) < len(query):
        raise ValueError("The query names a value twice, of which one would be lost. Name it once.")
    k, exclude_seen, at = query.get("k"), query.get("exclude_seen", "false"), query.get("at")
    if k is not None and not (k.isascii() and k.isdecimal() and 0 < len(k) < 10 and int(k)):
        raise ValueError(f"`k` was {_shown(k)}, but must be a positive whole number. Ask k=10.")
    if exclude_seen not in ("true", "false"):
        raise ValueError(
            f"`exclude_seen` was {_shown(exclude_seen)}, but must be true or false. Leave it out "
            "for false."
        )
    if at is not None and not (_DECIMAL.fullmatch(at) and _LOWEST <= int(at) <= _HIGHEST):
        raise ValueError(
            f"`at` was {_shown(at)}, but must be whole Unix seconds, the time of asking. Ask for "
            "example at=1700000000, or leave it out."
        )
    return WantedList(
        read_id(query.get("user"), "user"),
        None if k is None else int(k),
        exclude_seen == "true",
        None if at is None else int(at),
    )


def read_id(value: Any, name: str) -> str:
    """Returns an id that is text, or raises ValueError where it is none."""
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_ID:
        also = " or a whole number of int64" if name == "item" else ""
        raise ValueError(
            f"`{name}` was {_shown(value)}, but must be text of 1 to {LONGEST_ID} "
            f"characters{also}. Send the id as your log has it."
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"`{name}` was {_shown(value)}, which is no Unicode text: {error.reason}. Send it as "
            "UTF-8."
        ) from error
    return value


def read_item(item: Any) -> str | int:
    """Returns an item's raw id, or raises ValueError where it is none."""
    if isinstance(item, int) and not isinstance(item, bool) and _LOWEST <= item <= _HIGHEST:
        return item
    return read_id(item, "item")


def read_feedback(feedback: Any) -> tuple[float, ...] | None:
    """Returns the numbers of an event, or raises ValueError where they are none."""
    if feedback is None:
        return None
    is_list = isinstance(feedback, list) and len(feedback) <= LONGEST_ID
    if not is_list or not all(
        isinstance(one, int | float) and not isinstance(one, bool) and _is_finite(one)
        for one in feedback
    ):
        raise ValueError(
            f"`feedback` was {_shown(feedback)}, but must be a list of finite numbers. Encode it "
            "by the features' schema, or leave it out."
        )
    return tuple(float(one) for one in feedback)


def _read_event(row: dict[str, Any]) -> tuple[str, Event]:
    item, timestamp, event_id = (row.get(name) for name in ("item", "timestamp", "event"))
    if isinstance(timestamp, bool) or not isinstance(timestamp, int):
        raise ValueError(
            f"`timestamp` was {_shown(timestamp)}, but must be whole Unix seconds. Send for "
            "example 1700000000."
        )
    if event_id is not None:
        event_id = read_id(event_id, "event")
    event = Event(read_item(item), timestamp, event_id, read_feedback(row.get("feedback")))
    return read_id(row.get("user"), "user"), event


def _is_finite(number: float) -> bool:
    return abs(number) < 2**127  # false of NaN, and of what is infinite in float32


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"The body is no JSON that can be read ({error}). Expected an object. Send for example "
            '{"user": "u1", "item": "tea", "timestamp": 1700000000}.'
        ) from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a name twice")
    return found


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(
            f"{what.capitalize()} was {_shown(value)}, but must be an object. Send for example "
            '{"user": "u1", "item": "tea", "timestamp": 1700000000}.'
        )
    return value


def _require_known(given: Mapping[str, Any], what: str, known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(
                f"{what.capitalize()} has {_shown(name)}, which would be ignored: known are "
                f"{', '.join(known)}. {checks.did_you_mean(name, known)}"
            )


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
