"""What the gateway keeps of a user, and the bytes it is kept as.

A record is its head (magic, format, CRC-32 of the rest), the length of the text, the text (JSON),
and the state: float32 values, then int64 facts. Numbers are little-endian.
"""

import json
import struct
import zlib
from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np

from hrec_tf.schema import Recommendation
from hrec_tf.serving.answers import State

_HEAD, _LENGTH = struct.Struct("<4sBI"), struct.Struct("<I")
_MAGIC, _FORMAT = b"hrec", 1
_VALUES, _INFO = np.dtype("<f4"), np.dtype("<i8")


class Event(NamedTuple):
    """One event of a user.

    Attributes:
        item: raw id, text or a whole number.
        timestamp: Unix seconds.
        event_id: by which a repeat is known.
        feedback: encoded numbers, for a model that reads feedback.
    """

    item: str | int
    timestamp: int
    event_id: str | None = None
    feedback: tuple[float, ...] | None = None


class Record(NamedTuple):
    """What is kept of a user.

    Attributes:
        version: of the model that made the state and the list.
        events: the newest, in time order.
        is_cut: whether there were older ones.
        items: best items after the last event, seen ones among them.
        state: after the last event; None of a model without `step`.
    """

    version: int
    events: tuple[Event, ...]
    is_cut: bool
    items: tuple[Recommendation, ...]
    state: State | None


class Merged(NamedTuple):
    """A history with new events in their places.

    Attributes:
        events: the newest of all, in time order.
        is_cut: whether older ones were left out, now or before.
        appended: the new events, where they merely follow on those before; else None.
        added, repeated, dropped: numbers of new events; repeated are those whose id is known,
            dropped those whose place, or whose id, is among what was left out.
    """

    events: tuple[Event, ...]
    is_cut: bool
    appended: tuple[Event, ...] | None
    added: int
    repeated: int
    dropped: int


def merge(record: Record | None, new: tuple[Event, ...], max_history: int) -> Merged:
    """Puts new events into a history.

    Above `max_history` events the older half is left out, so that a user with many events is
    replayed once in a while and not at each of them.
    """
    events, is_cut = (list(record.events), record.is_cut) if record else ([], False)
    floor = events[0].timestamp if is_cut else None
    known = {event.event_id for event in events} - {None}
    appended: list[Event] = []
    added = repeated = dropped = 0
    for event in new:
        if event.event_id in known:
            repeated += 1
        elif floor is not None and _is_left_out(event, floor):
            dropped += 1
        else:
            added += 1
            if not events or event.timestamp >= events[-1].timestamp:
                appended.append(event)
            place = bisect_right(events, event.timestamp, key=lambda one: one.timestamp)
            events.insert(place, event)
            known |= {event.event_id} - {None}
    follow_on = len(appended) == added
    if len(events) > max_history:
        events, is_cut, follow_on = events[-max(max_history // 2, 1) :], True, False
    return Merged(
        tuple(events), is_cut, tuple(appended) if follow_on else None, added, repeated, dropped
    )


def _is_left_out(event: Event, floor: int) -> bool:
    # Of the floor's second some events may be left out and others kept: an id that is not known
    # there may have been counted. Without an id, a repeat counts in any case.
    has_id = event.event_id is not None
    return event.timestamp < floor or (event.timestamp == floor and has_id)


def pack(record: Record) -> bytes:
    """Returns a record as bytes."""
    values, info = record.state if record.state else ((), ())
    about = {
        "version": record.version,
        "events": record.events,
        "is_cut": record.is_cut,
        "items": record.items,
        "state_size": len(values),
        "has_state": record.state is not None,
    }
    text = json.dumps(about, separators=(",", ":"), allow_nan=False).encode()
    state = np.asarray(values, _VALUES).tobytes() + np.asarray(info, _INFO).tobytes()
    rest = _LENGTH.pack(len(text)) + text + state
    return _HEAD.pack(_MAGIC, _FORMAT, zlib.crc32(rest)) + rest


def unpack(raw: bytes) -> Record:
    """Reads what `pack` made.

    Raises:
        ValueError: it is of another format, or was changed.
    """
    if len(raw) < _HEAD.size:
        raise ValueError(f"it has {len(raw)} bytes, but a record has more")
    magic, number, checksum = _HEAD.unpack_from(raw)
    if magic != _MAGIC or number != _FORMAT:
        raise ValueError(
            f"it begins with {raw[:5]!r}, but {_MAGIC!r} and format {_FORMAT} are read"
        )
    rest = raw[_HEAD.size :]
    if zlib.crc32(rest) != checksum:
        raise ValueError("its checksum is not that of its content")
    end = _LENGTH.size + _LENGTH.unpack_from(rest)[0]
    about: dict[str, Any] = json.loads(rest[_LENGTH.size : end])
    state, state_from = None, rest[end:]
    if about["has_state"]:
        info_from = about["state_size"] * _VALUES.itemsize
        values = np.frombuffer(state_from[:info_from], _VALUES)
        state = State(values, np.frombuffer(state_from[info_from:], _INFO))
    return Record(
        about["version"],
        tuple(Event(item, when, key, _tuple(said)) for item, when, key, said in about["events"]),
        about["is_cut"],
        tuple(Recommendation(item, score) for item, score in about["items"]),
        state,
    )


def _tuple(numbers: list[float] | None) -> tuple[float, ...] | None:
    return None if numbers is None else tuple(numbers)
