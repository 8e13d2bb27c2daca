"""A SavedModel with the signatures of an export, in plain TensorFlow: a second's work.

The next item is the one after the last known item in the list; else items rank as they stand.
The state of `recommend` is [width of the request, events of the row], that of `step` counts on.
"""

import threading
from contextlib import contextmanager

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from hrec_tf import manifest

TEXT = ["tea", "jam", "rum", "gin", "ale", "ø"]
NUMBERS = [70, -5, 2**40, 3, 0, 9]
K, STATE_SIZE, MODEL_NUMBER = 4, 2, 77
UNFILLED = tf.float32.min
WARMUP = "assets.extra/tf_serving_warmup_requests"


class Toy(tf.Module):
    def __init__(self, raw_ids, k, has_step):
        super().__init__()
        self.k, self.has_step, self.raw_ids = k, has_step, tf.constant(np.array(raw_ids))
        self.unfilled_id = tf.constant("" if self.raw_ids.dtype == tf.string else -1)
        self.unfilled_id = tf.cast(self.unfilled_id, self.raw_ids.dtype)
        numbers = tf.range(1, len(raw_ids) + 1, dtype=tf.int64)
        held = tf.lookup.KeyValueTensorInitializer(self.raw_ids, numbers)
        self.number_of = tf.lookup.StaticHashTable(held, 0)

    def functions(self):
        spec, raw_id = tf.TensorSpec, self.raw_ids.dtype
        history = [
            spec((None, None), raw_id, "item_ids"),
            spec((None, None), tf.int64, "timestamps"),
            spec((None,), tf.int32, "lengths"),
        ]
        event = [
            spec((None,), raw_id, "item_ids"),
            spec((None,), tf.int64, "timestamps"),
            spec((None, STATE_SIZE), tf.float32, "state"),
            spec((None, 4), tf.int64, "state_info"),
        ]
        inputs = {
            "recommend": (self.recommend, [*history, spec((None,), tf.bool, "exclude_seen")]),
            "step": (self.step, event),
            "score": (self.score, [*history, spec((None, None), raw_id, "candidates")]),
        }
        made = {
            name: tf.function(call, input_signature=wanted).get_concrete_function()
            for name, (call, wanted) in inputs.items()
            if self.has_step or name != "step"
        }
        return {"serving_default": made["recommend"], **made}

    def recommend(self, item_ids, timestamps, lengths, exclude_seen):
        scores, numbers = self.scores(item_ids, timestamps, lengths)
        seen = tf.reduce_any(tf.one_hot(numbers - 1, len(self.raw_ids)) > 0, axis=1)
        scores = tf.where(seen & exclude_seen[:, None], UNFILLED, scores)
        width = tf.fill(tf.shape(lengths), tf.shape(item_ids)[1])
        state = tf.cast(tf.stack([width, lengths], 1), tf.float32)
        last = tf.gather(timestamps, tf.maximum(lengths - 1, 0), batch_dims=1)
        return self.answer(scores, state, last)

    def step(self, item_ids, timestamps, state, state_info):
        number = state_info[:, 3]
        right = tf.reduce_all((number == 0) | (number == MODEL_NUMBER))
        check = tf.debugging.Assert(right, ["`state` comes from another model. Rows:", number])
        with tf.control_dependencies([check]):
            scores = self.by_last(self.number_of.lookup(item_ids))
        return self.answer(scores, state + tf.constant([0.0, 1.0]), timestamps)

    def score(self, item_ids, timestamps, lengths, candidates):
        scores, _ = self.scores(item_ids, timestamps, lengths)
        numbers = self.number_of.lookup(candidates)
        found = tf.gather(scores, tf.maximum(numbers - 1, 0), batch_dims=1)
        return {"scores": tf.where(numbers > 0, found, UNFILLED)}

    def scores(self, item_ids, timestamps, lengths):
        real = tf.range(tf.shape(item_ids)[1]) < lengths[:, None]
        falls = tf.reduce_any(real[:, 1:] & (timestamps[:, 1:] < timestamps[:, :-1]))
        message = "`timestamps` must not go back inside a row. Rows:"
        with tf.control_dependencies([tf.debugging.Assert(~falls, [message, lengths])]):
            numbers = tf.where(real, self.number_of.lookup(item_ids), 0)
        place = tf.cast(tf.range(1, tf.shape(item_ids)[1] + 1), tf.int64)
        last_known = tf.reduce_max(tf.where(numbers > 0, place, 0), axis=1)
        last = tf.gather(tf.pad(numbers, [[0, 0], [1, 0]]), last_known, batch_dims=1)
        return self.by_last(last), numbers

    def by_last(self, last):
        n = len(self.raw_ids)
        base = tf.range(n, 0, -1, dtype=tf.float32)[None]
        after = tf.one_hot(last % n, n) * tf.cast(last > 0, tf.float32)[:, None]
        return base + 10.0 * after

    def answer(self, scores, state, last):
        best, columns = tf.math.top_k(scores, self.k)
        items = tf.where(best > UNFILLED, tf.gather(self.raw_ids, columns), self.unfilled_id)
        zero = tf.zeros_like(last)
        info = tf.stack([last, zero, zero, zero + MODEL_NUMBER], axis=1)
        after = {"state": state, "state_info": info} if self.has_step else {}
        return {"item_ids": items, "scores": best, **after}


def write_toy(base, *, version=1, raw_ids=TEXT, k=K, has_step=True, warmup=None):
    """Writes `base/<version>/`; `warmup` are records, by default one request."""
    folder = base / str(version)
    toy = Toy(raw_ids, k, has_step)
    tf.saved_model.save(toy, str(folder), toy.functions())
    if warmup is None:
        warmup = [warmup_record(item_ids=[raw_ids[:2]])]
    path = folder / WARMUP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as file:
        for record in warmup:
            file.write(record)
    manifest.write(folder, kind="saved_model", about={"num_items": len(raw_ids)})
    return folder


def warmup_record(**changes):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(request("recommend", recommend_inputs(**changes)))
    return log.SerializeToString()


def recommend_inputs(**changes):
    """One user with two events."""
    item_ids = tf.constant(np.array(changes.pop("item_ids", [["tea", "jam"]])))
    usual = {
        "item_ids": item_ids,
        "timestamps": tf.reshape(tf.range(tf.size(item_ids, tf.int64)), tf.shape(item_ids)),
        "lengths": tf.fill([item_ids.shape[0]], item_ids.shape[1]),
        "exclude_seen": tf.fill([item_ids.shape[0]], True),
    }
    return usual | changes


def request(signature, inputs, *, model="recommender", version=None, output_filter=()):
    """A PredictRequest made with the stubs of TensorFlow Serving."""
    made = predict_pb2.PredictRequest(output_filter=output_filter)
    made.model_spec.name, made.model_spec.signature_name = model, signature
    if version is not None:
        made.model_spec.version.value = version
    for name, values in inputs.items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return made


@contextmanager
def held_back(server):
    """Lets a server's model wait until `opened` is set; `begun` is set when a batch has come."""
    artefact, begun, opened = server._newest(), threading.Event(), threading.Event()
    run = artefact.run

    def hold_back(call, feeds):
        begun.set()
        opened.wait(20)
        return run(call, feeds)

    artefact.run = hold_back
    try:
        yield begun, opened
    finally:
        opened.set()
