"""Questions that come while others are being answered go together in the next request."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


class Together(Generic[_Question, _Answer]):
    """A queue in front of what answers several questions for little more than one.

    One request is made at a time, of all that wait, in the order in which they were asked. Nobody
    waits for company: a question that finds nothing in work goes at once, with what the loop reads
    in the same turn.

    Args:
        answer: takes questions and returns their answers in the same order; an exception among
            them is raised to who asked. One that it raises itself is raised to all.
        most: questions of a request.

    Example:
        squares = Together(ask_for_squares, most=32)
        nine = await squares.ask(3)
    """

    def __init__(
        self,
        answer: Callable[[list[_Question]], Awaitable[Sequence[_Answer | Exception]]],
        *,
        most: int,
    ):
        self._answer, self._most = answer, most
        self._waiting: deque[tuple[_Question, asyncio.Future[_Answer]]] = deque()
        self._work: asyncio.Task[None] | None = None

    async def ask(self, question: _Question) -> _Answer:
        """Returns the answer to a question, or raises what was answered."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._work is None:
            self._work = asyncio.create_task(self._answer_all())
        return await answer

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                count = min(len(self._waiting), self._most)
                await self._answer_these([self._waiting.popleft() for _ in range(count)])
        finally:
            self._work = None

    async def _answer_these(self, asked: list[tuple[_Question, asyncio.Future[_Answer]]]) -> None:
        try:
            answers = await self._answer([question for question, _ in asked])
        except Exception as error:
            answers = [error] * len(asked)
        for (_, future), answer in zip(asked, answers, strict=True):
            if future.done():  # who asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
