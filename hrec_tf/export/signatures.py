"""The signatures of an exported SavedModel: raw ids in, raw ids out.

    recommend   item_ids (batch, time), timestamps, lengths, exclude_seen
                                            -> item_ids (batch, k), scores, state, state_info
    step        item_ids (batch,), timestamps, state, state_info -> the same
    score       item_ids (batch, time), timestamps, lengths, candidates -> scores

A model that reads a session as a whole has no `step`, and its `recommend` no state among the
outputs. One that is told the time of asking has the input `at` (batch,) besides, and if it reads
them `feedback` (batch, time, width), in `step` (batch, width), and `user_features` (batch, width),
as the features' schema encodes them. `hrec_tf.inference` says what they mean.

Raw ids are strings, or int64 where the log has whole numbers. The vocabulary is one text file
among the assets; both tables read it. Stock ops only, so that TensorFlow Serving runs them
without Keras and without this library.
"""

from pathlib import Path
from typing import Any

import tensorflow as tf

from hrec_tf.inference import Answer, Inference
from hrec_tf.schema import FEEDBACK, PADDING_ID, USER_FEATURES
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
            spec((None, self._inference.info_size), tf.int64, "state_info"),
        ]
        context = self._inference.context_specs()
        of_event = self._inference.context_specs(of_event=True)
        exclude_seen = spec((None,), tf.bool, "exclude_seen")
        candidates = spec((None, None), raw_id, "candidates")
        functions = {
            "recommend": (self._recommend, [*history, exclude_seen, *context]),
            "step": (self._step, [*event, *of_event]),
            "score": (self._score, [*history, candidates, *context]),
        }
        made = {}
        for name in self._inference.signatures:
            call, inputs = functions[name]
            function = tf.function(call, autograph=False, input_signature=inputs)
            made[name] = function.get_concrete_function()
        return {"serving_default": made["recommend"], **made}

    def _recommend(self, item_ids, timestamps, lengths, exclude_seen, *context):
        rows = {"lengths": lengths, "exclude_seen": exclude_seen, **self._named(context)}
        checks = _history_checks(item_ids, timestamps, lengths, rows)
        item_ids, timestamps, lengths, exclude_seen, *more = _after(
            checks, item_ids, timestamps, lengths, exclude_seen, *context
        )
        history = self._encode(item_ids), timestamps, lengths, exclude_seen
        said = self._named(more)
        return self._decoded(self._inference.recommend(*history, k=self._k, **said))

    def _step(self, item_ids, timestamps, state, state_info, *context):
        number = self._inference.model_number
        checks = _state_checks(item_ids, timestamps, state, state_info, number)
        checks += _context_checks(item_ids, timestamps[:, None], None, self._named(context))
        item_ids, timestamps, state, state_info, *more = _after(
            checks, item_ids, timestamps, state, state_info, *context
        )
        event = self._encode(item_ids), timestamps, state, state_info
        said = self._named(more)
        return self._decoded(self._inference.step(*event, k=self._k, **said))

    def _score(self, item_ids, timestamps, lengths, candidates, *context):
        rows = {"lengths": lengths, "candidates": candidates, **self._named(context)}
        checks = _history_checks(item_ids, timestamps, lengths, rows)
        item_ids, timestamps, lengths, candidates, *more = _after(
            checks, item_ids, timestamps, lengths, candidates, *context
        )
        history = self._encode(item_ids), timestamps, lengths
        said = self._named(more)
        return {"scores": self._inference.score(*history, self._encode(candidates), **said)}

    def _named(self, context) -> dict[str, tf.Tensor]:
        return dict(zip(self._inference.context, context, strict=True))

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


def _after(checks: list[tf.Operation], *values: tf.Tensor) -> list[tf.Tensor]:
    """Returns the values, which nothing reads before the checks: it would fail in its own words."""
    with tf.control_dependencies(checks):
        return [tf.identity(value) for value in values]


def _history_checks(item_ids, timestamps, lengths, rows) -> list[tf.Operation]:
    context = {name: rows[name] for name in ("at", FEEDBACK, USER_FEATURES) if name in rows}
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
        *_context_checks(item_ids, timestamps, lengths, context),
    ]


def _context_checks(item_ids, timestamps, lengths, context) -> list[tf.Operation]:
    """Checks of what is asked beside the events (batch, time); of one each if `lengths` is None."""
    checks = _same_batch(item_ids, context)
    with tf.control_dependencies(checks):
        context = {name: tf.identity(values) for name, values in context.items()}
    if "at" in context:
        last = timestamps[:, -1:] if lengths is None else _last(timestamps, lengths)
        goes_back = tf.reduce_any(context["at"][:, None] < last, axis=1)
        checks.append(
            _require(
                ~tf.reduce_any(goes_back),
                "`at` must not lie before the last event: it is the time of asking. Rows:",
                [tf.where(goes_back)[:, 0]],
            )
        )
        checks.append(_require_seconds(context["at"][:, None]))
    if FEEDBACK in context and lengths is not None:
        checks.append(
            _require(
                tf.reduce_all(tf.shape(context[FEEDBACK])[:2] == tf.shape(item_ids)),
                "`feedback` must have the shape of `item_ids` and one axis more. Shapes of both:",
                [tf.shape(context[FEEDBACK]), tf.shape(item_ids)],
            )
        )
    for name in (FEEDBACK, USER_FEATURES):
        if name in context:
            is_finite = tf.reduce_all(tf.math.is_finite(context[name]))
            message = f"`{name}` must be finite: encode what is missing by the schema. Shape:"
            checks.append(_require(is_finite, message, [tf.shape(context[name])]))
    return checks


def _last(timestamps, lengths) -> tf.Tensor:
    """The last real time of each row (batch, 1); the earliest there is of an empty row."""
    is_real = tf.range(tf.shape(timestamps)[1]) < lengths[:, None]
    earliest = tf.constant(-LATEST_SECONDS, tf.int64)
    return tf.reduce_max(tf.where(is_real, timestamps, earliest), axis=1, keepdims=True)


def _state_checks(item_ids, timestamps, state, state_info, model_number) -> list[tf.Operation]:
    rows = {"timestamps": timestamps, "state": state, "state_info": state_info}
    shapes = _same_batch(item_ids, rows)
    with tf.control_dependencies(shapes):
        state_info = tf.identity(state_info)
    # Of models that are told of gaps more follows, see `hrec_tf.pending_reader`.
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
