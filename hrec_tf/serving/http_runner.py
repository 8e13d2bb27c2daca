"""An HTTP runner that closes connections on which no request comes."""

import asyncio
from functools import partial
from typing import Any

from hrec_tf.serving.extra import require

web: Any = require("aiohttp.web", by="REST")

HEAD_SECONDS = 30.0
"""In which the first request of a connection must have come, up to its body."""


class HTTPRunner(web.AppRunner):
    """An `aiohttp.web.AppRunner` whose connections must send the head of a request in time.

    aiohttp waits for a head without end, so that anyone could keep connections open by sending
    nothing, or one byte a minute, until there are no more. Between requests its own
    `keepalive_timeout` holds.

    Args:
        app: what answers.
        **options: of `AppRunner`.
    """

    def __init__(self, app: Any, **options: Any):
        self._waiting: set[Any] = set()
        # A middleware is marked, which no method can be.
        app.middlewares.insert(0, web.middleware(partial(self._note)))
        super().__init__(app, access_log=None, **options)

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
