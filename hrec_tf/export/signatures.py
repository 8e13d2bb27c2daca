"""The signatures of an exported SavedModel: raw ids in, raw ids out.

    recommend            item_ids (batch, time), timestamps, lengths, exclude_seen
                                            -> item_ids (batch, k), scores, state, state_info
    recommend_<k>        the same, of longer lists, if several lengths were exported
    recommend_filtered   recommend's, and allow (batch, any), allow_lengths (batch,), deny,
                         deny_lengths       -> the same, of the longest lists
    step                 item_ids (batch,), timestamps, state, state_info
                                            -> the same, of the longest lists
    score                item_ids (batch, time), timestamps, lengths, candidates -> scores
    encode               item_ids (batch, time), timestamps, lengths -> vector (batch, width)

A row lists what stands in the first `allow_lengths` places of `allow`, and everything where that
is 0; what stands in the first `deny_lengths` of `deny` is left out. An unknown id is no item: a
row that allows unknown ids alone lists nothing.

A model that reads a session as a whole has no `step`, and its `recommend` no state among the
outputs. One whose scores are no inner products with vectors of the items has no `encode`. One that
is told the time of asking has the input `at` (batch,) besides, and if it reads them `feedback`
(batch, time, width), in `step` (batch, width), and `user_features` (batch, width), as the features'
schema encodes them. `hrec_tf.inference` says what they mean.

Raw ids are strings, or int64 where the log has whole numbers. The vocabulary is one text file
among the assets; both tables read it. Stock ops only, so that TensorFlow Serving runs them
without Keras and without this library.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from hrec_tf.export.signature_checks import (
    after,
    context_checks,
    history_checks,
    state_checks,
)
from hrec_tf.export.state_seal import opened, sealed
from hrec_tf.inference import Inference
from hrec_tf.schema import PADDING_ID

UNFILLED_ID = {"text": "", "int64": -1}
"""Raw id of a place that no candidate is left for."""

_RAW_IDS = ("item_ids", "candidates", "allow", "deny")
_Question = Callable[..., dict[str, tf.Tensor]]


def list_signatures(ks: Sequence[int]) -> dict[str, int]:
    """Returns name -> length of its lists, of the signatures that differ in nothing else.

    Args:
        ks: rising.
    """
    return {"recommend": ks[0], **{f"recommend_{k}": k for k in ks[1:]}}


class Signatures(tf.Module):
    """What a SavedModel of a recommender holds.

    Args:
        inference: the questions, on numbered items.
        vocabulary_file: written by `Vocabulary.save`; it becomes an asset.
        id_type: `Vocabulary.id_type`.
        ks: lengths of lists, rising.
        xla: compile how histories are read by XLA, see `CompiledReader`.
        tables: "bfloat16" keeps tables with a row for each item in that type; they are widened
            where they are read. "float32" keeps them as they are.
    """

    def __init__(
        self,
        inference: Inference,
        vocabulary_file: Path,
        *,
        id_type: str,
        ks: Sequence[int],
        xla: bool = False,
        tables: str = "float32",
    ):
        super().__init__()
        self._inference = inference.compiled() if xla else inference.traced()
        self._id_type, self._ks = id_type, ks
        # Without these a Session finds no variables: Keras' own are not tracked from here.
        model = inference.model
        is_short = [
            tables == "bfloat16"
            and weight.shape[:1] == (model.num_items + 1,)
            and weight.dtype.startswith("float")
            for weight in model.weights
        ]
        self.weights = [
            tf.Variable(tf.cast(weight.value, tf.bfloat16), trainable=False)
            if short
            else weight.value
            for weight, short in zip(model.weights, is_short, strict=True)
        ]
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
        made = {}
        with self._weights_as_kept():
            for name, (question, inputs) in self._questions().items():
                call = self._answering(question, [spec.name for spec in inputs])
                function = tf.function(call, autograph=False, input_signature=inputs)
                made[name] = function.get_concrete_function()
        return {"serving_default": made["recommend"], **made}

    def _questions(self) -> dict[str, tuple[_Question, list[tf.TensorSpec]]]:
        """Name -> what answers on numbered items, and the inputs."""
        raw_id = tf.string if self._id_type == "text" else tf.int64
        spec, asked = tf.TensorSpec, self._inference
        history = [
            spec((None, None), raw_id, "item_ids"),
            spec((None, None), tf.int64, "timestamps"),
            spec((None,), tf.int32, "lengths"),
        ]
        event = [
            spec((None,), raw_id, "item_ids"),
            spec((None,), tf.int64, "timestamps"),
            spec((None, asked.state_size), tf.float32, "state"),
            spec((None, asked.info_size), tf.int64, "state_info"),
        ]
        filters = [
            spec((None, None), raw_id, "allow"),
            spec((None,), tf.int32, "allow_lengths"),
            spec((None, None), raw_id, "deny"),
            spec((None,), tf.int32, "deny_lengths"),
        ]
        context, longest = asked.context_specs(), self._ks[-1]
        seen = [*history, spec((None,), tf.bool, "exclude_seen")]
        candidates = spec((None, None), raw_id, "candidates")

        def lists(answer, k):
            return lambda **rows: answer(**rows, k=k).outputs()

        made: dict[str, tuple[_Question, list[tf.TensorSpec]]] = {
            name: (lists(asked.recommend, k), [*seen, *context])
            for name, k in list_signatures(self._ks).items()
        }
        filtered = lists(asked.recommend_filtered, longest)
        made["recommend_filtered"] = filtered, [*seen, *filters, *context]
        if "step" in asked.signatures:
            of_event = asked.context_specs(of_event=True)
            made["step"] = lists(asked.step, longest), [*event, *of_event]
        scores = lambda **rows: {"scores": asked.score(**rows)}  # noqa: E731
        made["score"] = scores, [*history, candidates, *context]
        if asked.vector_size:
            vectors = lambda **rows: {"vector": asked.encode(**rows)}  # noqa: E731
            made["encode"] = vectors, [*history, *context]
        return made

    def _answering(self, question: _Question, names: list[str]) -> Callable[..., Any]:
        """The signature: checks, and raw ids in and out, around what is asked of numbers."""

        def signature(*values):
            rows = dict(zip(names, values, strict=True))
            rows = dict(zip(names, after(self._checks(rows), *values), strict=True))
            for name in _RAW_IDS:
                if name in rows:
                    rows[name] = self._encode(rows[name])
            number = self._inference.model_number
            if "state_info" in rows:
                rows["state_info"] = opened(rows["state_info"], number)
            outputs = self._decoded(question(**rows))
            if "state_info" in outputs:
                info = sealed(outputs["state"], outputs["state_info"], number)
                outputs["state_info"] = info
            return outputs

        return signature

    def _checks(self, rows: dict[str, tf.Tensor]) -> list[tf.Operation]:
        item_ids, timestamps = rows["item_ids"], rows["timestamps"]
        others = {n: v for n, v in rows.items() if n not in ("item_ids", "timestamps")}
        if "lengths" in rows:
            return history_checks(item_ids, timestamps, rows["lengths"], others)
        number, context = self._inference.model_number, self._inference.context
        checks = state_checks(item_ids, timestamps, rows["state"], rows["state_info"], number)
        said = {name: rows[name] for name in context}
        return checks + context_checks(item_ids, timestamps[:, None], None, said)

    def _encode(self, raw_ids: tf.Tensor) -> tf.Tensor:
        text = raw_ids if self._id_type == "text" else tf.strings.as_string(raw_ids)
        return tf.cast(self.number_of.lookup(text), tf.int32)

    def _decoded(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        if "item_ids" not in outputs:
            return outputs
        numbers = outputs["item_ids"]
        text = self.raw_id_of.lookup(tf.cast(numbers, tf.int64))
        # Line 0 of the file is its heading, not an id.
        raw_ids = tf.where(numbers != PADDING_ID, text, str(UNFILLED_ID[self._id_type]))
        if self._id_type != "text":
            raw_ids = tf.strings.to_number(raw_ids, tf.int64)
        return {**outputs, "item_ids": raw_ids}

    @contextmanager
    def _weights_as_kept(self) -> Iterator[None]:
        """Lets the model read the weights of this module in the place of its own."""
        with keras.StatelessScope() as scope:
            for own, kept in zip(self._inference.model.weights, self.weights, strict=True):
                # Not by the scope's argument, which would widen a table as a whole.
                scope.add_update((own, kept))
            yield
