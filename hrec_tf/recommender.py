"""A model and all it needs to answer an application: raw ids in, raw ids out."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import tensorflow as tf

from hrec_tf import checks, recommender_files, runs
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.inference import UNFILLED, Inference
from hrec_tf.models.explanation import ExplainedHistory, require_explains
from hrec_tf.schema import Recommendation
from hrec_tf.user_history import UserHistory, last_session, read_history


class Recommender:
    """Recommends items to users of whom nothing is needed but their events.

    Sessions are cut by idle time. An unknown item is no event for the model, and a user
    without a known event gets the most frequent items of the training log.

    Args:
        model: a trained `NextItemModel`.
        vocabulary: of the log that it was trained on.
        idle_minutes: idle time that ends a session; None if a whole history is one.
        descriptions: raw id -> text, for those who read lists; may lack items.

    Raises:
        ValueError: a vocabulary of another size than the model's, or weights that are not
            finite.

    Example:
        >>> from hrec_tf.models import HRNN
        >>> model = HRNN(num_items=3, session_units=4, user_units=4, seed=0)
        >>> recommender = Recommender(model, Vocabulary(["tea", "jam", "rum"]))
        >>> sorted(item for item, _ in recommender.recommend([("tea", 1_700_000_000)], k=2))
        ['jam', 'rum']
    """

    def __init__(
        self,
        model: Any,
        vocabulary: Vocabulary,
        *,
        idle_minutes: float | None = 30.0,
        descriptions: Mapping[Any, str] | None = None,
    ):
        if model.num_items != vocabulary.num_items:
            raise ValueError(
                f"`vocabulary` has {vocabulary.num_items} items, but the model knows "
                f"{model.num_items}. Pass the vocabulary that it was trained with."
            )
        for weight in model.weights:
            if not np.all(np.isfinite(weight.numpy())):
                raise ValueError(
                    f"`model` has the weight {weight.path!r} with NaN or infinity in it, so its "
                    "scores have no order. Train again with a lower learning rate."
                )
        self.model, self.vocabulary = model, vocabulary
        # NumPy's numbers as Python's own, which a file can hold.
        plain = (
            (getattr(raw_id, "item", lambda raw_id=raw_id: raw_id)(), text)
            for raw_id, text in (descriptions or {}).items()
        )
        self.descriptions = dict(plain)
        self.inference = Inference(model, vocabulary.supports, idle_minutes=idle_minutes)

    @property
    def idle_minutes(self) -> float | None:
        return self.inference.idle_minutes

    @classmethod
    def load(
        cls, path: str | Path, *, idle_minutes: float | Literal["as saved"] | None = "as saved"
    ) -> Self:
        """Reads a run folder that `hrec train` wrote, or a folder that `save` wrote.

        Args:
            path: the folder.
            idle_minutes: as for the constructor; "as saved" is that of `save`, or of the run's
                log, see `LogSource.idle_minutes`.

        Raises:
            FileNotFoundError: it is not there, or not whole.
            ValueError: it was changed, or its model is counted and has no weights.
        """
        if (Path(path) / recommender_files.SETTINGS).is_file():
            model, vocabulary, saved_minutes, descriptions = recommender_files.read(path)
        else:
            run = runs.load(path)
            model, vocabulary = run.model(), run.vocabulary
            saved_minutes, descriptions = run.log.idle_minutes, run.log.descriptions()
        if idle_minutes == "as saved":
            idle_minutes = saved_minutes
        return cls(model, vocabulary, idle_minutes=idle_minutes, descriptions=descriptions)

    def save(self, path: str | Path) -> Path:
        """Writes a folder that `load` reads back, whole or not at all.

        Raises:
            ValueError: the folder exists, or the model's class is none of hrec_tf.
            OSError: it cannot be written.
        """
        return recommender_files.write(
            path,
            self.model,
            self.vocabulary,
            idle_minutes=self.idle_minutes,
            descriptions=self.descriptions,
        )

    def recommend(
        self,
        history: Iterable[Any] = (),
        *,
        k: int = 10,
        exclude_seen: bool = True,
        candidates: Sequence[Any] | None = None,
    ) -> list[Recommendation]:
        """Returns the k best items for one user, best first.

        Args:
            history: `[(raw id, Unix seconds), ...]`, oldest first, or raw ids alone, which
                count as one session. May be empty.
            k: length of the list. It is shorter where no candidates are left.
            exclude_seen: leave out the items of the history.
            candidates: raw ids to choose among; unknown ones are left out. All items if None.

        Raises:
            ValueError, TypeError: `k` outside 1..num_items, times that go back, ids of
                another type than the vocabulary's, ...
        """
        self._check_k(k)
        events = read_history(history)
        if candidates is None:
            return self._lists([events], ["history"], k, exclude_seen)[0]
        item_ids = np.unique(self._encode(candidates, "candidates"))
        item_ids = item_ids[item_ids > 0]
        if exclude_seen:
            item_ids = np.setdiff1d(item_ids, self._encode(events.raw_ids, "history"))
        if not len(item_ids):
            return []
        padded = self._padded([events], ["history"])
        scores = self._score(*padded, tf.constant(item_ids[None], tf.int32))
        scores = scores.numpy()[0]
        best = np.argsort(-scores, kind="stable")[:k]
        return self._named(item_ids[best], scores[best])

    def recommend_batch(
        self, histories: Iterable[Iterable[Any]], *, k: int = 10, exclude_seen: bool = True
    ) -> list[list[Recommendation]]:
        """Returns the k best items for each of several users; see `recommend`."""
        self._check_k(k)
        histories = list(histories)
        names = [f"histories[{row}]" for row in range(len(histories))]
        events = [read_history(h, name=name) for h, name in zip(histories, names, strict=True)]
        return self._lists(events, names, k, exclude_seen) if events else []

    def explain(self, history: Iterable[Any]) -> ExplainedHistory:
        """Returns what the model does inside when it reads the last session of a history.

        Unknown items are passed over, as they are for a recommendation.

        Args:
            history: as for `recommend`.

        Raises:
            ValueError: a model without `explain`, no known item in the last session, or what
                `recommend` refuses.
            TypeError: likewise.
        """
        require_explains(self.model)
        events = read_history(history)
        item_ids = self._encode(events.raw_ids, "history")
        begin = last_session(events.timestamps, self.idle_minutes)
        kept = begin + np.flatnonzero(item_ids[begin:])
        if not len(kept):
            raise ValueError(
                f"`history` has {len(item_ids) - begin} events in its last session, none of an "
                "item that the model knows, but it explains what it reads. Pass at least one "
                "item of its vocabulary."
            )
        return ExplainedHistory.of(
            self.model,
            item_ids[kept],
            raw_ids=[events.raw_ids[place] for place in kept],
            timestamps=events.timestamps[kept],
        )

    def describe(self, raw_id: Any) -> str:
        """Returns what is known of an item, or nothing."""
        return self.descriptions.get(raw_id, "")

    def _check_k(self, k: int) -> None:
        checks.require_positive_int("k", k, mend="Pass the length of the list, e.g. 10.")
        if k > self.vocabulary.num_items:
            raise ValueError(
                f"`k` was {k}, but the catalogue has {self.vocabulary.num_items} items. Pass a "
                "smaller number."
            )

    def _encode(self, raw_ids: Sequence[Any], name: str) -> np.ndarray:
        try:
            return self.vocabulary.encode(raw_ids)
        except (TypeError, ValueError) as error:
            raise type(error)(f"In `{name}`: {error}") from error

    def _lists(
        self, events: list[UserHistory], names: list[str], k: int, exclude_seen: bool
    ) -> list[list[Recommendation]]:
        exclude = tf.fill((len(events),), bool(exclude_seen))
        answer = self._recommend(*self._padded(events, names), exclude, tf.constant(k))
        rows = zip(answer.item_ids.numpy(), answer.scores.numpy(), strict=True)
        return [self._named(item_ids, scores) for item_ids, scores in rows]

    def _padded(self, events: list[UserHistory], names: list[str]) -> tuple[tf.Tensor, ...]:
        """Returns item ids, timestamps (users, longest) and lengths (users,)."""
        lengths = np.array([len(history.raw_ids) for history in events], np.int32)
        item_ids = np.zeros((len(events), lengths.max()), np.int32)
        timestamps = np.zeros(item_ids.shape, np.int64)
        for row, (history, name) in enumerate(zip(events, names, strict=True)):
            item_ids[row, : lengths[row]] = self._encode(history.raw_ids, name)
            timestamps[row, : lengths[row]] = history.timestamps
        return tf.constant(item_ids), tf.constant(timestamps), tf.constant(lengths)

    def _named(self, item_ids: np.ndarray, scores: np.ndarray) -> list[Recommendation]:
        is_filled = scores > UNFILLED
        raw_ids = self.vocabulary.decode(item_ids[is_filled]).tolist()
        return [
            Recommendation(raw_id, score)
            for raw_id, score in zip(raw_ids, scores[is_filled].tolist(), strict=True)
        ]

    @cached_property
    def _recommend(self) -> Any:
        inputs = [*_HISTORY, tf.TensorSpec((None,), tf.bool), tf.TensorSpec((), tf.int32)]

        def recommend(item_ids, timestamps, lengths, exclude_seen, k):
            return self.inference.recommend(item_ids, timestamps, lengths, exclude_seen, k=k)

        return tf.function(recommend, autograph=False, input_signature=inputs)

    @cached_property
    def _score(self) -> Any:
        inputs = [*_HISTORY, tf.TensorSpec((None, None), tf.int32)]
        return tf.function(self.inference.score, autograph=False, input_signature=inputs)


_HISTORY = (
    tf.TensorSpec((None, None), tf.int32),
    tf.TensorSpec((None, None), tf.int64),
    tf.TensorSpec((None,), tf.int32),
)
