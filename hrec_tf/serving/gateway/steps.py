"""Steps of several users in one request.

A request to the model costs far more than a row of it.
"""

from typing import NamedTuple

from hrec_tf.schema import Recommendation
from hrec_tf.serving.answers import State
from hrec_tf.serving.async_client import AsyncClient, ServingError
from hrec_tf.serving.batches import MAX_ROWS
from hrec_tf.serving.gateway.records import Event
from hrec_tf.serving.together import Together

Stepped = tuple[list[Recommendation], State]


class _Job(NamedTuple):
    client: AsyncClient
    event: Event
    state: State | None


class Steps:
    """Asks for steps, of which those that are asked for meanwhile go together."""

    def __init__(self) -> None:
        self._jobs: Together[_Job, Stepped] = Together(_answers_of, most=MAX_ROWS)

    async def step(self, client: AsyncClient, event: Event, state: State | None) -> Stepped:
        """Returns what `AsyncClient.step` returns of the longest list, or raises what it raises."""
        return await self._jobs.ask(_Job(client, event, state))


async def _answers_of(jobs: list[_Job]) -> list[Stepped | Exception]:
    answers: dict[int, Stepped | Exception] = {}
    for client in dict.fromkeys(job.client for job in jobs):
        places = [place for place, job in enumerate(jobs) if job.client is client]
        found = await _sent(client, [jobs[place] for place in places])
        answers.update(zip(places, found, strict=True))
    return [answers[place] for place in range(len(jobs))]


async def _sent(client: AsyncClient, jobs: list[_Job]) -> list[Stepped | Exception]:
    try:
        return list(
            await client.step_batch(
                [(job.event.item, job.event.timestamp) for job in jobs],
                [job.state for job in jobs],
                (await client.metadata()).largest_k,
                feedback=[job.event.feedback for job in jobs],
            )
        )
    except Exception as error:
        if len(jobs) == 1 or _is_away(error):
            return [error] * len(jobs)
        # One refused row refuses all of them: each is told what is wrong with its own.
        return [answer for job in jobs for answer in await _sent(client, [job])]


def _is_away(error: Exception) -> bool:
    return isinstance(error, ServingError) and error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
