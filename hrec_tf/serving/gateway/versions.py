"""The versions that a model server has, each asked by a client of its own."""

import asyncio
import math
import time

from hrec_tf.serving.async_client import AsyncClient, ServingError
from hrec_tf.serving.tls import ClientTLS

_AVAILABLE = "AVAILABLE"


class Versions:
    """Clients, each pinned to one version of the model.

    What the server has is asked when it is `refresh_seconds` old. While the server is away, what
    it had last still counts.

    Args:
        address, model_name, timeout, max_history, tls: as of `AsyncClient`.
        refresh_seconds: how long an answer of the server counts.
    """

    def __init__(
        self,
        address: str,
        model_name: str = "recommender",
        *,
        timeout: float = 5.0,
        max_history: int = 2048,
        tls: ClientTLS | None = None,
        refresh_seconds: float = 2.0,
    ):
        self._make = lambda version: AsyncClient(
            address, model_name, timeout, max_history=max_history, version=version, tls=tls
        )
        self._status = AsyncClient(address, model_name, timeout, tls=tls)
        self._refresh_seconds = refresh_seconds
        self._clients: dict[int, AsyncClient] = {}
        self._lock, self._next_refresh, self._asked_at = asyncio.Lock(), -math.inf, -math.inf
        self._failure: tuple[str, str, str] | None = None

    async def newest(self, *, since: float = -math.inf) -> tuple[int, AsyncClient]:
        """Returns the highest version that answers.

        Args:
            since: time.monotonic(), before which the server's last answer does not count.

        Raises:
            ServingError: the server cannot be asked, or has no version that answers.
        """
        clients = await self._served(since)
        version = max(clients)
        return version, clients[version]

    async def client_of(self, version: int) -> AsyncClient | None:
        """Returns the client of a version; None where the server has it no longer."""
        return (await self._served()).get(version)

    async def close(self) -> None:
        """Closes all connections."""
        for client in (self._status, *self._clients.values()):
            await client.close()

    async def _served(self, since: float = -math.inf) -> dict[int, AsyncClient]:
        is_due = time.monotonic() >= self._next_refresh
        # One asks. The others wait for it only if they have nothing to go on with.
        if since > self._asked_at or not self._clients or (is_due and not self._lock.locked()):
            async with self._lock:
                await self._refresh_where_due(since)
        if self._failure is not None and (since > -math.inf or not self._clients):
            raise ServingError(*self._failure)
        return self._clients

    async def _refresh_where_due(self, since: float) -> None:
        if since <= self._asked_at and time.monotonic() < self._next_refresh:
            return  # who waited need not ask again
        begin, failure = time.monotonic(), None
        try:
            await self._refresh()
        except ServingError as error:
            failure = self._status.address, error.code, error.details
        # Where asking was broken off nothing is known, and the next one asks.
        self._failure, self._asked_at = failure, begin
        self._next_refresh = time.monotonic() + self._refresh_seconds

    async def _refresh(self) -> None:
        states = await self._status.status()
        versions = [version for version, state in states.items() if state == _AVAILABLE]
        if not versions:
            raise ServingError(self._status.address, "UNAVAILABLE", f"no version among {states}")
        # A client that others still use is not closed, but forgotten.
        self._clients = {
            version: self._clients.get(version) or self._make(version) for version in versions
        }
