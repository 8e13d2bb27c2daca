"""Resuming: a training that was killed goes on from its last checkpoint to the same weights."""

import glob
import hashlib
import json
import math
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from hrec_tf import checks
from hrec_tf.data.atomic_files import whole_file
from hrec_tf.data.chunks import ChunkEdge
from hrec_tf.settings import first_difference, flat

_FORMAT = "hrec_tf checkpoint 2"
_LONGEST_SHOWN = 200
_SECONDS = 60.0
_TIMES_OF_WRITING = 20
_DAMAGES = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
)


class Memory(Protocol):
    """A callback whose memory a checkpoint keeps, as `EarlyStopping` is one."""

    name: str
    """Tells it from others, in the file and in messages."""

    def settings(self) -> dict[str, Any]:
        """Returns what must be the same in a training that goes on."""

    def arrays(self) -> list[np.ndarray]:
        """Returns what is kept beside the logs of the epochs."""

    def fill(
        self, model: Any, logs: Sequence[Mapping[str, float]], arrays: Sequence[np.ndarray]
    ) -> None:
        """Takes up the memory after the epochs that have these logs."""


class Checkpoint:
    """A file from which `fit` goes on after it was killed, at the chunk where it was left.

    `model.fit(stream, epochs=..., checkpoint=Checkpoint(path))` writes the file while it trains,
    at edges of chunks, whole or not at all. The same call in a new process finds it and goes on;
    it ends with the weights and the history of a training that was never killed: bit by bit on
    a CPU with `tf.config.experimental.enable_op_determinism()`, else but for rounding.

    The file holds the model's and the optimizer's variables (weights, slots, iterations, the
    learning rate, states of random generators), the states that are carried between windows, the
    sums of the epoch so far, the logs of the epochs before, and what the training is of. `fit`
    starts the stream itself, with its `from_epoch`, at the epoch that was left, and passes over
    the windows already done: so epoch e of `fit` is epoch e of the stream, and the stream must be
    one of `hrec_tf.data.lanes` as it came. A file of another model, data or setting is refused.

    After a training that ended the file says so, and the same call returns at once (with more
    `epochs` it trains on, unless a callback had stopped it). Whoever named the file removes it.

    Not in the file: the memory of callbacks, but for that which `remember` was given; randomness
    outside of Keras' generators; and how often a validation stream was played, which decides its
    packing unless its order is "given".

    Args:
        path: of the file; its folder must exist.
        every_seconds: write when so long has passed since the last time; 0 writes at every edge.
            None is a minute, or 20 times what the last writing took if that is longer (with a
            million items it takes many seconds), so that at most 5 % of the time goes into it.
        every_chunks: write after so many chunks, too, whatever the time.
        clock: seconds now; for tests.

    Raises:
        ValueError: a bad argument.

    Example:
        >>> Checkpoint("training.npz", every_seconds=30).seconds
        0.0
    """

    def __init__(
        self,
        path: str | Path,
        *,
        every_seconds: float | None = None,
        every_chunks: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.path = Path(path)
        if every_seconds is not None:
            mend = "Pass e.g. 60, or leave it out."
            checks.require_number("every_seconds", every_seconds, minimum=0, mend=mend)
        self.every_seconds = every_seconds
        if every_chunks is not None:
            mend = "Leave it out to go by time alone."
            checks.require_positive_int("every_chunks", every_chunks, mend=mend)
        self.every_chunks, self.clock = every_chunks, clock
        self.finished: list[tuple[int, dict[str, float]]] = []
        """Epochs that are done, and their logs."""
        self.written = 0
        """How many times this object wrote the file."""
        self._settings: dict[str, Any] = {}
        self._memories: dict[str, Memory] = {}
        self._seconds_before = 0.0
        self._begin: float | None = None
        self._writing_took = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training so far, with those of earlier processes up to what they kept."""
        now = 0.0 if self._begin is None else self.clock() - self._begin
        return self._seconds_before + now

    def remember(self, memory: "Memory") -> None:
        """Keeps the memory of a callback, too, before `fit` begins.

        Args:
            memory: an `EarlyStopping` or `WeightAveraging` that is among the callbacks of `fit`,
                or the like.
        """
        self._memories[memory.name] = memory

    def begin(self, model: Any, stream: Any, epochs: range) -> tuple[Any, range, ChunkEdge]:
        """Fills the model from the file, if it is there. Called by `fit`.

        Args:
            model: compiled, its optimizer built.
            stream: of `hrec_tf.data.lanes`.
            epochs: those that were asked for.

        Returns:
            The stream from the epoch where it begins, the epochs left, and the edge to begin at.

        Raises:
            ValueError: a file of another training, a damaged one, or a stream that cannot be
                started at an epoch.
        """
        _require_own_start(stream, epochs)
        self._settings = _settings_of(model, stream)
        for name, memory in self._memories.items():
            self._settings |= flat({name: memory.settings()})
        self.finished, self._seconds_before, edge = [], 0.0, ChunkEdge()
        for cut_short in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.part"):
            cut_short.unlink()
        if self.path.exists():
            held, variables, states, remembered = self._read()
            self._require_same(held["settings"])
            self._fill(model, variables)
            logs_of_epochs = [logs for _, logs in held["finished"]]
            for name, memory in self._memories.items():
                memory.fill(model, logs_of_epochs, remembered[name])
            edge = replace(held["edge"], states=[tf.constant(s) for s in states] or None)
            self.finished, self._seconds_before = held["finished"], held["seconds"]
            stop = held["epoch"] if held["stopped"] else epochs.stop
            epochs = range(held["epoch"], stop)
        self._begin = self.clock()
        self._note_written()
        return stream.from_epoch(epochs.start), epochs, edge

    def chunk_ended(self, model: Any, epoch: int, edge: ChunkEdge) -> None:
        """Writes the file if it is time. Called by `fit` after every chunk."""
        self._chunks += 1
        is_due = self.every_chunks is not None and self._chunks >= self.every_chunks
        if is_due or self._is_time():
            self._write(model, epoch, edge)

    def epoch_ended(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        """Notes the logs of an epoch. Called by `fit` after its validation and callbacks."""
        # In the order in which Keras hands logs to callbacks, so that a history begins alike.
        self.finished.append((epoch, {name: float(logs[name]) for name in sorted(logs)}))
        if self._is_time():
            self._write(model, epoch + 1, ChunkEdge(), stopped=model.stop_training)

    def training_ended(self, model: Any, epochs: range) -> None:
        """Writes the file a last time. Called by `fit` when all else is done.

        Args:
            epochs: those that were left to do. Without any the file stays as it is: what it says
                of the training's end is not this call's to change.
        """
        if not epochs and self.path.exists():
            return
        last = self.finished[-1][0] + 1 if self.finished else epochs.start
        self._write(model, last, ChunkEdge(), stopped=model.stop_training)

    def _is_time(self) -> bool:
        wait = self.every_seconds
        if wait is None:
            wait = max(_SECONDS, _TIMES_OF_WRITING * self._writing_took)
        return self.clock() - self._last >= wait

    def _note_written(self) -> None:
        self._last, self._chunks = self.clock(), 0

    def _write(self, model: Any, epoch: int, edge: ChunkEdge, *, stopped: bool = False) -> None:
        about = {
            "format": _FORMAT,
            "settings": self._settings,
            "epoch": epoch,
            "edge": {
                "chunks": edge.chunks,
                "loss_sum": edge.loss_sum,
                "events": edge.events,
                "seconds": edge.seconds,
            },
            "finished": self.finished,
            "stopped": bool(stopped),
            "seconds": self.seconds,
        }
        begin = self.clock()
        arrays = {f"variable{n}": v.numpy() for n, v in enumerate(_variables_of(model))}
        arrays |= {f"state{n}": np.asarray(s) for n, s in enumerate(edge.states or ())}
        for name, memory in self._memories.items():
            arrays |= {f"{name}{n}": array for n, array in enumerate(memory.arrays())}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        try:
            with whole_file(self.path) as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise OSError(
                f"The checkpoint {str(self.path)!r} could not be written: {error}. The one before "
                "it, if any, is whole. Make room on the disk, and go on from it."
            ) from error
        self.written += 1
        self._writing_took = self.clock() - begin
        self._note_written()

    def _read(
        self,
    ) -> tuple[dict[str, Any], list[np.ndarray], list[np.ndarray], dict[str, list[np.ndarray]]]:
        try:
            size = self.path.stat().st_size
            with zipfile.ZipFile(self.path) as archive:
                # As written: packed members might be far larger than the file.
                for member in archive.infolist():
                    if member.compress_type:
                        raise ValueError("it holds packed arrays")
                    with archive.open(member) as content:
                        _require_room(content, min(member.file_size, size))
            with np.load(self.path, allow_pickle=False) as arrays:
                about = json.loads(arrays["about"].tobytes())
                if about["format"] != _FORMAT:
                    raise ValueError(f"its format is {about['format']!r}, not {_FORMAT!r}")
                variables, states = (list(_numbered(arrays, n)) for n in ("variable", "state"))
                remembered = {name: list(_numbered(arrays, name)) for name in self._memories}
                missing = {"settings", "epoch", "edge", "finished", "stopped", "seconds"} - {*about}
                if missing:
                    raise ValueError(f"it has no {min(missing)}")
                _take_types(about)
        except _DAMAGES as error:
            raise ValueError(
                f"{str(self.path)!r} is no whole checkpoint: {error}. Expected a file that "
                "`Checkpoint` wrote. Remove it to begin anew."
            ) from error
        return about, variables, states, remembered

    def _require_same(self, held: Mapping[str, Any]) -> None:
        other = first_difference(held, self._settings)
        if other:
            raise ValueError(
                f"{str(self.path)!r} is the checkpoint of another training: `{other.name}` is "
                f"{other.held!r} in it, but {other.now!r} here. Go on with the settings and data "
                "that it was begun with, or remove it to begin anew."
            )

    def _fill(self, model: Any, values: list[np.ndarray]) -> None:
        variables = _variables_of(model)
        shapes = [
            (tuple(v.shape), np.dtype(keras.backend.standardize_dtype(v.dtype))) for v in variables
        ]
        if shapes != [(value.shape, value.dtype) for value in values]:
            raise ValueError(
                f"{str(self.path)!r} has {len(values)} variables whose shapes are not those of "
                f"the {len(variables)} that are trained. It was written with another version of "
                "the model. Remove it to begin anew."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _take_types(about: dict[str, Any]) -> None:
    """Turns what JSON held into what `begin` takes; damage shows here, and not later."""
    edge = about["edge"]
    about["edge"] = ChunkEdge(
        chunks=int(edge["chunks"]),
        loss_sum=float(edge["loss_sum"]),
        events=float(edge["events"]),
        seconds=float(edge["seconds"]),
    )
    about["finished"] = [
        (int(epoch), {name: float(value) for name, value in logs.items()})
        for epoch, logs in about["finished"]
    ]
    about["epoch"], about["seconds"] = int(about["epoch"]), float(about["seconds"])
    about["settings"] = dict(about["settings"])


def _require_room(member: Any, size: int) -> None:
    """Refuses an array that claims more bytes than its member of the archive has."""
    version = np.lib.format.read_magic(member)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError(f"an array has the format {version}")
    shape, _, dtype = read[version](member)
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array of shape {shape} has {size:,} bytes")


def _variables_of(model: Any) -> list[Any]:
    """Everything that a training moves: weights, random states, slots, iterations."""
    return [*model.variables, *model.optimizer.variables]


def _numbered(arrays: Any, name: str) -> Iterator[np.ndarray]:
    number = 0
    while f"{name}{number}" in arrays:
        yield arrays[f"{name}{number}"]
        number += 1


def _require_own_start(stream: Any, epochs: range) -> None:
    if not hasattr(stream, "from_epoch"):
        raise ValueError(
            f"`x` was {stream!r}, which cannot be started at an epoch, but a training with a "
            "checkpoint must be able to. Pass a stream of hrec_tf.data.lanes as it came, without "
            "`map`, `take` or the like."
        )
    if stream.first_epoch != epochs.start:
        raise ValueError(
            f"`x` begins with epoch {stream.first_epoch}, but `initial_epoch` was {epochs.start}. "
            "With a checkpoint, which starts the stream itself, both must be the same. Make the "
            f"stream with first_epoch={epochs.start}."
        )


def _settings_of(model: Any, stream: Any) -> dict[str, Any]:
    """What must be the same in a training that goes on, flat: dotted name -> plain value."""
    of_model = {"class": keras.saving.get_registered_name(type(model)), **model.get_config()}
    compiled, identity = model.get_compile_config(), stream.identity()
    found = flat({"model": of_model, "compile": compiled, "stream": identity})
    return {
        name: _plain(value)
        for name, value in found.items()
        # Keras numbers its objects by the order in which a process makes them.
        if "name" not in name.split(".")
    }


def _plain(value: Any) -> Any:
    """Returns a value as it comes back from JSON; a long one, such as supports, by checksum."""
    text = json.dumps(value, default=str)
    if len(text) > _LONGEST_SHOWN:
        return f"sha256 {hashlib.sha256(text.encode()).hexdigest()}"
    return json.loads(text)
