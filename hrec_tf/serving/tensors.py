"""Arrays as TensorProto and back, for the types of our signatures.

Works with TensorFlow's own TensorProto and with that of `hrec_tf.serving.protocol`.
"""

import math
from typing import Any, NamedTuple

import numpy as np


class DataType(NamedTuple):
    """A type of tensor: its name and number, NumPy's, and the field of a TensorProto."""

    name: str
    number: int
    numpy: Any
    field: str


FLOAT = DataType("float32", 1, np.float32, "float_val")
INT32 = DataType("int32", 3, np.int32, "int_val")
STRING = DataType("string", 7, object, "string_val")
INT64 = DataType("int64", 9, np.int64, "int64_val")
BOOL = DataType("bool", 10, np.bool_, "bool_val")
DATA_TYPES = {kind.number: kind for kind in (FLOAT, INT32, STRING, INT64, BOOL)}


def fill(proto: Any, values: np.ndarray, kind: DataType) -> None:
    """Writes an array into an empty TensorProto, one value per element.

    Args:
        proto: the TensorProto.
        values: of that type; bytes in an object array for `STRING`.
        kind: one of `DATA_TYPES`.
    """
    proto.dtype = kind.number
    for size in values.shape:
        proto.tensor_shape.dim.add().size = size
    getattr(proto, kind.field).extend(values.ravel().tolist())


def fill_with_bytes(proto: Any, values: np.ndarray, kind: DataType) -> None:
    """Writes an array as `fill` does, numbers by their bytes, which both sides do faster.

    For requests: of replies, programs in the world read the fields of values.
    """
    if kind is STRING:
        fill(proto, values, kind)
        return
    proto.dtype = kind.number
    for size in values.shape:
        proto.tensor_shape.dim.add().size = size
    proto.tensor_content = np.asarray(values, kind.numpy).tobytes()


def shape_of(proto: Any) -> tuple[int, ...]:
    """Returns the shape that a TensorProto claims, or raises ValueError where it has none."""
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"its shape {list(shape)} is not known in full")
    return shape


def to_array(proto: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Returns the values of a TensorProto, which has one of `DATA_TYPES`.

    As in TensorFlow, fewer values than elements repeat the last one. Check `shape_of` first:
    a few bytes can claim a large tensor.

    Args:
        proto: the TensorProto.
        shape: of it, where `shape_of` was asked before.

    Raises:
        ValueError: values that do not make a tensor of its shape.
    """
    kind, shape = DATA_TYPES[proto.dtype], shape_of(proto) if shape is None else shape
    size = math.prod(shape)
    if proto.tensor_content:
        if kind is STRING:
            raise ValueError("its text is in `tensor_content`, but is read from `string_val`")
        wanted = size * np.dtype(kind.numpy).itemsize
        if len(proto.tensor_content) != wanted:
            raise ValueError(
                f"`tensor_content` has {len(proto.tensor_content)} bytes, but shape "
                f"{list(shape)} needs {wanted}"
            )
        return np.frombuffer(proto.tensor_content, kind.numpy).reshape(shape)
    held = getattr(proto, kind.field)
    if len(held) > size or (size and not held):
        raise ValueError(
            f"`{kind.field}` has {len(held)} values, but shape {list(shape)} needs {size}"
        )
    values = np.empty(size, kind.numpy)
    values[: len(held)] = held
    if len(held) < size:
        values[len(held) :] = held[-1]
    return values.reshape(shape)
