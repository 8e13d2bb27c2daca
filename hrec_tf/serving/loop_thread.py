"""An asyncio loop beside a program that has none."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any


class LoopThread:
    """Runs coroutines in a thread of its own, from `start` to `stop`, once.

    Args:
        name: of the thread.

    Example:
        loop = LoopThread("answers")
        loop.start()
        found = loop.run(ask())
        loop.stop()
    """

    def __init__(self, name: str):
        self._thread = threading.Thread(target=self._play, name=name, daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether coroutines are run."""
        return self._thread.is_alive()

    def start(self) -> None:
        """From now on coroutines are run.

        Raises:
            RuntimeError: it was started before.
        """
        if self._thread.ident is not None:
            raise RuntimeError("The loop was started before, but runs once. Make another one.")
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Returns what a coroutine returns, or raises what it raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stop(self) -> None:
        """Ends the thread; nothing may be run any more."""
        if self.is_running:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _play(self) -> None:
        self._loop.run_forever()
