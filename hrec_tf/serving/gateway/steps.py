"""Steps of several users in one request.

A request to the model costs far more than a row of it. What is asked while others are being
answered goes together in the next request; nobody waits for company.
"""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

from hrec_tf.schema import Recommendation
from hrec_tf.serving.batches import MAX_ROWS
from hrec_tf.serving.client import Client, ServingError, State
from hrec_tf.serving.gateway.records import Event

_REQUESTS_AT_ONCE = 2
"""While the model answers one, the next is put together."""
Stepped = tuple[list[Recommendation], State]


class _Job(NamedTuple):
    client: Client
    event: Event
    state: State | None
    answer: "Future[Stepped]"


class Steps:
    """Asks for steps; may be used by several threads, and has some of its own until closed."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name="steps", daemon=True)
            for _ in range(_REQUESTS_AT_ONCE)
        ]
        for thread in self._threads:
            thread.start()

    def step(self, client: Client, event: Event, state: State | None) -> Stepped:
        """Returns what `Client.step` returns, or raises what it raises."""
        job = _Job(client, event, state, Future())
        self._jobs.put(job)
        return job.answer.result()

    def close(self) -> None:
        """Ends when the steps in progress have."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs: dict[Client, list[_Job]] = {job.client: [job]}
            for more in self._waiting(MAX_ROWS - 1):
                jobs.setdefault(more.client, []).append(more)
            for client, together in jobs.items():
                _send(client, together)

    def _waiting(self, at_most: int) -> Iterator[_Job]:
        for _ in range(at_most):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._jobs.put(None)
                return
            yield job


def _send(client: Client, jobs: list[_Job]) -> None:
    try:
        answers = client.step_batch(
            [(job.event.item, job.event.timestamp) for job in jobs],
            [job.state for job in jobs],
            feedback=[job.event.feedback for job in jobs],
        )
    except Exception as error:
        # One refused row refuses all of them: each is told what is wrong with its own.
        if len(jobs) > 1 and not _is_away(error):
            for job in jobs:
                _send(client, [job])
        else:
            for job in jobs:
                job.answer.set_exception(error)
        return
    for job, answer in zip(jobs, answers, strict=True):
        job.answer.set_result(answer)


def _is_away(error: Exception) -> bool:
    return isinstance(error, ServingError) and error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
