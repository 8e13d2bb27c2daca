"""What a request must be before a model sees it, and the status it gets if it is not.

The checks and codes are those of TensorFlow Serving, with limits and messages of our own.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import numpy as np

from hrec_tf import checks
from hrec_tf.serving import tensors

_MAX_HEADER = 1000
"""Bytes of UTF-8 of a message that travels in a header."""
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_OF_EVENTS = {"item_ids", "timestamps"}
"""Inputs whose second axis, where there is one, is the events of a history."""


class RefusedError(Exception):
    """A request that gets an error instead of an answer.

    Attributes:
        code: `grpc.StatusCode` of the reply.
        message: text of the reply.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code, self.message = code, message


def for_header(message: str) -> str:
    """Returns as much of a message as the header of a refusal has room for.

    It may quote what was sent, and each of its bytes that is no ASCII travels as three.
    """
    return message.encode(errors="replace")[:_MAX_HEADER].decode(errors="ignore")


class Places:
    """Room for the requests that are in work at once.

    Args:
        most: of them.
    """

    def __init__(self, most: int):
        self.most, self._taken = most, 0

    @property
    def free(self) -> int:
        """How many more requests there is room for."""
        return self.most - self._taken

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Takes a place until the block ends.

        Raises:
            RefusedError: there is none.
        """
        if not self.free:
            raise RefusedError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self.most} requests are in work, which is the most. Ask again later.",
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Limits(NamedTuple):
    """What one request may ask for.

    Attributes:
        max_batch: rows.
        max_elements: elements of all input tensors together; a few bytes may claim many.
        max_scores: rows times items of the catalogue: each row is scored against all of it.
        max_history: events of a row, with its padding: a recurrence reads one after the other.
    """

    max_batch: int
    max_elements: int
    max_scores: int
    max_history: int


def wanted_outputs(name: str, signature: Any, output_filter: Iterable[str]) -> tuple[str, ...]:
    """Returns the sorted names of the outputs to compute: those of the filter, or all.

    Raises:
        RefusedError: a name that is no output, or stands there twice.
    """
    asked, known = list(output_filter), sorted(signature.outputs)
    for position, alias in enumerate(asked):
        if alias not in signature.outputs:
            raise RefusedError(
                _INVALID,
                f"`output_filter` names {alias!r}, but signature {name!r} has the outputs "
                f"{', '.join(known)}. {checks.did_you_mean(alias, known)}",
            )
        if alias in asked[:position]:
            raise RefusedError(
                _INVALID, f"`output_filter` names {alias!r} twice. Name each output once."
            )
    return tuple(sorted(asked) or known)


def read_inputs(
    name: str, signature: Any, inputs: Any, limits: Limits, num_items: int
) -> dict[str, np.ndarray]:
    """Returns input name -> array, of exactly the types and shapes of the signature.

    Args:
        name: of the signature.
        signature: its SignatureDef; the first axis of every input is the batch.
        inputs: input name -> TensorProto.
        limits: of the request.
        num_items: of the catalogue.

    Raises:
        RefusedError: anything else than that was sent.
    """
    missing, extra = set(signature.inputs) - set(inputs), set(inputs) - set(signature.inputs)
    if missing or extra:
        raise RefusedError(
            _INVALID,
            f"Signature {name!r} takes the inputs {', '.join(sorted(signature.inputs))}. "
            f"Missing: {', '.join(sorted(missing)) or 'none'}. "
            f"Not known: {', '.join(sorted(extra)) or 'none'}.",
        )
    shapes = {
        alias: _checked_shape(alias, inputs[alias], signature.inputs[alias])
        for alias in sorted(inputs)
    }
    _check_sizes(shapes, limits, num_items)
    arrays = {}
    for alias, shape in shapes.items():
        try:
            arrays[alias] = tensors.to_array(inputs[alias], shape)
        except ValueError as error:
            raise RefusedError(
                _INVALID, f"Input `{alias}` is no tensor: {error}. Send one value per element."
            ) from error
    return arrays


def _check_sizes(shapes: dict[str, tuple[int, ...]], limits: Limits, num_items: int) -> None:
    batches: dict[int, str] = {}
    for alias, shape in shapes.items():
        batches.setdefault(shape[0] if shape else 1, alias)
    if len(batches) > 1:
        (one, first), (other, second) = list(batches.items())[:2]
        raise RefusedError(
            _INVALID,
            f"Input `{first}` has batch {one}, but `{second}` has batch {other}. Send the same "
            "number of rows in every input.",
        )
    rows = max(batches, default=0)
    if rows > limits.max_batch:
        raise RefusedError(
            _INVALID,
            f"The batch has {rows} rows, but at most {limits.max_batch} are answered at "
            "once. Send several requests.",
        )
    if rows * num_items > limits.max_scores:
        raise RefusedError(
            _INVALID,
            f"The batch has {rows} rows for a catalogue of {num_items} items, which makes "
            f"{rows * num_items} scores, but at most {limits.max_scores} are computed at once "
            f"(`max_scores`). Send at most {limits.max_scores // num_items} rows in one request.",
        )
    elements = sum(math.prod(shape) for shape in shapes.values())
    if elements > limits.max_elements:
        raise RefusedError(
            _INVALID,
            f"The inputs have {elements} elements, but at most {limits.max_elements} are read in "
            "one request. Send several requests, or shorter histories.",
        )
    for alias, shape in shapes.items():
        if alias in _OF_EVENTS and len(shape) > 1 and shape[1] > limits.max_history:
            raise RefusedError(
                _INVALID,
                f"Input `{alias}` has rows of {shape[1]} events, but at most {limits.max_history} "
                "are read of one user (`max_history`). Send the newest.",
            )


def _checked_shape(alias: str, proto: Any, info: Any) -> tuple[int, ...]:
    kind, sizes = tensors.DATA_TYPES[info.dtype], [dim.size for dim in info.tensor_shape.dim]
    if proto.dtype != kind.number:
        came = tensors.DATA_TYPES.get(proto.dtype)
        raise RefusedError(
            _INVALID,
            f"Input `{alias}` has type {came.name if came else f'number {proto.dtype}'}, but "
            f"{_named(kind, sizes)} is expected. Send it in that type.",
        )
    try:
        shape = tensors.shape_of(proto)
    except ValueError as error:
        raise RefusedError(
            _INVALID, f"Input `{alias}` is no tensor: {error}. Send {_named(kind, sizes)}."
        ) from error
    if len(shape) != len(sizes) or any(
        wanted not in (-1, size) for wanted, size in zip(sizes, shape, strict=True)
    ):
        raise RefusedError(
            _INVALID,
            f"Input `{alias}` has shape {list(shape)}, but {_named(kind, sizes)} is expected. Send "
            "one row per user.",
        )
    return shape


def _named(kind: tensors.DataType, sizes: list[int]) -> str:
    return f"{kind.name} [{', '.join('any' if size < 0 else str(size) for size in sizes)}]"
