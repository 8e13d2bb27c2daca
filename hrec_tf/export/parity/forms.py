"""What each form of a recommender answers to the same questions."""

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hrec_tf.export.parity.questions import Questions
from hrec_tf.export.session_process import SessionProcess
from hrec_tf.export.tflite import litert_interpreter, signatures_of
from hrec_tf.inference import UNFILLED, Inference
from hrec_tf.recommender import Recommender
from hrec_tf.schema import FEEDBACK, PADDING_ID, USER_FEATURES


class Answered(NamedTuple):
    """One list, or the scores of candidates.

    Attributes:
        form: who answered.
        row: number of the trial.
        item_ids: int (k,), 0 where a place is not filled; or the candidates.
        scores: float (k,).
        exclude_seen: whether the trial's own items were to be left out.
        is_list: the best items, or else candidates in the order they were given in.
        allowed: item ids that the list may hold; None if all.
        denied: item ids that it must not hold.
        signature: of a SavedModel, that was asked.
    """

    form: str
    row: int
    item_ids: np.ndarray
    scores: np.ndarray
    exclude_seen: bool = False
    is_list: bool = True
    allowed: set[int] | None = None
    denied: Set[int] = frozenset()
    signature: str = ""


class ItemVectors(NamedTuple):
    """What an index would hold of some items: their ids, and (items, width + 1): w and, last, b."""

    item_ids: np.ndarray
    values: np.ndarray


def ask_recommender(recommender: Recommender, questions: Questions) -> Iterator[Answered]:
    """Asks in Python."""
    k = min(20, recommender.vocabulary.num_items)
    histories = [
        list(zip(raw_ids, trial.timestamps, strict=True))
        for raw_ids, trial in zip(questions.raw_ids, questions.trials, strict=True)
    ]
    said = recommender.inference.context
    more = {name: [getattr(trial, name) for trial in questions.trials] for name in said}
    for exclude_seen in (False, True):
        lists = recommender.recommend_batch(histories, k=k, exclude_seen=exclude_seen, **more)
        for row, found in enumerate(lists):
            item_ids, scores = np.zeros(k, np.int64), np.full(k, UNFILLED)
            item_ids[: len(found)] = recommender.vocabulary.encode([item for item, _ in found])
            scores[: len(found)] = [score for _, score in found]
            yield Answered("recommender", row, item_ids, scores, exclude_seen)


class _Call(NamedTuple):
    """A call, who it is told of as, and which places of its batch answer which trial.

    Where lists are filtered, `meant` says of each trial what is allowed and denied.
    """

    form: str
    signature: str
    inputs: dict[str, Any]
    rows: list[tuple[int, int]]
    meant: list[tuple[set[int] | None, set[int]]] | None = None


def ask_saved_model(
    process: SessionProcess,
    folder: Path,
    questions: Questions,
    *,
    signatures: Mapping[str, Any],
    vectors: ItemVectors | None,
) -> Iterator[Answered]:
    """Asks every signature, all in one go.

    Args:
        process: that asks.
        folder: of the version.
        questions: what is asked.
        signatures: what the manifest says of them.
        vectors: of items, for `encode`; None of a model that has none.
    """
    item_ids, _ = questions.candidates()
    calls = [*_replays(questions, signatures), *_filtered(questions), *_scores(questions)]
    if vectors is not None:
        calls += _encodings(questions)
    if "step" in signatures:
        # After what leaves no state: the first step is a new user's.
        calls += _steps(questions)
    outputs = process(folder, [(call.signature, call.inputs) for call in calls])
    for call, output in zip(calls, outputs, strict=True):
        if vectors is not None and call.signature == "encode":
            yield from _products(call, output["vector"], vectors)
            continue
        is_list = call.signature != "score"
        found = questions.numbers(output["item_ids"], output["scores"]) if is_list else item_ids
        exclude_seen = call.inputs.get("exclude_seen", np.zeros(len(found), bool))
        for place, row in call.rows:
            scores, flag = output["scores"][place], bool(exclude_seen[place])
            filters = call.meant[row] if call.meant else (None, frozenset())
            answer = Answered(call.form, row, found[place], scores, flag, is_list, *filters)
            yield answer._replace(signature=call.signature)


def _replays(questions: Questions, signatures: Mapping[str, Any]) -> Iterator[_Call]:
    whole = questions.padded(questions.lengths)
    num = len(questions.trials)
    everyone = list(enumerate(range(num)))
    names = [name for name in signatures if name.startswith(("recommend", "serving_default"))]
    names.remove("recommend_filtered")
    for parity, name in enumerate(names):
        inputs = {**whole, "exclude_seen": np.arange(num) % 2 == parity % 2}
        yield _Call(f"saved_model {name}", name, inputs, everyone)
    for row, length in enumerate(questions.lengths):
        # Without padding; the empty history without any time.
        inputs = {name: values[row : row + 1] for name, values in whole.items()}
        of_events = [name for name in _OF_EVENTS if name in inputs]
        inputs |= {name: inputs[name][:, :length] for name in of_events}
        inputs["exclude_seen"] = np.array([True])
        yield _Call("saved_model recommend", "recommend", inputs, [(0, row)])


