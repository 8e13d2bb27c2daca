"""Bodies of HTTP requests, read while they come."""

import asyncio
from typing import Any


class CrowdedError(TimeoutError):
    """A body was given up so that another one may come."""


class Bodies:
    """Reads bodies; who sends one slowly keeps nobody from being answered, nor much memory.

    Args:
        most: bodies that may be coming at once; above that, the one that began first is given up.
    """

    def __init__(self, most: int):
        self._most = most
        self._coming: dict[asyncio.Timeout, None] = {}  # the oldest first

    async def read(self, request: Any, seconds: float) -> bytes:
        """Returns the body of an aiohttp request, which has it at hand from then on.

        Raises:
            CrowdedError: it began first of too many.
            TimeoutError: it took more seconds.
            Exception: what aiohttp raises for a body that is too large or breaks off.
        """
        if len(self._coming) >= self._most:
            slowest = next(iter(self._coming))
            del self._coming[slowest]
            if not slowest.expired():  # as it may be at this moment
                slowest.reschedule(0)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                self._coming[limit] = None
                return await request.read()
        except TimeoutError:
            if limit not in self._coming:
                raise CrowdedError from None
            raise
        finally:
            self._coming.pop(limit, None)
