"""The gateway's door for gRPC, as `gateway.proto` beside this file has it.

The messages are made of the table below: no generated code, which would go with one version of
protobuf. A test compares them with what `protoc` reads from the file.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from hrec_tf.serving import protocol
from hrec_tf.serving.gateway.front import Front
from hrec_tf.serving.gateway.questions import (
    MAX_EVENTS,
    read_feedback,
    read_id,
    read_item,
)
from hrec_tf.serving.gateway.records import Event
from hrec_tf.serving.requests import RefusedError, for_header

PACKAGE = "hrec_tf.gateway"
SERVICE = f"{PACKAGE}.GatewayService"
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Event": {
        "item": (1, "string"),
        "timestamp": (2, "int64"),
        "event_id": (3, "string"),
        "feedback": (4, "*float"),
    },
    "RecommendedItem": {"item": (1, "string"), "score": (2, "float")},
    "AddEventsRequest": {
        "user": (1, "string"),
        "events": (2, "*Event"),
        "k": (3, "int32"),
        "exclude_seen": (4, "bool"),
    },
    "AddEventsResponse": {
        "added": (1, "int32"),
        "repeated_events": (2, "int32"),
        "dropped": (3, "int32"),
        "items": (4, "*RecommendedItem"),
        "model_version": (5, "int64"),
    },
    "RecommendRequest": {
        "user": (1, "string"),
        "k": (2, "int32"),
        "exclude_seen": (3, "bool"),
        "at": (4, "int64"),
    },
    "RecommendResponse": {"items": (1, "*RecommendedItem"), "model_version": (2, "int64")},
    "ForgetUserRequest": {"user": (1, "string")},
    "ForgetUserResponse": {"forgotten": (1, "bool")},
}
CLASSES = protocol.message_classes(MESSAGES, package=PACKAGE)


def make_handler(front: Front) -> Any:
    """Returns the handler of a gRPC server of asyncio that answers from a `Front`."""
    door = _Door(front)
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            _answered(front, name, method),
            response_serializer=CLASSES[f"{name}Response"].SerializeToString,
        )
        for name, method in (
            ("AddEvents", door.add_events),
            ("Recommend", door.recommend),
            ("ForgetUser", door.forget),
        )
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)


class _Door:
    def __init__(self, front: Front):
        self._users = front.users

    async def add_events(self, request: Any) -> Any:
        k, count = _read_k(request.k), len(request.events)
        if not 1 <= count <= MAX_EVENTS:
            raise ValueError(
                f"`events` holds {count} events, but must hold 1 to {MAX_EVENTS}. Send more in "
                "several requests."
            )
        if request.exclude_seen and k is None:
            raise ValueError(
                "`exclude_seen` was sent without `k`, so that there is no list it could shape. "
                "Send `k`, too, e.g. 10."
            )
        is_number = await self._users.has_whole_numbers()
        events = tuple(_read_event(event, is_number) for event in request.events)
        user = read_id(request.user, "user")
        answer = await self._users.add(user, events, k, request.exclude_seen)
        return CLASSES["AddEventsResponse"](
            added=answer.added,
            repeated_events=answer.repeated,
            dropped=answer.dropped,
            **_listed(answer),
        )

    async def recommend(self, request: Any) -> Any:
        user, k = read_id(request.user, "user"), _read_k(request.k)
        answer = await self._users.recommend(user, k, request.exclude_seen, request.at or None)
        return CLASSES["RecommendResponse"](**_listed(answer))

    async def forget(self, request: Any) -> Any:
        user = read_id(request.user, "user")
        was_known = await self._users.forget(user)
        return CLASSES["ForgetUserResponse"](forgotten=was_known)


def _answered(front: Front, route: str, method: Callable[[Any], Awaitable[Any]]) -> Any:
    async def answer(message: bytes, context: Any) -> Any:
        metadata = dict(context.invocation_metadata() or ())
        authorization = str(metadata.get("authorization", ""))
        try:
            return await front.answer(route, authorization, lambda: method(_read(route, message)))
        except RefusedError as error:
            await context.abort(error.code, for_header(error.message))

    return answer


def _read(route: str, message: bytes) -> Any:
    kind = CLASSES[f"{route}Request"]
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise ValueError(
            f"The message is no {kind.DESCRIPTOR.full_name}: {error}. Send one as gateway.proto "
            "has it."
        ) from error


def _read_event(event: Any, is_number: bool) -> Event:
    item: Any = event.item
    if is_number:
        with suppress(ValueError):  # the model says what it reads
            item = int(item)
    event_id = read_id(event.event_id, "event_id") if event.event_id else None
    feedback = read_feedback(list(event.feedback)) if event.feedback else None
    return Event(read_item(item), event.timestamp, event_id, feedback)


def _read_k(k: int) -> int | None:
    if k < 0:
        raise ValueError(f"`k` was {k}, but must be at least 0. Leave it out, or send e.g. 10.")
    return k or None


def _listed(answer: Any) -> dict[str, Any]:
    item = CLASSES["RecommendedItem"]
    items = [item(item=str(raw_id), score=score) for raw_id, score in answer.items]
    return {"items": items, "model_version": answer.version}
