"""Requests that come while the model is busy are run together."""

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any

import grpc
import numpy as np

from hrec_tf.serving.artefact import Artefact, Call
from hrec_tf.serving.requests import RefusedError

Key = tuple[str, tuple[str, ...], tuple[tuple[int, ...], ...]]
_Waiting = tuple[Call, Future[list[np.ndarray]]]


class MicroBatches:
    """A queue in front of an artefact.

    A request that finds a free worker is run at once, so that no time is lost where there is
    little to do. Those that wait meanwhile are then taken together: as many as fit of one
    signature and one width. Their rows are filled up to a power of two by repeating one, so that
    a graph that is compiled for a shape sees few of them.

    Args:
        artefact: what answers.
        workers: batches that are run at once.
        max_rows: of a batch; a request of more rows is a batch alone.
        max_waiting: elements of the requests that wait; beyond, RESOURCE_EXHAUSTED is answered.
        seen: called with the rows of each batch and how many of them were asked for.

    Example:
        batches = MicroBatches(artefact, workers=2)
        answer = batches.submit(artefact.call("", request.inputs)).result()
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
        self._elements, self._is_closed = 0, False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"batches-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more requests."""
        return self._is_closed

    @property
    def waiting(self) -> int:
        """Requests that wait and were not given up."""
        with self._changed:
            return sum(
                not answer.cancelled() for held in self._waiting.values() for _, answer in held
            )

    def submit(self, call: Call) -> "Future[list[np.ndarray]]":
        """Returns what will hold the values of the wanted outputs; cancel it to give up.

        Raises:
            RefusedError: too much waits already.
        """
        key = call.signature, call.wanted, tuple(value.shape[1:] for value in call.feeds)
        answer: Future[list[np.ndarray]] = Future()
        with self._changed:
            if self._is_closed:
                raise RefusedError(
                    grpc.StatusCode.UNAVAILABLE, "The model was taken away. Ask again."
                )
            if self._elements + _elements(call) > self._max_waiting and self._elements:
                raise RefusedError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"Requests of {self._elements} elements wait already, and at most "
                    f"{self._max_waiting} may. Ask again later.",
                )
            self._elements += _elements(call)
            self._waiting.setdefault(key, deque()).append((call, answer))
            self._changed.notify()
        return answer

    def close(self) -> None:
        """Answers what waits, and ends. Nothing may be submitted any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                batch = self._take()
            if batch:
                self._answer(batch)

    def _take(self) -> list[_Waiting]:
        """Takes what can be run together with the request that has waited longest, or nearly."""
        key = next(iter(self._waiting))
        held = self._waiting.pop(key)
        batch: list[_Waiting] = []
        rows = 0
        while held and (not batch or rows + held[0][0].rows <= self._max_rows):
            call, answer = held.popleft()
            self._elements -= _elements(call)
            if answer.set_running_or_notify_cancel():
                batch.append((call, answer))
                rows += call.rows
        if held:  # behind the others, so that a busy signature does not keep them waiting
            self._waiting[key] = held
            self._changed.notify()
        return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            values = self._run([call for call, _ in batch])
            ends = np.cumsum([call.rows for call, _ in batch])
            parts = [np.split(value, ends)[:-1] for value in values]
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # one of them is at fault, and the others shall not pay for it
                for one in batch:
                    self._answer([one])
            return
        for (_, answer), found in zip(batch, zip(*parts, strict=True), strict=True):
            answer.set_result(list(found))

    def _run(self, calls: list[Call]) -> list[np.ndarray]:
        rows = sum(call.rows for call in calls)
        padding = (1 << (rows - 1).bit_length()) - rows if 0 < rows <= self._max_rows else 0
        self._seen(rows + padding, rows)
        if len(calls) == 1 and not padding:
            return self._artefact.run(calls[0], calls[0].feeds)
        feeds = [
            np.concatenate([*parts, np.repeat(parts[0][:1], padding, axis=0)])
            for parts in zip(*(call.feeds for call in calls), strict=True)
        ]
        return self._artefact.run(calls[0], feeds)


def _elements(call: Call) -> int:
    return sum(value.size for value in call.feeds)
