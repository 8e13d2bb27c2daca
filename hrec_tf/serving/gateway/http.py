"""The gateway's door for HTTP and JSON."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from hrec_tf.serving.bodies import Bodies, CrowdedError
from hrec_tf.serving.extra import require
from hrec_tf.serving.gateway.front import Front, refusal
from hrec_tf.serving.gateway.metrics import CONTENT_TYPE
from hrec_tf.serving.gateway.questions import read_events, read_id, read_query
from hrec_tf.serving.gateway.users import Answer
from hrec_tf.serving.http_runner import sender
from hrec_tf.serving.requests import RefusedError

web = require("aiohttp.web")

_CODES = grpc.StatusCode
_STATUS = {
    _CODES.INVALID_ARGUMENT: 400,
    _CODES.UNAUTHENTICATED: 401,
    _CODES.OUT_OF_RANGE: 413,
    _CODES.RESOURCE_EXHAUSTED: 429,
    _CODES.UNAVAILABLE: 503,
}
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}
_MENDS = {
    404: "Known are POST /events, GET /recommendations, DELETE /users/{user}, GET /health and "
    "GET /metrics.",
    405: "Use one that it answers.",
}


def make_app(front: Front, *, max_body: int, max_bodies: int, client_timeout: float) -> Any:
    """Returns the aiohttp application that answers from a `Front`.

    Args:
        front: that answers.
        max_body: bytes of a request.
        max_bodies: that may be coming at once; above that, the slowest is given up.
        client_timeout: seconds in which a body must have come, and an answer must be taken.
    """
    app = web.Application(client_max_size=max_body, middlewares=[sender(client_timeout), _errors])
    door = _Door(front, Bodies(max_bodies), client_timeout)
    app.add_routes(
        [
            web.post("/events", door.add_events),
            web.get("/recommendations", door.recommend, allow_head=False),
            web.delete("/users/{user}", door.forget),
            web.get("/health", door.health, allow_head=False),
            web.get("/metrics", door.metrics, allow_head=False),
        ]
    )
    return app


class _Door:
    def __init__(self, front: Front, bodies: Bodies, client_timeout: float):
        self._front, self._users = front, front.users
        self._bodies, self._seconds = bodies, client_timeout

    async def add_events(self, request: Any) -> Any:
        async def asked() -> Any:
            new = read_events(await request.read())
            answer = await self._users.add(*new)
            counts = {name: getattr(answer, name) for name in ("added", "repeated", "dropped")}
            return _json(counts | _listed(answer, with_items=new.k is not None))

        return await self._answer("/events", request, asked)

    async def recommend(self, request: Any) -> Any:
        async def asked() -> Any:
            answer = await self._users.recommend(*read_query(request.query))
            return _json(_listed(answer, with_items=True))

        return await self._answer("/recommendations", request, asked)

    async def forget(self, request: Any) -> Any:
        async def asked() -> Any:
            user = read_id(request.match_info["user"], "user")
            was_known = await self._users.forget(user)
            return _json({"forgotten": was_known})

        return await self._answer("/users", request, asked)

    async def health(self, _: Any) -> Any:
        version = await self._users.check()
        return _json({"status": "ok", "model_version": version})

    async def metrics(self, request: Any) -> Any:
        async def asked() -> Any:
            text = self._front.metrics.text()
            return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

        return await self._answer("/metrics", request, asked)

    async def _answer(self, route: str, request: Any, asked: Callable[[], Awaitable[Any]]) -> Any:
        authorization = request.headers.get("Authorization", "")
        return await self._front.answer(route, authorization, asked, lambda: self._body(request))

    async def _body(self, request: Any) -> bytes:
        """Returns the body, which the request has at hand from then on."""
        try:
            return await self._bodies.read(request, self._seconds)
        except CrowdedError:
            raise RefusedError(
                _CODES.RESOURCE_EXHAUSTED,
                "The body began first of more than may be coming at once. Send it again in a "
                "second, all at once.",
            ) from None
        except TimeoutError:
            raise ValueError(
                f"The body took longer than {self._seconds:g} s, which is the most. Send it all at "
                "once."
            ) from None
        except web.HTTPRequestEntityTooLarge as error:
            raise RefusedError(
                _CODES.OUT_OF_RANGE,
                f"The body is too large: {error.text}. Send fewer events at once.",
            ) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise ValueError(
                f"The body broke off ({type(error).__name__}), but must be whole. Send it again."
            ) from error


def _listed(answer: Answer, *, with_items: bool) -> dict[str, Any]:
    items = [{"item": item, "score": score} for item, score in answer.items]
    return ({"items": items} if with_items else {}) | {"model_version": answer.version}


def _json(content: dict[str, Any], status: int = 200) -> Any:
    body = json.dumps(content, separators=(",", ":")).encode()
    headers = _HEADERS.get(status)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


@web.middleware
async def _errors(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    try:
        return await handler(request)
    except RefusedError as error:
        return _json({"error": error.message}, _STATUS.get(error.code, 500))
    except web.HTTPException as error:
        mend = _MENDS.get(error.status, "Send a request as HTTP has it.")
        said = f"{request.method} of this address gives {error.status}: {error.reason}. {mend}"
        response = _json({"error": said}, error.status)
        response.headers.update(
            {name: value for name, value in error.headers.items() if name == "Allow"}
        )
        return response
    except Exception as error:
        refused = refusal(error)
        return _json({"error": refused.message}, _STATUS.get(refused.code, 500))
