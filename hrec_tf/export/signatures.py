"""The signatures of an exported SavedModel: raw ids in, raw ids out.

    recommend   item_ids (batch, time), timestamps, lengths, exclude_seen
                                            -> item_ids (batch, k), scores, state, state_info
    step        item_ids (batch,), timestamps, state, state_info -> the same
    score       item_ids (batch, time), timestamps, lengths, candidates -> scores

A model that reads a session as a whole has no `step`, and its `recommend` no state among the
outputs. `hrec_tf.inference` says what they mean.

Raw ids are strings, or int64 where the log has whole numbers. The vocabulary is one text file
among the assets; both tables read it. Stock ops only, so that TensorFlow Serving runs them
without Keras and without this library.
"""

from pathlib import Path
from typing import Any

import tensorflow as tf

from hrec_tf.inference import Answer, Inference
from hrec_tf.schema import PADDING_ID
from hrec_tf.user_history import LATEST_SECONDS

UNFILLED_ID = {"text": "", "int64": -1}
"""Raw id of a place that no candidate is left for."""


class Signatures(tf.Module):
    """What a SavedModel of a recommender holds.

    Args:
        inference: the questions, on numbered items.
        vocabulary_file: written by `Vocabulary.save`; it becomes an asset.
        id_type: `Vocabulary.id_type`.
        k: length of a list.
    """

    def __init__(self, inference: Inference, vocabulary_file: Path, *, id_type: str, k: int):
        super().__init__()
        self._inference, self._id_type, self._k = inference, id_type, k
        # Without these a Session finds no variables: Keras' own are not tracked from here.
        self.weights = [weight.value for weight in inference.model.weights]
        path = str(vocabulary_file)
        line, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        self.number_of = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(path, tf.string, line, tf.int64, number), PADDING_ID
        )
        self.raw_id_of = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(path, tf.int64, number, tf.string, line), ""
        )

    def functions(self) -> dict[str, Any]:
        """Returns the signatures that the model has by name, as concrete functions."""
        raw_id = tf.string if self._id_type == "text" else tf.int64
        spec = tf.TensorSpec
        history = [
            spec((None, None), raw_id, "item_ids"),
            spec((None, None), tf.int64, "timestamps"),
            spec((None,), tf.int32, "lengths"),
        ]
        event = [
            spec((None,), raw_id, "item_ids"),
            spec((None,), tf.int64, "timestamps"),
            spec((None, self._inference.state_size), tf.float32, "state"),
            spec((None, 4), tf.int64, "state_info"),
        ]
        exclude_seen = spec((None,), tf.bool, "exclude_seen")
        candidates = spec((None, None), raw_id, "candidates")
        functions = {
            "recommend": (self._recommend, [*history, exclude_seen]),
            "step": (self._step, event),
            "score": (self._score, [*history, candidates]),
        }
        made = {}
        for name in self._inference.signatures:
            call, inputs = functions[name]
            function = tf.function(call, autograph=False, input_signature=inputs)
            made[name] = function.get_concrete_function()
        return {"serving_default": made["recommend"], **made}

    def _recommend(self, item_ids, timestamps, lengths, exclude_seen):
        rows = {"lengths": lengths, "exclude_seen": exclude_seen}
        with tf.control_dependencies(_history_checks(item_ids, timestamps, lengths, rows)):
            ids = self._encode(item_ids)
        answer = self._inference.recommend(ids, timestamps, lengths, exclude_seen, k=self._k)
        return self._decoded(answer)

    def _step(self, item_ids, timestamps, state, state_info):
        number = self._inference.model_number
        checks = _state_checks(item_ids, timestamps, state, state_info, number)
        with tf.control_dependencies(checks):
            ids = self._encode(item_ids)
        return self._decoded(self._inference.step(ids, timestamps, state, state_info, k=self._k))

    def _score(self, item_ids, timestamps, lengths, candidates):
        rows = {"lengths": lengths, "candidates": candidates}
        with tf.control_dependencies(_history_checks(item_ids, timestamps, lengths, rows)):
            ids = self._encode(item_ids)
        scores = self._inference.score(ids, timestamps, lengths, self._encode(candidates))
        return {"scores": scores}

    def _encode(self, raw_ids: tf.Tensor) -> tf.Tensor:
        text = raw_ids if self._id_type == "text" else tf.strings.as_string(raw_ids)
        return tf.cast(self.number_of.lookup(text), tf.int32)

    def _decoded(self, answer: Answer) -> dict[str, tf.Tensor]:
        text = self.raw_id_of.lookup(tf.cast(answer.item_ids, tf.int64))
        # Line 0 of the file is its heading, not an id.
        is_filled = answer.item_ids != PADDING_ID
        unfilled = str(UNFILLED_ID[self._id_type])
        raw_ids = tf.where(is_filled, text, unfilled)
        if self._id_type != "text":
            raw_ids = tf.strings.to_number(raw_ids, tf.int64)
        return {**answer.outputs(), "item_ids": raw_ids}


