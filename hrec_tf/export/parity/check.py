"""Compares every form with Keras, which reads events that were laid out by hand.

recommender  `Recommender`
evaluation   `rank_model` on the same histories
saved_model  every signature: lists of each length, within what is allowed, step by step; scores,
             also of an index of the items' vectors; in a Session of a process that has neither
             Keras nor hrec_tf
tflite       recommend, and step by step, in LiteRT's interpreter

Nobody is asked for a step of a model that has none.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from hrec_tf import inner_products, manifest
from hrec_tf.evaluation import rank_model
from hrec_tf.export import saved_model as saved_models
from hrec_tf.export import signature_notes
from hrec_tf.export.parity import forms, trials
from hrec_tf.export.parity.forms import Answered, ItemVectors
from hrec_tf.export.parity.questions import Questions
from hrec_tf.export.session_process import SessionProcess
from hrec_tf.export.tflite import check_tflite
from hrec_tf.inference import UNFILLED
from hrec_tf.recommender import Recommender
from hrec_tf.schema import ALIGNED, PADDING_ID

TOLERANCES = {"float32": 1e-5, "float16": 5e-3, "int8": 5e-2, "bfloat16": 2e-2}
"""Greatest allowed difference of scores by `quantize`, or by `tables` of a SavedModel, as a share
of the largest score of the history; of 1 where that is less and numbers were shortened, which small
ones bear worst."""
_LOWEST = {
    "float32": UNFILLED,
    "float16": float(np.finfo(np.float16).min),
    "int8": UNFILLED,
    "bfloat16": UNFILLED,
}
"""Score of places that are not filled, by `quantize`: it is a constant of the graph too."""
_MAX_VECTORS = 4096
"""Items that the hidden states of `encode` are multiplied with."""


class ParityError(ValueError):
    """A form answers something else than the model that it was made of."""


@dataclass(frozen=True)
class Parity:
    """What `check_parity` found.

    Attributes:
        differences: form -> greatest difference of a score, see `TOLERANCES`; for "evaluation"
            of a rank, beyond items whose scores differ by less than the tolerance.
        num_histories: histories tried.
        agreements: form -> share of its lists' items that the lists of Keras hold, too.
    """

    differences: dict[str, float]
    num_histories: int
    agreements: dict[str, float] = field(default_factory=dict)


def check_parity(
    recommender: Recommender,
    *,
    saved_model: str | Path | None = None,
    tflite: str | Path | None = None,
    seed: int = 0,
    num_random: int = trials.NUM_RANDOM,
    process: SessionProcess | None = None,
) -> Parity:
    """Asks every form the same, and raises where one departs from Keras.

    Args:
        recommender: what was exported.
        saved_model: folder of a version that `export_saved_model` wrote.
        tflite: file that `export_tflite` wrote.
        seed: of the histories.
        num_random: random histories beside those of every kind of edge.
        process: what asks the SavedModel; one of its own if None.

    Raises:
        ParityError: a form departs.
        ValueError, FileNotFoundError: files that are missing, were changed or are of another
            model.
        ImportError: `tflite` needs LiteRT, which is not installed.
        RuntimeError: the SavedModel does not run in a Session.
    """
    tried = trials.make_trials(
        recommender.vocabulary.num_items,
        recommender.idle_minutes,
        seed=seed,
        num_random=num_random,
        begin=trials.begin_of(recommender.model),
        context=recommender.inference.context,
    )
    context = recommender.inference.context
    questions = Questions(recommender.vocabulary, tried, seed=seed, context=context)
    comparison = _Comparison(recommender, tried)
    for answered in forms.ask_recommender(recommender, questions):
        comparison.add(answered)
    comparison.add_evaluation()
    inference = recommender.inference
    if saved_model is not None:
        about = manifest.check(saved_model, kind=saved_models.KIND)
        _require_same_model("saved_model", about, recommender)
        # A process that was given stays open for others.
        with SessionProcess() if process is None else nullcontext(process) as asking:
            answers = forms.ask_saved_model(
                asking,
                Path(saved_model),
                questions,
                signatures=about["signatures"],
                vectors=_item_vectors(recommender),
            )
            for answered in answers:
                k = None
                if answered.is_list:
                    k = signature_notes.list_length(about["signatures"][answered.signature])
                comparison.add(answered, k=k, quantize=about["tables"])
    if tflite is not None:
        about = check_tflite(tflite)
        _require_same_model("tflite", about, recommender)
        for answered in forms.ask_tflite(Path(tflite), questions, inference=inference):
            comparison.add(answered, k=about["k"], quantize=about["quantize"])
    return Parity(comparison.differences, len(tried), comparison.agreements())


def _item_vectors(recommender: Recommender) -> ItemVectors | None:
    """Vectors of items over the whole catalogue, if the model has any."""
    model, units = recommender.model, recommender.inference.vector_size
    if not units:
        return None
    item_ids = np.unique(np.linspace(1, model.num_items, _MAX_VECTORS).astype(np.int32))
    return ItemVectors(item_ids, np.asarray(inner_products.vectors_by(model, units)(item_ids)))


class _Comparison:
    """Holds answers against the scores of Keras, and keeps the greatest difference of each form.

    Args:
        recommender: whose model is asked.
        tried: the histories.
    """

    def __init__(self, recommender: Recommender, tried: list[trials.Trial]):
        self._model, self._trials = recommender.model, tried
        self._idle_minutes = recommender.idle_minutes
        self._supports = recommender.vocabulary.supports
        self._scores = trials.keras_scores(self._model, self._supports, tried, self._idle_minutes)
        self.differences: dict[str, float] = {}
        self._listed: dict[str, list[tuple[int, int]]] = {}

    def agreements(self) -> dict[str, float]:
        """Returns, of each form that gave lists, the share of items that Keras lists, too."""
        return {
            form: sum(shared for shared, _ in of) / max(sum(listed for _, listed in of), 1)
            for form, of in self._listed.items()
        }

    def add(self, answered: Answered, *, k: int | None = None, quantize: str = "float32") -> None:
        """Raises unless an answer is that of Keras.

        Args:
            answered: of a form.
            k: length that a list must have.
            quantize: says which tolerance holds.
        """
        form, row, item_ids, scores = answered[:4]
        is_list = answered.is_list
        if is_list and k not in (None, len(scores)):
            self._fail(form, row, f"a list has {len(scores)} places, its manifest says {k}")
        # Column 0 is of item id 0: places that are not filled, and unknown candidates.
        expected = np.concatenate([np.full(1, UNFILLED, np.float32), self._scores[row]])
        scale = _largest(expected[1:])
        if quantize != "float32":
            scale = max(1.0, scale)
        if answered.exclude_seen:
            expected[self._trials[row].item_ids] = UNFILLED
        expected[list(answered.denied)] = UNFILLED
        if answered.allowed is not None:
            is_allowed = np.isin(np.arange(len(expected)), list(answered.allowed))
            expected = np.where(is_allowed, expected, UNFILLED)
        # Items of nearly equal scores may stand in either order, but each has its own score.
        wanted = [expected[item_ids]]
        if is_list:
            wanted.append(np.sort(expected[1:])[::-1][: len(scores)])
            listed = item_ids[item_ids != PADDING_ID]
            if len(set(listed.tolist())) < len(listed):
                self._fail(form, row, f"an item stands twice in {item_ids.tolist()}")
            best = 1 + np.argsort(-expected[1:], kind="stable")[: len(listed)]
            shared = len(np.intersect1d(best, listed))
            self._listed.setdefault(form, []).append((shared, len(listed)))
        for values in wanted:
            is_filled = values > UNFILLED
            if not np.array_equal(scores > _LOWEST[quantize], is_filled):
                self._fail(form, row, f"the list is {item_ids.tolist()} with {scores.tolist()}")
            difference = np.abs(scores - values)[is_filled].max(initial=0.0) / scale
            self._note(form, row, float(difference), TOLERANCES[quantize], "a score")

    def add_evaluation(self) -> None:
        """Raises unless `rank_model` ranks the next items as the scores do."""
        longer = [trials.with_next_item(trial) for trial in self._trials]
        sessions = [trials.sessions_of(trial, self._idle_minutes) for trial in longer]
        # What comes first of all, or where that is asked for of a session, is no point.
        across = self._model.layout == ALIGNED
        rows = [r for r, of in enumerate(sessions) if len(of[-1]) > 1 or (across and len(of) > 1)]
        histories = trials.histories_of(
            [longer[row] for row in rows],
            [sessions[row] for row in rows],
            num_items=self._model.num_items,
        )
        ranks = rank_model(self._model, histories, session_starts=across)
        for row, greater in zip(rows, ranks.greater, strict=True):
            scores = self._scores[row]
            target = scores[self._trials[row].next_item_id - 1]
            noise = TOLERANCES["float32"] * _largest(scores)
            least = np.count_nonzero(scores > target + noise)
            most = np.count_nonzero(scores >= target - noise) - 1
            difference = float(max(least - greater, greater - most, 0))
            self._note("evaluation", row, difference, 0.0, "the rank of the next item")

    def _note(self, form: str, row: int, difference: float, allowed: float, what: str) -> None:
        self.differences[form] = max(self.differences.get(form, 0.0), difference)
        if not difference <= allowed:  # NaN too
            self._fail(
                form,
                row,
                f"{what} differs by {difference:.3g}, and may by {allowed:g}",
                mend=self._unsteady(row),
            )

    def _unsteady(self, row: int) -> str:
        """What to do about a model that answers differently by rounding alone; else nothing."""
        with trials.weights_one_digit_off(self._model):
            moved = trials.keras_scores(
                self._model, self._supports, [self._trials[row]], self._idle_minutes
            )
        move = float(np.abs(moved - self._scores[row]).max()) / _largest(self._scores[row])
        if move <= TOLERANCES["float32"]:
            return ""
        return (
            f"But rounding alone moves these scores by {move:.3g}: as much as if the last digit "
            "of each weight were another. The network keeps and enlarges what it should forget. "
            "Train it longer or with a lower learning rate, and export it then."
        )

    def _fail(self, form: str, row: int, what: str, *, mend: str = "") -> NoReturn:
        trial = self._trials[row]
        mend = mend or (
            "All forms must answer alike. Do not use this export: make it again, and report it as "
            "a bug if it departs again."
        )
        gaps = np.diff(trial.timestamps[:8], prepend=trial.timestamps[:1]).tolist()
        raise ParityError(
            f"{form!r} departs from Keras after history {row} ({len(trial.item_ids)} events; the "
            f"first item ids {trial.item_ids[:8]}, seconds between them {gaps}): {what}. {mend}"
        )


def _largest(scores: np.ndarray) -> float:
    return float(np.abs(scores).max()) or 1.0


def _require_same_model(name: str, about: dict[str, Any], recommender: Recommender) -> None:
    for key, value in saved_models.about_of(recommender, about["k"]).items():
        if about.get(key) != value:
            raise ValueError(
                f"`{name}` was exported with {key} {about.get(key)!r}, but `recommender` has "
                f"{value!r}. Pass the recommender that was exported, or export this one."
            )
