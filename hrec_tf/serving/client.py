"""A client of TensorFlow Serving, or of `hrec_tf.serving.server`, for exported recommenders.

What it asks and how it reads the answers is `AsyncClient`'s; here nothing waits in a loop.
"""

import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from hrec_tf.serving.answers import State
from hrec_tf.serving.async_client import AsyncClient, ServingError, method_of
from hrec_tf.serving.tls import ClientTLS

__all__ = ["Client", "ServingError", "State"]

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class _Blocking(AsyncClient):
    """Asks without a loop: its coroutines do not wait, but block."""

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._channel = self._opened(grpc)

    async def close(self) -> None:
        self._channel.close()

    async def _send(self, path: str, request: Any, response: Any, seconds: float) -> Any:
        return method_of(self._channel, path, response)(request, timeout=seconds)

    async def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _blocking(
    method: Callable[Concatenate[AsyncClient, _Given], Coroutine[Any, Any, _Found]],
) -> Callable[Concatenate["Client", _Given], _Found]:
    @functools.wraps(method)
    def ask(client: "Client", *arguments: _Given.args, **named: _Given.kwargs) -> _Found:
        try:
            method(client._asking, *arguments, **named).send(None)
        except StopIteration as ended:
            return ended.value
        raise RuntimeError("A question waits for a loop, but there is none. Report it.")

    return ask


class Client:
    """Asks a served recommender: raw ids in, raw ids out.

    May be used by several threads. Nothing is sent before the first question. In a program with an
    asyncio loop, `hrec_tf.serving.async_client.AsyncClient` asks the same with `await`.

    Args:
        address: "host:port" of the server's gRPC port.
        model_name: as the server calls it.
        timeout: seconds for one request, with all its retries.
        max_history, version, retries, tls: see `AsyncClient`.

    Raises:
        ValueError: an argument out of its range.
        OSError: a file of `tls` that cannot be read.

    Example:
        with Client("127.0.0.1:8500") as client:
            client.recommend([("tea", 1_700_000_000), ("jam", 1_700_000_060)], k=5)
    """

    def __init__(
        self,
        address: str,
        model_name: str = "recommender",
        timeout: float = 5.0,
        *,
        max_history: int = 2048,
        version: int | None = None,
        retries: int = 3,
        tls: ClientTLS | None = None,
    ):
        self._asking = _Blocking(
            address,
            model_name,
            timeout,
            max_history=max_history,
            version=version,
            retries=retries,
            tls=tls,
        )
        self.address, self.model_name = address, model_name

    recommend = _blocking(AsyncClient.recommend)
    recommend_batch = _blocking(AsyncClient.recommend_batch)
    replay = _blocking(AsyncClient.replay)
    step = _blocking(AsyncClient.step)
    step_batch = _blocking(AsyncClient.step_batch)
    score = _blocking(AsyncClient.score)
    encode = _blocking(AsyncClient.encode)
    status = _blocking(AsyncClient.status)
    metadata = _blocking(AsyncClient.metadata)

    def close(self) -> None:
        """Closes the connection. Nothing may be asked any more."""
        self._asking._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
