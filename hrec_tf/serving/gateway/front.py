"""What both doors of a gateway share: who may ask, how much at once, and the status of an error."""

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import grpc

from hrec_tf.serving.async_client import ServingError
from hrec_tf.serving.gateway.metrics import Metrics
from hrec_tf.serving.gateway.users import Users
from hrec_tf.serving.requests import RefusedError
from hrec_tf.serving.state_store import StoreError

_LOG = logging.getLogger(__name__)
_SHORTEST_TOKEN = 16
_Found = TypeVar("_Found")


class Tokens:
    """Bearer tokens of a file, one a line, which is read again when it has changed.

    Args:
        path: of the file.

    Raises:
        ValueError: there is none, or one that could be guessed.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | Path):
        self._path, self._stamp = Path(path), _stamp(Path(path))
        self._known = _read_tokens(self._path)

    def are_right(self, authorization: str) -> bool:
        """Returns whether a header of that name brings one of them."""
        self._read_anew()
        scheme, _, given = authorization.partition(" ")
        # Every one is compared: the time tells nothing of which came near.
        token = given.strip().encode("utf-8", "replace")
        is_known = [hmac.compare_digest(token, known) for known in self._known]
        return scheme.lower() == "bearer" and any(is_known)

    def _read_anew(self) -> None:
        if (stamp := _stamp(self._path)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._known = _read_tokens(self._path)
            _LOG.info("%d tokens are known from now on.", len(self._known))
        except (OSError, ValueError) as error:
            _LOG.warning("The tokens before still hold: %s", error)


def _stamp(path: Path) -> tuple[int, ...] | None:
    with suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino  # ctime tells of access
    return None


def _read_tokens(path: Path) -> tuple[bytes, ...]:
    lines = path.read_text(encoding="utf-8").split()
    if not lines or min(map(len, lines)) < _SHORTEST_TOKEN:
        raise ValueError(
            f"{str(path)!r} holds {len(lines)} tokens, of which each must have at least "
            f"{_SHORTEST_TOKEN} characters, and one must be there. Write one a line, e.g. of: "
            "openssl rand -hex 32."
        )
    return tuple(line.encode() for line in lines)


class Front:
    """Lets requests through to `Users`.

    Args:
        users: that answer.
        metrics: that count the requests.
        tokens: of which a request must bring one; None lets everybody ask.
        max_requests: that run or wait for an answer; to more it is RESOURCE_EXHAUSTED.
    """

    def __init__(
        self,
        users: Users,
        metrics: Metrics,
        *,
        tokens: Tokens | None,
        max_requests: int,
    ):
        self.users, self.metrics = users, metrics
        self._tokens, self._max_requests = tokens, max_requests
        self._requests = 0

    async def answer(
        self,
        route: str,
        authorization: str,
        asked: Callable[[], Awaitable[_Found]],
        arrival: Callable[[], Awaitable[object]] | None = None,
    ) -> _Found:
        """Returns what is asked for, counted.

        Args:
            route: by which it is counted.
            authorization: the header of that name.
            asked: finds the answer.
            arrival: returns when the request is whole. Until then it is none of `max_requests`,
                so that slow clients leave room for others.

        Raises:
            RefusedError: instead of whatever else was wrong.
        """
        begin, code = time.perf_counter(), grpc.StatusCode.OK
        try:
            self._require_token(authorization)
            if arrival is not None:
                await arrival()
            self._require_room()
            self._requests += 1
            self.metrics.in_progress.set(self._requests)
            try:
                return await asked()
            finally:
                self._requests -= 1
                self.metrics.in_progress.set(self._requests)
        except asyncio.CancelledError:  # nobody waits any more
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as error:
            refused = refusal(error)
            code = refused.code
            raise refused from error
        finally:
            self.metrics.requests.labels(route, code.name).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - begin)

    def _require_token(self, authorization: str) -> None:
        if self._tokens is not None and not self._tokens.are_right(authorization):
            raise RefusedError(
                grpc.StatusCode.UNAUTHENTICATED,
                "The request brings no token that is known, but this gateway wants one. Send the "
                'header "Authorization: Bearer TOKEN".',
            )

    def _require_room(self) -> None:
        if self._requests >= self._max_requests:
            raise RefusedError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self._requests} requests are being answered or wait for it, which is all that "
                "may. Ask again in a second.",
            )


def refusal(error: Exception) -> RefusedError:
    """Returns the refusal that an error makes."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, ValueError | TypeError):
        return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    if isinstance(error, ServingError):
        return RefusedError(
            grpc.StatusCode.UNAVAILABLE,
            f"The model does not answer ({error.code}), so nothing was done. Ask again in a "
            "second.",
        )
    if isinstance(error, StoreError):
        return RefusedError(
            grpc.StatusCode.UNAVAILABLE,
            f"{error} Nothing is known to be done. Ask again in a second; an event with an id is "
            "never counted twice.",
        )
    # Its text and its traceback may quote ids.
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "?"
    _LOG.error("A request could not be answered: %s at %s.", type(error).__name__, where)
    return RefusedError(
        grpc.StatusCode.INTERNAL,
        f"The gateway failed ({type(error).__name__}), which its log tells of. Expected an answer. "
        "Report it.",
    )
