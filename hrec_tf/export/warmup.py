"""Warm-up: requests that a server runs before it takes a new version into service."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

FILE_NAME = "tf_serving_warmup_requests"
LENGTHS = (8, 16, 32, 64, 128)
"""Events of a history, as clients pad them."""
LONG_LENGTHS = (256, 512, 1024, 2048)
"""Those of long histories, which are asked about one at a time."""
BATCHES = (1, 2, 4, 8, 16, 32)
"""Rows of a request, up to those that a client sends at once."""


def write_warmup(
    folder: Path, signatures: Mapping[str, Any], raw_id: Any, *, every_shape: bool
) -> None:
    """Writes requests for each signature, as TensorFlow Serving reads them.

    Args:
        folder: `assets.extra` of the artefact.
        signatures: what the manifest says of them.
        raw_id: of an item, which all events are of.
        every_shape: ask with batches of every size and with long histories, too: XLA compiles
            for each.
    """
    with tf.io.TFRecordWriter(str(folder / FILE_NAME)) as file:
        for name, signature in signatures.items():
            for shape in _shapes(signature["inputs"], every_shape):
                request = predict_pb2.PredictRequest()
                # The name is what the server calls the model; it does not look at this one.
                request.model_spec.name = "recommender"
                request.model_spec.signature_name = name
                for alias, tensor in signature["inputs"].items():
                    request.inputs[alias].CopyFrom(_filled(alias, tensor, *shape, raw_id))
                log = prediction_log_pb2.PredictLog(request=request)
                record = prediction_log_pb2.PredictionLog(predict_log=log)
                file.write(record.SerializeToString())


def _shapes(inputs: Mapping[str, Any], every_shape: bool) -> Iterator[tuple[int, int]]:
    """Yields batch and time; of a signature that reads one event the time is of no meaning."""
    batches = BATCHES if every_shape else BATCHES[:1]
    yield from itertools.product(batches, LENGTHS if "lengths" in inputs else LENGTHS[:1])
    if every_shape and "lengths" in inputs:
        yield from ((1, length) for length in LONG_LENGTHS)


def _filled(alias: str, tensor: Mapping[str, Any], batch: int, time: int, raw_id: Any) -> Any:
    """A TensorProto with the same value everywhere, which a request holds once."""
    # Lists of items are as short as can be; histories as long as is said.
    columns = time if alias in ("item_ids", "timestamps", "feedback") else LENGTHS[0]
    shape = [batch, *(columns if size == -1 else size for size in tensor["shape"][1:])]
    value: Any = False if tensor["type"] == "bool" else 0
    if alias in ("item_ids", "candidates", "allow", "deny"):
        value = raw_id
    elif alias == "lengths":
        value = time
    elif alias == "allow_lengths":
        value = 1
    return tf.make_tensor_proto(value, tensor["type"], shape)
