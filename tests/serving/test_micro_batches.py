"""Requests that wait are run together, and no one pays for another."""

import asyncio
import threading
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.serving.artefact import Artefact
from hrec_tf.serving.loop_thread import LoopThread
from hrec_tf.serving.micro_batches import MicroBatches
from hrec_tf.serving.requests import Limits, RefusedError
from tests.serving import toy


@pytest.fixture(scope="module")
def artefact(toy_base):
    made = Artefact(toy_base / "1", 1, limits=Limits(1024, 2**20, 2**25, 2**14))
    yield made
    made.close()


class Gate:
    """Holds the first batch back until it is opened; notes the shapes that were run."""

    def __init__(self, artefact, monkeypatch):
        self.begun, self.opened, run = threading.Event(), threading.Event(), artefact.run
        self.shapes = []

        def gated(call, feeds):
            self.shapes.append(feeds[1].shape)
            self.begun.set()
            self.opened.wait(10)
            return run(call, feeds)

        monkeypatch.setattr(artefact, "run", gated)


def call_of(artefact, *items, **changes):
    inputs = toy.recommend_inputs(item_ids=[[item] for item in items or ("",)], **changes)
    inputs = {name: values[: len(items)] for name, values in inputs.items()}
    protos = {name: tf.make_tensor_proto(values) for name, values in inputs.items()}
    return artefact.call("recommend", protos, ["item_ids"])


class Asking:
    """Batches in a loop of their own, asked from here."""

    def __init__(self, artefact, **options):
        self.loop, self.batches = LoopThread("asking"), MicroBatches(artefact, **options)
        self.loop.start()

    def submit(self, call):
        return self.submit_together(call)[0]

    def submit_together(self, *calls):
        async def submitted():
            return [self.batches.submit(call) for call in calls]

        return self.loop.run(submitted())

    def result(self, answer):
        async def awaited():
            return await asyncio.wait_for(answer, 10)

        return self.loop.run(awaited())

    def cancel(self, answer):
        async def cancelled():
            return answer.cancel()

        return self.loop.run(cancelled())

    def first_items(self, answer):
        return [row[0].decode() for row in self.result(answer)[0]]

    def close(self):
        self.batches.close()
        self.loop.stop()


def test_those_that_wait_are_run_together_and_padded_to_a_power_of_two(artefact, monkeypatch):
    gate, seen = Gate(artefact, monkeypatch), []
    asking = Asking(
        artefact, workers=1, max_rows=8, seen=lambda rows, asked: seen.append((rows, asked))
    )
    first = asking.submit(call_of(artefact, "tea"))
    gate.begun.wait(10)
    waiting = [asking.submit(call_of(artefact, *items)) for items in (["jam"], ["rum", "gin"])]
    wide = asking.submit(call_of(artefact, *["ale"] * 7))  # would make ten rows
    assert asking.batches.waiting == 3
    gate.opened.set()
    assert asking.first_items(first) == ["jam"]
    assert [asking.first_items(answer) for answer in waiting] == [["rum"], ["gin", "ale"]]
    assert asking.first_items(wide) == ["ø"] * 7
    assert seen == [(1, 1), (4, 3), (8, 7)]
    asking.batches.close()
    with pytest.raises(RefusedError, match="was taken away"):
        asking.submit(call_of(artefact, "tea"))
    asking.close()


def test_a_call_without_rows_lends_none_to_the_padding(artefact, monkeypatch):
    gate, ran = Gate(artefact, monkeypatch), []
    asking = Asking(artefact, workers=1, max_rows=8)
    run = artefact.run
    monkeypatch.setattr(
        artefact, "run", lambda call, feeds: ran.append(len(feeds[0])) or run(call, feeds)
    )
    first = asking.submit(call_of(artefact, "tea"))
    gate.begun.wait(10)
    none, three = asking.submit(call_of(artefact)), asking.submit(call_of(artefact, *["jam"] * 3))
    gate.opened.set()
    assert asking.first_items(first) == ["jam"]
    assert (asking.first_items(none), asking.first_items(three)) == ([], ["rum"] * 3)
    assert ran == [1, 4]
    asking.batches.close()
    asking.close()


def test_one_bad_request_does_not_spoil_the_others(artefact, monkeypatch):
    gate = Gate(artefact, monkeypatch)
    asking = Asking(artefact, workers=1)
    first = asking.submit(call_of(artefact, "tea"))
    back = np.array([[5, 4]])
    good = toy.recommend_inputs(item_ids=[["tea", "rum"]])
    answers = []
    for inputs in (good, good | {"timestamps": back}, good):
        protos = {name: tf.make_tensor_proto(values) for name, values in inputs.items()}
        answers.append(asking.submit(artefact.call("recommend", protos, ["item_ids"])))
    gate.opened.set()
    assert asking.first_items(first) == ["jam"]
    assert asking.first_items(answers[0]) == asking.first_items(answers[2]) == ["gin"]
    with pytest.raises(RefusedError, match="must not go back"):
        asking.result(answers[1])
    asking.close()


def test_who_gave_up_is_not_run_and_what_is_too_much_is_refused(artefact, monkeypatch):
    gate = Gate(artefact, monkeypatch)
    asking = Asking(artefact, workers=1, max_waiting=10)
    first = asking.submit(call_of(artefact, "tea"))
    gate.begun.wait(10)
    given_up = asking.submit(call_of(artefact, "jam"))  # 4 elements
    kept = asking.submit(call_of(artefact, "rum"))
    with pytest.raises(RefusedError) as caught:
        asking.submit(call_of(artefact, "gin"))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert asking.cancel(given_up)
    gate.opened.set()
    assert (asking.first_items(first), asking.first_items(kept)) == (["jam"], ["gin"])
    with pytest.raises(futures.CancelledError):
        asking.result(given_up)
    asking.close()
    assert gate.shapes == [(1, 1), (1, 1)]


def test_who_gives_up_while_it_is_run_takes_nobody_along(artefact, monkeypatch):
    gate = Gate(artefact, monkeypatch)
    asking = Asking(artefact, workers=1)
    given_up, kept = asking.submit_together(call_of(artefact, "tea"), call_of(artefact, "jam"))
    gate.begun.wait(10)
    assert asking.cancel(given_up)
    gate.opened.set()
    assert asking.first_items(kept) == ["rum"]
    assert gate.shapes == [(2, 1)]
    asking.close()
