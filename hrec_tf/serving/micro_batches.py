"""Requests that come while the model is busy are run together."""

import asyncio
import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np

from hrec_tf.serving.artefact import Artefact, Call
from hrec_tf.serving.requests import RefusedError

Key = tuple[str, tuple[str, ...], tuple[tuple[int, ...], ...]]
_Waiting = tuple[Call, "asyncio.Future[list[np.ndarray]]"]
_Outcome = list[np.ndarray] | Exception


class MicroBatches:
    """A queue in front of an artefact, of one asyncio loop.

    A request that finds a free worker is run as soon as the loop has read what came with it, so
    that no time is lost where there is little to do. Those that wait meanwhile are then taken
    together: as many as fit of one signature and one width. Their rows are filled up to a power of
    two by repeating one, so that a graph that is compiled for a shape sees few of them.

    Args:
        artefact: what answers.
        workers: batches that are run at once.
        max_rows: of a batch; a request of more rows is a batch alone.
        max_waiting: elements of the requests that wait; beyond, RESOURCE_EXHAUSTED is answered.
        seen: called with the rows of each batch and how many of them were asked for.

    Example:
        batches = MicroBatches(artefact, workers=2)
        answer = await batches.submit(artefact.call("", request.inputs))
    """

    def __init__(
        self,
        artefact: Artefact,
        *,
        workers: int = 2,
        max_rows: int = 32,
        max_waiting: int = 2**22,
        seen: Any = None,
    ):
        self._artefact, self._max_rows, self._max_waiting = artefact, max_rows, max_waiting
        self._seen = seen or (lambda rows, asked: None)
        self._waiting: dict[Key, deque[_Waiting]] = {}
        self._elements, self._free, self._is_closed = 0, workers, False
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more requests."""
        return self._is_closed

    @property
    def waiting(self) -> int:
        """Requests that wait and were not given up; any thread may ask."""
        return sum(
            not answer.cancelled() for held in list(self._waiting.values()) for _, answer in [*held]
        )

    def submit(self, call: Call) -> "asyncio.Future[list[np.ndarray]]":
        """Returns what will hold the values of the wanted outputs; cancel it to give up.

        Raises:
            RefusedError: too much waits already.
        """
        if self._is_closed:
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, "The model was taken away. Ask again.")
        if self._elements + _elements(call) > self._max_waiting and self._elements:
            raise RefusedError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"Requests of {self._elements} elements wait already, and at most "
                f"{self._max_waiting} may. Ask again later.",
            )
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        key = call.signature, call.wanted, tuple(value.shape[1:] for value in call.feeds)
        self._waiting.setdefault(key, deque()).append((call, answer))
        self._elements += _elements(call)
        loop.call_soon(self._start, loop)  # behind the requests that are being read
        return answer

    def close(self) -> None:
        """Waits for what is run, and ends. Nothing may be submitted any more, by any thread."""
        self._is_closed = True
        self._pool.shutdown()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._free and self._waiting:
            if batch := self._take():
                self._free -= 1
                self._pool.submit(self._work, batch, loop)

    def _take(self) -> list[_Waiting]:
        """Takes what can be run together with the request that has waited longest, or nearly."""
        key = next(iter(self._waiting))
        held = self._waiting.pop(key)
        batch: list[_Waiting] = []
        rows = 0
        while held and (not batch or rows + held[0][0].rows <= self._max_rows):
            call, answer = held.popleft()
            self._elements -= _elements(call)
            if not answer.cancelled():
                batch.append((call, answer))
                rows += call.rows
        if held:  # behind the others, so that a busy signature does not keep them waiting
            self._waiting[key] = held
        return batch

    def _work(self, batch: list[_Waiting], loop: asyncio.AbstractEventLoop) -> None:
        outcomes = self._outcomes([call for call, _ in batch])
        loop.call_soon_threadsafe(self._ended, [answer for _, answer in batch], outcomes, loop)

    def _ended(self, answers: list[Any], outcomes: list[_Outcome], loop: Any) -> None:
        self._free += 1
        for answer, outcome in zip(answers, outcomes, strict=True):
            if answer.cancelled():
                continue
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
        loop.call_soon(self._start, loop)

    def _outcomes(self, calls: list[Call]) -> list[_Outcome]:
        """The values of each call, or what it raised."""
        try:
            values = self._run(calls)
        except Exception as error:
            if len(calls) == 1:
                return [error]
            # One of them is at fault, and the others shall not pay for it.
            return [outcome for call in calls for outcome in self._outcomes([call])]
        ends = list(itertools.accumulate(call.rows for call in calls))
        begins = [0, *ends[:-1]]
        return [
            [value[begin:end] for value in values] for begin, end in zip(begins, ends, strict=True)
        ]

    def _run(self, calls: list[Call]) -> list[np.ndarray]:
        rows = sum(call.rows for call in calls)
        padding = (1 << (rows - 1).bit_length()) - rows if 0 < rows <= self._max_rows else 0
        self._seen(rows + padding, rows)
        if len(calls) == 1 and not padding:
            return self._artefact.run(calls[0], calls[0].feeds)
        # A call may have no rows, of which none can be repeated.
        full = next((place for place, call in enumerate(calls) if call.rows), 0)
        feeds = [
            np.concatenate([*parts, np.repeat(parts[full][:1], padding, axis=0)])
            for parts in zip(*(call.feeds for call in calls), strict=True)
        ]
        return self._artefact.run(calls[0], feeds)


def _elements(call: Call) -> int:
    return sum(value.size for value in call.feeds)
