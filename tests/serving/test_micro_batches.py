"""Requests that wait are run together, and no one pays for another."""

import threading
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.serving.artefact import Artefact
from hrec_tf.serving.micro_batches import MicroBatches
from hrec_tf.serving.requests import Limits, RefusedError
from tests.serving import toy


@pytest.fixture(scope="module")
def artefact(toy_base):
    made = Artefact(toy_base / "1", 1, limits=Limits(1024, 2**20, 2**25))
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
    inputs = toy.recommend_inputs(item_ids=[[item] for item in items], **changes)
    protos = {name: tf.make_tensor_proto(values) for name, values in inputs.items()}
    return artefact.call("recommend", protos, ["item_ids"])


def first_items(answer):
    return [row[0].decode() for row in answer.result(10)[0]]


def test_those_that_wait_are_run_together_and_padded_to_a_power_of_two(artefact, monkeypatch):
    gate, seen = Gate(artefact, monkeypatch), []
    batches = MicroBatches(
        artefact, workers=1, max_rows=8, seen=lambda rows, asked: seen.append((rows, asked))
    )
    first = batches.submit(call_of(artefact, "tea"))
    gate.begun.wait(10)
    waiting = [batches.submit(call_of(artefact, *items)) for items in (["jam"], ["rum", "gin"])]
    wide = batches.submit(call_of(artefact, *["ale"] * 7))  # would make ten rows
    assert batches.waiting == 3
    gate.opened.set()
    assert first_items(first) == ["jam"]
    assert [first_items(answer) for answer in waiting] == [["rum"], ["gin", "ale"]]
    assert first_items(wide) == ["ø"] * 7
    assert seen == [(1, 1), (4, 3), (8, 7)]
    batches.close()
    with pytest.raises(RefusedError, match="was taken away"):
        batches.submit(call_of(artefact, "tea"))


def test_one_bad_request_does_not_spoil_the_others(artefact, monkeypatch):
    gate = Gate(artefact, monkeypatch)
    batches = MicroBatches(artefact, workers=1)
    first = batches.submit(call_of(artefact, "tea"))
    back = np.array([[5, 4]])
    good = toy.recommend_inputs(item_ids=[["tea", "rum"]])
    answers = []
    for inputs in (good, good | {"timestamps": back}, good):
        protos = {name: tf.make_tensor_proto(values) for name, values in inputs.items()}
        answers.append(batches.submit(artefact.call("recommend", protos, ["item_ids"])))
    gate.opened.set()
    assert first_items(first) == ["jam"]
    assert first_items(answers[0]) == first_items(answers[2]) == ["gin"]
    with pytest.raises(RefusedError, match="must not go back"):
        answers[1].result(10)
    batches.close()


def test_who_gave_up_is_not_run_and_what_is_too_much_is_refused(artefact, monkeypatch):
    gate = Gate(artefact, monkeypatch)
    batches = MicroBatches(artefact, workers=1, max_waiting=10)
    first = batches.submit(call_of(artefact, "tea"))
    gate.begun.wait(10)
    given_up = batches.submit(call_of(artefact, "jam"))  # 4 elements
    kept = batches.submit(call_of(artefact, "rum"))
    with pytest.raises(RefusedError) as caught:
        batches.submit(call_of(artefact, "gin"))
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert given_up.cancel()
    gate.opened.set()
    assert (first_items(first), first_items(kept)) == (["jam"], ["gin"])
    with pytest.raises(futures.CancelledError):
        given_up.result(1)
    batches.close()
    assert gate.shapes == [(1, 1), (1, 1)]
