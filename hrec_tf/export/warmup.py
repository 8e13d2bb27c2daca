"""Warm-up: requests that a server runs before it takes a new version into service."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from hrec_tf.recommender import Recommender

FILE_NAME = "tf_serving_warmup_requests"
LENGTHS = (1, 8, 32)
"""Lengths of the histories that are asked for."""


def write_warmup(folder: Path, recommender: Recommender) -> None:
    """Writes a request per signature and length, as TensorFlow Serving reads them.

    Args:
        folder: `assets.extra` of the artefact.
        recommender: what was exported.
    """
    with tf.io.TFRecordWriter(str(folder / FILE_NAME)) as file:
        for signature, inputs in _requests(recommender):
            request = predict_pb2.PredictRequest()
            # The name is what the server calls the model; it does not look at this one.
            request.model_spec.name = "recommender"
            request.model_spec.signature_name = signature
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            log = prediction_log_pb2.PredictLog(request=request)
            file.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def _requests(recommender: Recommender) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    raw_ids, inference = recommender.vocabulary.raw_ids, recommender.inference

    def nothing(length: int, **which: bool) -> dict[str, np.ndarray]:
        """What is asked beside events: zeros."""
        specs = inference.context_specs(**which, batch_size=1)
        shapes = {spec.name: [length if d is None else d for d in spec.shape] for spec in specs}
        return {s.name: np.zeros(shapes[s.name], s.dtype.as_numpy_dtype) for s in specs}

    for length in LENGTHS:
        item_ids = np.resize(raw_ids.head(length).to_numpy(), (1, length))
        history = {
            "item_ids": item_ids,
            "timestamps": np.zeros((1, length), np.int64),
            "lengths": np.array([length], np.int32),
            **nothing(length),
        }
        for name in ("serving_default", "recommend"):
            yield name, history | {"exclude_seen": np.array([True])}
        yield "score", history | {"candidates": item_ids}
    if "step" in inference.signatures:
        event = {
            "item_ids": np.resize(raw_ids.head(1).to_numpy(), (1,)),
            "timestamps": np.zeros(1, np.int64),
            "state": np.zeros((1, inference.state_size), np.float32),
            "state_info": np.zeros((1, inference.info_size), np.int64),
            **nothing(0, of_event=True),
        }
        yield "step", event