def _history_checks(item_ids, timestamps, lengths, rows) -> list[tf.Operation]:
    shape, width = tf.shape(item_ids), tf.shape(item_ids)[1]
    same_shape = _require(
        tf.reduce_all(tf.shape(timestamps) == shape),
        "`timestamps` must have the shape of `item_ids`: one time per event. Shapes of both:",
        [tf.shape(timestamps), shape],
    )
    shapes = [same_shape, *_same_batch(item_ids, rows)]
    # What follows would stop at shapes that do not fit, with words of its own.
    with tf.control_dependencies(shapes):
        lengths = tf.identity(lengths)
    is_real = tf.range(tf.shape(timestamps)[1]) < lengths[:, None]
    goes_back = is_real[:, 1:] & (timestamps[:, 1:] < timestamps[:, :-1])
    return [
        *shapes,
        _require(
            tf.reduce_all((lengths >= 0) & (lengths <= width)),
            "`lengths` must lie in 0..time: the number of real events of a row. Got, for time:",
            [lengths, width],
        ),
        _require(
            ~tf.reduce_any(goes_back),
            "`timestamps` must not go back inside a row: sort the events by time. Rows:",
            [tf.where(tf.reduce_any(goes_back, axis=1))[:, 0]],
        ),
        _require_seconds(tf.where(is_real, timestamps, 0)),
    ]


def _state_checks(item_ids, timestamps, state, state_info, model_number) -> list[tf.Operation]:
    rows = {"timestamps": timestamps, "state": state, "state_info": state_info}
    shapes = _same_batch(item_ids, rows)
    with tf.control_dependencies(shapes):
        state_info = tf.identity(state_info)
    last, known_events, pending, number = (state_info[:, i] for i in range(4))
    is_ours = (number == 0) | (number == model_number)
    is_finite = tf.reduce_all(tf.math.is_finite(state), axis=1)
    goes_back = (number != 0) & (timestamps < last)
    # Of a new user all is zero: half of an answer would lose the history without a word.
    is_empty = tf.reduce_all(state == 0, axis=1) & tf.reduce_all(state_info == 0, axis=1)
    is_possible = (known_events >= 0) & ((pending == 0) | (pending == 1))
    is_whole = tf.where(number == 0, is_empty, is_possible)
    return [
        *shapes,
        _require_seconds(timestamps[:, None]),
        _require(
            tf.reduce_all(is_whole | ~is_finite | ~is_ours),
            "`state` and `state_info` do not belong together: pass both of one answer as they "
            "came, or zeros for a new user. Rows:",
            [tf.where(~is_whole)[:, 0]],
        ),
        _require(
            tf.reduce_all(is_ours),
            "`state` comes from another model or version: ask `recommend` with the history "
            "again. Rows:",
            [tf.where(~is_ours)[:, 0]],
        ),
        _require(
            tf.reduce_all(is_finite),
            "`state` holds NaN or infinity: pass the state of the answer before, or zeros for a "
            "new user. Rows:",
            [tf.where(~is_finite)[:, 0]],
        ),
        _require(
            ~tf.reduce_any(goes_back),
            "`timestamps` must not lie before the event that `state` ended with. Rows:",
            [tf.where(goes_back)[:, 0]],
        ),
    ]


def _require_seconds(timestamps: tf.Tensor) -> tf.Operation:
    is_late = (timestamps >= LATEST_SECONDS) | (timestamps <= -LATEST_SECONDS)
    is_late = tf.reduce_any(is_late, axis=1)
    return _require(
        ~tf.reduce_any(is_late),
        f"`timestamps` must be Unix seconds below {LATEST_SECONDS}: divide milliseconds by 1000. "
        "Rows:",
        [tf.where(is_late)[:, 0]],
    )


def _same_batch(item_ids: tf.Tensor, rows: dict[str, tf.Tensor]) -> list[tf.Operation]:
    """Requires a row of each input for each row of `item_ids`; one row would be repeated."""
    batch = tf.shape(item_ids)[0]
    return [
        _require(
            tf.shape(values)[0] == batch,
            f"`{name}` must have the batch of `item_ids`: one row for each. Batches of both:",
            [tf.shape(values)[0], batch],
        )
        for name, values in rows.items()
    ]


def _require(holds: tf.Tensor, message: str, values: list[tf.Tensor]) -> tf.Operation:
    # The op itself: `tf.debugging.Assert` wraps it in a branch, which costs more than the check.
    return tf.raw_ops.Assert(condition=holds, data=[tf.constant(message), *values], summarize=10)
