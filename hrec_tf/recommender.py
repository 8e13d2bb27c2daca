"""A model and all it needs to answer an application: raw ids in, raw ids out."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import tensorflow as tf

from hrec_tf import checks, recommender_files, runs
from hrec_tf.asked import Asked, context_inputs
from hrec_tf.data.features import FeatureSchema, rows_by_id
from hrec_tf.data.histories import Histories
from hrec_tf.data.log_features import FeatureSchemas, encode_rows
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.inference import UNFILLED, Inference
from hrec_tf.models.explanation import ExplainedHistory, require_explains
from hrec_tf.schema import FEEDBACK, ITEM, USER_FEATURES, Recommendation
from hrec_tf.user_history import (
    UserHistory,
    check_time,
    last_session,
    read_history,
    session_numbers,
)


class Recommender:
    """Recommends items to users of whom nothing is needed but their events.

    Sessions are cut by idle time. An unknown item is no event for the model, and a user
    without a known event gets the most frequent items of the training log, or of the hour if the
    model has a popularity of it.

    Args:
        model: a trained `NextItemModel`.
        vocabulary: of the log that it was trained on.
        idle_minutes: idle time that ends a session; None if a whole history is one.
        descriptions: raw id -> text, for those who read lists; may lack items.
        schemas: of the features that the model reads; without them feedback and user features
            are passed as encoded numbers.

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
        schemas: FeatureSchemas | None = None,
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
        self.schemas = schemas or FeatureSchemas()
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
            schemas = recommender_files.read_schemas(path)
        else:
            run = runs.load(path)
            model, vocabulary, schemas = run.model(), run.vocabulary, run.schemas
            saved_minutes, descriptions = run.log.idle_minutes, run.log.descriptions()
        if idle_minutes == "as saved":
            idle_minutes = saved_minutes
        return cls(
            model,
            vocabulary,
            idle_minutes=idle_minutes,
            descriptions=descriptions,
            schemas=schemas,
        )

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
            schemas=self.schemas,
        )

    def recommend(
        self,
        history: Iterable[Any] = (),
        *,
        k: int = 10,
        exclude_seen: bool = True,
        candidates: Sequence[Any] | None = None,
        deny: Sequence[Any] = (),
        at: int | None = None,
        feedback: Any = None,
        user_features: Any = None,
    ) -> list[Recommendation]:
        """Returns the k best items for one user, best first.

        Args:
            history: `[(raw id, Unix seconds), ...]`, oldest first, or raw ids alone, which
                count as one session. May be empty.
            k: length of the list. It is shorter where no candidates are left.
            exclude_seen: leave out the items of the history.
            candidates: raw ids to choose among; unknown ones are left out. All items if None. (A
                served model, which can list no more than these, calls them `allow`.)
            deny: raw ids to leave out, of candidates too.
            at: Unix seconds, the time of asking, for a model that is told how long ago the last
                event was, or knows what is taken of late; the time of the last event if None.
            feedback: of each event, for a model that reads it: mappings such as
                `{"rating": 4.0}`, or encoded numbers (events, width).
            user_features: likewise, one mapping or numbers (width,).

        Raises:
            ValueError, TypeError: `k` outside 1..num_items, times that go back, ids of
                another type than the vocabulary's, something that the model does not read, ...
        """
        self._check_k(k)
        events, asked = read_history(history), self._asked(at, feedback, user_features)
        denied = self._encode(deny, "deny")
        if candidates is None:
            return self._lists([events], ["history"], [asked], k, exclude_seen, denied)[0]
        item_ids = np.unique(self._encode(candidates, "candidates"))
        item_ids = np.setdiff1d(item_ids[item_ids > 0], denied)
        if exclude_seen:
            item_ids = np.setdiff1d(item_ids, self._encode(events.raw_ids, "history"))
        if not len(item_ids):
            return []
        *padded, context = self._padded([events], ["history"], [asked])
        scores = self._score(*padded, tf.constant(item_ids[None], tf.int32), *context)
        scores = scores.numpy()[0]
        best = np.argsort(-scores, kind="stable")[:k]
        return self._named(item_ids[best], scores[best])

    def recommend_batch(
        self,
        histories: Iterable[Iterable[Any]],
        *,
        k: int = 10,
        exclude_seen: bool = True,
        at: Sequence[int | None] | None = None,
        feedback: Sequence[Any] | None = None,
        user_features: Sequence[Any] | None = None,
    ) -> list[list[Recommendation]]:
        """Returns the k best items for each of several users; see `recommend`.

        Args:
            histories: of the users.
            k, exclude_seen: as in `recommend`, for all.
            at, feedback, user_features: as in `recommend`, one for each user.
        """
        self._check_k(k)
        histories = list(histories)
        said = {"at": at, "feedback": feedback, "user_features": user_features}
        for name, values in said.items():
            if values is not None and len(values) != len(histories):
                raise ValueError(
                    f"`{name}` has {len(values)} values, but there are {len(histories)} "
                    "histories. Pass one for each."
                )
        names = [f"histories[{row}]" for row in range(len(histories))]
        events = [read_history(h, name=name) for h, name in zip(histories, names, strict=True)]
        asked = [
            self._asked(*(None if values is None else values[row] for values in said.values()))
            for row in range(len(histories))
        ]
        lists: list[list[Recommendation]] = [[] for _ in events]
        for rows in rows_of_like_lengths([len(history.raw_ids) for history in events]):
            found = self._lists(
                [events[row] for row in rows],
                [names[row] for row in rows],
                [asked[row] for row in rows],
                k,
                exclude_seen,
            )
            for row, best in zip(rows, found, strict=True):
                lists[row] = best
        return lists

    def with_items(self, table: Any, *, descriptions: Mapping[Any, str] | None = None) -> Self:
        """Returns a recommender with items that training did not have, without training again.

        They are scored by their features alone; scores of the other items stay as they are.

        Args:
            table: a frame or mapping with the column `item` and the columns of the items'
                schema; a value that is not known may be null.
            descriptions: raw id -> text, of the new items.

        Raises:
            ValueError: a model without item features, an item that is known already or twice in
                the table, or columns that do not fit the schema.
        """
        schema = self.schemas.items
        if schema is None or not getattr(self.model, "num_item_features", 0):
            raise ValueError(
                f"Items were to be added to a {type(self.model).__name__} that reads no item "
                "features, so nothing could be said of them. Train an hrnn-meta on a log with "
                "an item table."
            )
        rows = rows_by_id(table, ITEM)
        vocabulary = self.vocabulary.with_items(rows[ITEM])
        model = self.model.with_items(schema.encode(rows.drop(ITEM)))
        return type(self)(
            model,
            vocabulary,
            idle_minutes=self.idle_minutes,
            descriptions={**self.descriptions, **(descriptions or {})},
            schemas=self.schemas,
        )

    def count_on(self, events: Iterable[tuple[Any, int]]) -> int:
        """Counts later events, of whatever users, in a model with a popularity of the hour.

        Nothing is trained: lists follow what is taken now. Events up to the last one that was
        counted, and those of unknown items, are passed over. States that were kept of users are
        of the model as it was.

        Args:
            events: (raw id, Unix seconds), in any order.

        Returns:
            How many events were counted.

        Raises:
            ValueError: a model that counts no popularity, no event, one that is no pair or of
                tomorrow, or ids of another type than the vocabulary's.
            TypeError: likewise.
        """
        if not self.model.counts_on:
            raise ValueError(
                f"`count_on` was called with a {type(self.model).__name__} that counts no "
                "popularity of the hour. Train an hrnn with e.g. popular=100."
            )
        pairs = [_pair(row, event) for row, event in enumerate(events)]
        if not pairs:
            raise ValueError("`events` is empty. Pass (raw id, Unix seconds) of what came since.")
        item_ids = self._encode([raw_id for raw_id, _ in pairs], "events")
        times = np.array([seconds for _, seconds in pairs], np.int64)
        latest, tomorrow = int(times.argmax()), int(time.time()) + 24 * 3_600
        if times[latest] > tomorrow:
            raise ValueError(
                f"`events` has the time {times[latest]} at row {latest}, which is more than a day "
                "from now: what came before it would never be counted again. Pass Unix seconds, "
                "not e.g. milliseconds."
            )
        known = item_ids > 0
        if not known.any():
            return 0
        order = np.argsort(times[known], kind="stable")
        taken = [[item_ids[known][order].tolist()]]
        histories = Histories.from_lists(taken, num_items=self.vocabulary.num_items)
        found = self.model.count_on(replace(histories, timestamps=times[known][order]))
        # Another model, as states tell models apart.
        self.inference = Inference(
            self.model, self.vocabulary.supports, idle_minutes=self.idle_minutes
        )
        return found

    def explain(self, history: Iterable[Any]) -> ExplainedHistory:
        """Returns what the model does inside when it reads the last session of a history.

        A model that reads its users' whole histories explains all of it.

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
        sessions = session_numbers(events.timestamps, self.idle_minutes)
        begin, where = 0, ""
        if not self.model.explains_with_flags:
            begin = last_session(events.timestamps, self.idle_minutes)
            where = " in its last session"
        kept = begin + np.flatnonzero(item_ids[begin:])
        if not len(kept):
            raise ValueError(
                f"`history` has {len(item_ids) - begin} events{where}, none of an item that "
                "the model knows, but it explains what it reads. Pass at least one "
                "item of its vocabulary."
            )
        return ExplainedHistory.of(
            self.model,
            item_ids[kept],
            raw_ids=[events.raw_ids[place] for place in kept],
            timestamps=events.timestamps[kept],
            session_start=np.diff(sessions[kept], prepend=-1) > 0,
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

    def _asked(self, at: int | None, feedback: Any, user_features: Any) -> Asked:
        """What is said of a user, mappings encoded by the schemas."""
        if feedback is not None and len(feedback) and isinstance(feedback[0], Mapping):
            feedback = encode_rows(self._schema("feedback"), list(feedback))
        if isinstance(user_features, Mapping):
            user_features = encode_rows(self._schema("users"), [user_features])[0]
        widths = self.inference.context
        if user_features is None and USER_FEATURES in widths and self.schemas.users is not None:
            user_features = self.schemas.users.missing
        return Asked(at, feedback, user_features)

    def _schema(self, part: str) -> FeatureSchema:
        schema = getattr(self.schemas, part)
        if schema is None:
            raise ValueError(
                f"Values of {part} were passed by name, but this recommender has no schema of "
                f"them. Pass `schemas` to it, or encoded numbers."
            )
        return schema

    def _lists(
        self,
        events: list[UserHistory],
        names: list[str],
        asked: list[Asked],
        k: int,
        exclude_seen: bool,
        denied: np.ndarray | None = None,
    ) -> list[list[Recommendation]]:
        """Lists for several users, all without the items that are denied."""
        exclude = tf.fill((len(events),), bool(exclude_seen))
        denied = np.zeros(0, np.int32) if denied is None else denied
        *padded, context = self._padded(events, names, asked)
        deny = tf.constant(np.tile(denied, (len(events), 1)), tf.int32)
        answer = self._recommend(*padded, exclude, deny, tf.constant(k), *context)
        rows = zip(answer.item_ids.numpy(), answer.scores.numpy(), strict=True)
        return [self._named(item_ids, scores) for item_ids, scores in rows]

    def _padded(
        self, events: list[UserHistory], names: list[str], asked: list[Asked]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Returns item ids, timestamps (users, longest), lengths (users,), and the context."""
        lengths = np.array([len(history.raw_ids) for history in events], np.int32)
        item_ids = np.zeros((len(events), lengths.max()), np.int32)
        timestamps = np.zeros(item_ids.shape, np.int64)
        for row, (history, name) in enumerate(zip(events, names, strict=True)):
            item_ids[row, : lengths[row]] = self._encode(history.raw_ids, name)
            timestamps[row, : lengths[row]] = history.timestamps
        widths = self.inference.context
        missing = [self._with_missing(*one) for one in zip(asked, lengths, strict=True)]
        said = context_inputs(missing, events, names, widths, columns=item_ids.shape[1])
        context = [tf.constant(said[name]) for name in widths]
        return tf.constant(item_ids), tf.constant(timestamps), tf.constant(lengths), context

    def _with_missing(self, asked: Asked, length: int) -> Asked:
        """Of events without feedback it is missing, if a schema says what that is."""
        schema = self.schemas.feedback
        if asked.feedback is not None or schema is None or FEEDBACK not in self.inference.context:
            return asked
        return asked._replace(feedback=np.tile(schema.missing, (length, 1)))

    def _named(self, item_ids: np.ndarray, scores: np.ndarray) -> list[Recommendation]:
        is_filled = scores > UNFILLED
        raw_ids = self.vocabulary.decode(item_ids[is_filled]).tolist()
        return [
            Recommendation(raw_id, score)
            for raw_id, score in zip(raw_ids, scores[is_filled].tolist(), strict=True)
        ]

    @cached_property
    def _recommend(self) -> Any:
        spec = tf.TensorSpec
        inputs = [*_HISTORY, spec((None,), tf.bool), spec((None, None), tf.int32)]
        inputs.append(spec((), tf.int32))

        def recommend(item_ids, timestamps, lengths, exclude_seen, deny, k, *context):
            said = dict(zip(self.inference.context, context, strict=True))
            history = item_ids, timestamps, lengths
            return self.inference.recommend(*history, exclude_seen, deny=deny, k=k, **said)

        inputs += self.inference.context_specs()
        return tf.function(recommend, autograph=False, input_signature=inputs)

    @cached_property
    def _score(self) -> Any:
        def score(item_ids, timestamps, lengths, candidates, *context):
            said = dict(zip(self.inference.context, context, strict=True))
            return self.inference.score(item_ids, timestamps, lengths, candidates, **said)

        inputs = [*_HISTORY, tf.TensorSpec((None, None), tf.int32)]
        inputs += self.inference.context_specs()
        return tf.function(score, autograph=False, input_signature=inputs)


_HISTORY = (
    tf.TensorSpec((None, None), tf.int32),
    tf.TensorSpec((None, None), tf.int64),
    tf.TensorSpec((None,), tf.int32),
)


SHORT = 32
"""Events of a history that is not worth a question of its own."""


def rows_of_like_lengths(lengths: Sequence[int]) -> list[list[int]]:
    """Returns rows in groups, the long ones first.

    None is below a quarter of its group's longest, but where both are short.
    A history is padded to the longest that is read with it, so that a single one of thousands of
    events would take as much time as a group of them.
    """
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if groups and 4 * max(lengths[row], SHORT) >= lengths[groups[-1][0]]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _pair(row: int, event: Any) -> tuple[Any, int]:
    """An event as (raw id, Unix seconds)."""
    if not isinstance(event, tuple | list) or len(event) != 2:
        raise TypeError(
            f"`events` has {event!r} at row {row}, but each must be a pair. Pass (raw id, Unix "
            "seconds)."
        )
    check_time(event[1], "events", f"row {row}")
    return event[0], int(event[1])
