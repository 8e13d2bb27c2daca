"""An HTTP runner that closes connections on which no request comes, or no answer is taken."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from hrec_tf.serving.extra import require

web: Any = require("aiohttp.web", by="REST")

HEAD_SECONDS = 30.0
"""In which the first request of a connection must have come, up to its body."""


def _without_quotes(record: logging.LogRecord) -> bool:
    """Says whether to log; what a client broke off is no error of the server.

    aiohttp logs a request that it cannot read together with its address, which may hold a user.
    """
    if record.exc_info and record.exc_info[0]:
        # What was left of a body that had its answer could not be read.
        if issubclass(record.exc_info[0], web.RequestPayloadError):
            return False
        record.msg = f"{record.getMessage()}: {record.exc_info[0].__name__}."
        record.args, record.exc_info = (), None
    return True


_LOG = logging.getLogger(__name__)
_LOG.addFilter(_without_quotes)


class HTTPRunner(web.AppRunner):
    """An `aiohttp.web.AppRunner` whose connections must send the head of a request in time.

    aiohttp waits for a head without end, so that anyone could keep connections open by sending
    nothing, or one byte a minute, until there are no more. Between requests its own
    `keepalive_timeout` holds. Its log names errors, and quotes nothing.

    Args:
        app: what answers.
        **options: of `AppRunner`.
    """

    def __init__(self, app: Any, **options: Any):
        self._waiting: set[Any] = set()
        # A middleware is marked, which no method can be.
        app.middlewares.insert(0, web.middleware(partial(self._note)))
        super().__init__(app, access_log=None, logger=_LOG, **options)

    async def end(self, grace: float) -> None:
        """Takes no more requests, and ends when those in progress are answered, or past `grace`."""
        self._shutdown_timeout = max(grace, 0.01)  # aiohttp takes 0 for no limit
        await self.cleanup()

    async def _note(self, request: Any, handler: Any) -> Any:
        self._waiting.discard(request.protocol)
        return await handler(request)

    @property
    def server(self) -> Any:
        """What makes the protocol of each connection; None before `setup`."""
        return None if super().server is None else self._connected

    def _connected(self) -> Any:
        protocol = super().server()
        self._waiting.add(protocol)
        asyncio.get_running_loop().call_later(HEAD_SECONDS, self._end, protocol)
        return protocol

    def _end(self, protocol: Any) -> None:
        if protocol in self._waiting:
            self._waiting.discard(protocol)
            if protocol.transport is not None:
                protocol.transport.close()


def sender(seconds: float) -> Any:
    """Returns a middleware that breaks a connection off on which an answer is not taken in time.

    aiohttp waits for a client without end, so that one that does not read would keep its
    connection and its answer.

    Args:
        seconds: that an answer may take.
    """

    @web.middleware
    async def send(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        response, transport = await handler(request), request.transport
        if transport is not None:
            # Else the last bytes would count as sent, and keep a connection that is to be closed.
            transport.set_write_buffer_limits(0)
            try:
                async with asyncio.timeout(seconds):
                    with suppress(ConnectionError):  # the client has gone, as aiohttp finds, too
                        await response.prepare(request)
                        await response.write_eof()
            except TimeoutError:
                transport.abort()
        return response

    return send
