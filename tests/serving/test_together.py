"""Questions that wait go together, and each gets its own answer."""

import asyncio

import pytest

from hrec_tf.serving.together import Together


class Squares:
    """Answers after a turn of the loop; what is below 0 is refused, and 99 breaks all."""

    def __init__(self):
        self.asked = []

    async def __call__(self, numbers):
        self.asked.append(numbers)
        await asyncio.sleep(0.001)
        if 99 in numbers:
            raise OSError("broken")
        return [n * n if n >= 0 else ValueError(f"{n} is refused") for n in numbers]


def test_what_comes_meanwhile_goes_together_in_its_order():
    async def ask():
        squares = Squares()
        together = Together(squares, most=4)
        first = asyncio.create_task(together.ask(100))
        while not squares.asked:
            await asyncio.sleep(0)
        assert await asyncio.gather(*map(together.ask, range(1, 7))) == [1, 4, 9, 16, 25, 36]
        assert await first == 10_000
        assert squares.asked == [[100], [1, 2, 3, 4], [5, 6]]
        assert await together.ask(7) == 49

    asyncio.run(ask())


def test_each_gets_its_own_error_and_all_get_that_of_the_request():
    async def ask():
        together = Together(Squares(), most=4)
        found = await asyncio.gather(*map(together.ask, (3, -2)), return_exceptions=True)
        assert found[0] == 9 and str(found[1]) == "-2 is refused"
        found = await asyncio.gather(*map(together.ask, (3, 99)), return_exceptions=True)
        assert [type(one) for one in found] == [OSError, OSError]
        assert await together.ask(5) == 25

    asyncio.run(ask())


def test_who_goes_away_takes_nobody_along():
    async def ask():
        squares = Squares()
        together = Together(squares, most=4)
        tasks = [asyncio.create_task(together.ask(number)) for number in (2, 3)]
        while not squares.asked:
            await asyncio.sleep(0)
        tasks[0].cancel()
        async with asyncio.timeout(5):
            assert await tasks[1] == 9
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert await together.ask(4) == 16

    asyncio.run(ask())