def _steps(questions: Questions) -> Iterator[_Call]:
    """Steps go on from the states of the call before, or as new users where it gave none."""
    num, lengths = len(questions.trials), questions.lengths
    for column in range(lengths.max()):
        ended = [(row, row) for row in np.flatnonzero(lengths == column + 1).tolist()]
        event = questions.events(np.full(num, column))
        yield _Call("saved_model step", "step", event, ended)
    # All but the last event at once, and then that one.
    shorter = questions.padded(np.maximum(lengths - 1, 0))
    yield _Call("", "recommend", {**shorter, "exclude_seen": np.zeros(num, bool)}, [])
    rows = [(row, row) for row in np.flatnonzero(lengths).tolist()]
    yield _Call("saved_model recommend, then step", "step", questions.events(lengths - 1), rows)


def _filtered(questions: Questions) -> Iterator[_Call]:
    filters, meant = questions.filters()
    num, name = len(meant), "recommend_filtered"
    inputs = {**questions.padded(questions.lengths), **filters}
    inputs["exclude_seen"] = np.arange(num) % 2 == 0
    yield _Call(f"saved_model {name}", name, inputs, list(enumerate(range(num))), meant)


def _scores(questions: Questions) -> Iterator[_Call]:
    _, raw_ids = questions.candidates()
    inputs = {**questions.padded(questions.lengths), "candidates": raw_ids}
    yield _Call("saved_model score", "score", inputs, list(enumerate(range(len(raw_ids)))))


def _encodings(questions: Questions) -> Iterator[_Call]:
    inputs = questions.padded(questions.lengths)
    # Of users without a known event there are no vectors, but zeros.
    rows = [row for row, trial in enumerate(questions.trials) if any(trial.item_ids)]
    yield _Call("saved_model encode", "encode", inputs, [(row, row) for row in rows])


def _products(call: _Call, hidden: np.ndarray, vectors: ItemVectors) -> Iterator[Answered]:
    """The scores that an index would find."""
    scores = hidden @ vectors.values[:, :-1].T + vectors.values[:, -1]
    for place, row in call.rows:
        yield Answered(call.form, row, vectors.item_ids, scores[place], is_list=False)


_OF_EVENTS = ("item_ids", "timestamps", FEEDBACK)


def ask_tflite(file: Path, questions: Questions, *, inference: Inference) -> Iterator[Answered]:
    """Asks LiteRT's interpreter, user by user.

    Args:
        file: that was exported.
        questions: what is asked.
        inference: of the model, which knows the signatures and the width of a state.
    """
    interpreter = litert_interpreter(file)
    run = {name: interpreter.get_signature_runner(name) for name in signatures_of(inference)}
    for row, trial in enumerate(questions.trials):
        # Of a user without events the file is to be asked by an unknown one.
        history: dict[str, np.ndarray] = {
            "item_ids": np.array([trial.item_ids or [PADDING_ID]], np.int32),
            "timestamps": np.array([trial.timestamps or [0]], np.int64),
        }
        said: dict[str, np.ndarray] = {}
        if "at" in inference.context:
            said["at"] = np.array([trial.at], np.int64)
        if FEEDBACK in inference.context:
            shape = 1, history["item_ids"].shape[1], inference.context[FEEDBACK]
            history[FEEDBACK] = np.resize(trial.feedback, shape).astype(np.float32)
        if USER_FEATURES in inference.context:
            said[USER_FEATURES] = trial.user_features[None]
        for flag in (False, True):
            given = run["recommend"](**history, **said, exclude_seen=np.array([flag]))
            yield _first("tflite recommend", row, given, flag)
        if "step" in run:
            for form, given in _tflite_steps(run, history, said, inference):
                yield _first(form, row, given)


def _tflite_steps(
    run: dict[str, Any],
    history: dict[str, np.ndarray],
    said: dict[str, np.ndarray],
    inference: Inference,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields form and answer after one history (1, events), and what is said beside it."""
    given = {
        "state": np.zeros((1, inference.state_size), np.float32),
        "state_info": np.zeros((1, inference.info_size), np.int64),
    }
    events = history["item_ids"].shape[1]

    def at_event(column: int) -> dict[str, np.ndarray]:
        """What is said until the last event: the time of the event itself."""
        is_last = column == events - 1
        return said if is_last or "at" not in said else said | {"at": event["timestamps"]}

    for column in range(events):
        event = {name: values[:, column] for name, values in history.items()}
        states = {name: given[name] for name in ("state", "state_info")}
        given = run["step"](**event, **states, **at_event(column))
    yield "tflite step", given
    if events > 1:
        shorter = {name: values[:, :-1] for name, values in history.items()}
        given = run["recommend"](**shorter, **said, exclude_seen=np.array([True]))
        states = {name: given[name] for name in ("state", "state_info")}
        yield "tflite recommend, then step", run["step"](**event, **states, **said)


def _first(form: str, row: int, given: dict[str, Any], flag: bool = False) -> Answered:
    return Answered(form, row, given["item_ids"][0], given["scores"][0], flag)
