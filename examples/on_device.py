"""Recommends on a device: LiteRT and NumPy alone, and the user's state in a file of the device.

python examples/on_device.py shop.tflite user.npz tea@1700000000 jam@1700000060
python examples/on_device.py shop.tflite user.npz rum@1700000090    # goes on where it was

`hrec export RUN --tflite shop.tflite` writes the model and its vocabulary. Each event is read by
`step`, from the state that the events before it have left. A state belongs to one model: where the
app has brought another, the last events, which are kept beside it, are read again. In Java and
Kotlin the same calls are `Interpreter.runSignature`. LiteRT itself: pip install ai-edge-litert
"""

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

KEPT_EVENTS = 100
STATES = ("state", "state_info")


class Device:
    """A model, and a user's memory that outlives the process."""

    def __init__(self, model, memory):
        # Line i of the vocabulary is the raw id of item i; line 0 is a heading.
        vocabulary = model.with_name(f"{model.stem}.vocabulary.txt")
        self.raw_ids = vocabulary.read_text(encoding="utf-8").split("\n")
        self.numbers = {raw_id: number for number, raw_id in enumerate(self.raw_ids) if number}
        content = model.read_bytes()
        self.model, self.memory = hashlib.sha256(content).hexdigest(), memory
        # Not by XNNPACK, which at times answers wrongly where the number of events is free.
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
        self.recommend = interpreter.get_signature_runner("recommend")
        self.step = interpreter.get_signature_runner("step")
        wanted = self.step.get_input_details()
        self.states = {
            name: np.zeros(wanted[name]["shape"], wanted[name]["dtype"]) for name in STATES
        }
        self.items, self.seconds = [], []
        if memory.is_file():
            self.remember()

    def remember(self):
        """Takes up the state of the file, or reads its events again if that is of another model."""
        with np.load(self.memory, allow_pickle=False) as held:
            self.items, self.seconds = held["items"].tolist(), held["seconds"].tolist()
            if str(held["model"]) == self.model:
                self.states = {name: held[name] for name in STATES}
                return
        numbers = [self.numbers.get(item, 0) for item in self.items]
        told = {"timestamps": np.array([self.seconds], np.int64)}
        if "at" in self.recommend.get_input_details():
            told["at"] = told["timestamps"][:, -1]
        answer = self.recommend(
            item_ids=np.array([numbers], np.int32), exclude_seen=np.array([False]), **told
        )
        self.states = {name: answer[name] for name in STATES}

    def read(self, item, seconds):
        """Reads an event, keeps what it changes, and returns (item, score) pairs, best first."""
        if self.seconds and seconds < self.seconds[-1]:
            raise SystemExit(f"{item}@{seconds} is before the last event: sort events by time.")
        number = np.array([self.numbers.get(item, 0)], np.int32)
        told = {"timestamps": np.array([seconds], np.int64), **self.states}
        if "at" in self.step.get_input_details():  # of a model that is told when it is asked
            told["at"] = told["timestamps"]
        answer = self.step(item_ids=number, **told)
        self.states = {name: answer[name] for name in STATES}
        self.items = [*self.items, item][-KEPT_EVENTS:]
        self.seconds = [*self.seconds, seconds][-KEPT_EVENTS:]
        self.keep()
        found = zip(answer["item_ids"][0], answer["scores"][0], strict=True)
        return [(self.raw_ids[number], score) for number, score in found if number]

    def keep(self):
        """Writes the memory aside and renames it: a battery may run out at any time."""
        aside = self.memory.with_name(f"{self.memory.name}.part")
        with aside.open("wb") as file:
            events = {"items": np.array(self.items), "seconds": np.array(self.seconds, np.int64)}
            np.savez(file, model=np.array(self.model), **events, **self.states)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.memory)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", type=Path, metavar="FILE.tflite")
parser.add_argument("memory", type=Path, metavar="USER.npz", help="made by the first event")
parser.add_argument("events", nargs="+", metavar="ITEM@SECONDS", help="oldest first")
options = parser.parse_args()
device = Device(options.model, options.memory)
for event in options.events:
    item, _, seconds = event.rpartition("@")
    listed = device.read(item, int(seconds))
    print(f"after {item}: " + ", ".join(f"{raw_id} {score:.4f}" for raw_id, score in listed))
