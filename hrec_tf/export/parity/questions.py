"""Trials as an application asks them: raw ids, padded batches, single events."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export.parity.trials import Trial
from hrec_tf.inference import UNFILLED
from hrec_tf.schema import FEEDBACK, PADDING_ID, USER_FEATURES

NUM_CANDIDATES = 50


class Questions:
    """The same histories in the shapes that signatures take.

    Args:
        vocabulary: gives known items their raw ids.
        trials: the histories.
        seed: of the candidates.
        context: what questions hold beside events, see `Inference.context`.

    Attributes:
        raw_ids: of each trial's events; unknown items have ids near to known ones.
        lengths: int32 (trials,).
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        trials: Sequence[Trial],
        *,
        seed: int,
        context: Mapping[str, int | None] = MappingProxyType({}),
    ):
        self.vocabulary, self.trials, self._seed = vocabulary, trials, seed
        self._context = context
        self._strange = unknown_ids(vocabulary)
        self.raw_ids = [
            self._named(trial.item_ids, unknown=row) for row, trial in enumerate(trials)
        ]
        self.lengths = np.array([len(trial.item_ids) for trial in trials], np.int32)

    def padded(self, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the first `lengths` (trials,) events; padding holds what must be ignored."""
        width = int(lengths.max())
        filler = self.vocabulary.raw_ids[0]
        item_ids, timestamps, feedback = [], [], []
        for raw_ids, trial, length in zip(self.raw_ids, self.trials, lengths, strict=True):
            rest = width - length
            if trial.feedback is not None:
                more = [[0, rest], [0, 0]]
                feedback.append(np.pad(trial.feedback[:length], more, constant_values=-7))
            item_ids.append([*raw_ids[:length], *[filler] * rest])
            timestamps.append([*trial.timestamps[:length], *[-7] * rest])
        return {
            "item_ids": np.array(item_ids),
            "timestamps": np.array(timestamps, np.int64),
            "lengths": lengths,
            **self._said(lengths - 1, feedback),
        }

    def events(self, places: np.ndarray) -> dict[str, np.ndarray]:
        """Returns one event of each trial: an unknown one where `places` (trials,) has none."""
        item_ids, timestamps, feedback = [], [], []
        for row, place in enumerate(places):
            trial, raw_ids = self.trials[row], self.raw_ids[row]
            times, is_there = trial.timestamps, 0 <= place < len(trial.timestamps)
            item_ids.append(raw_ids[place] if is_there else self._strange[0])
            timestamps.append(times[place] if is_there else (times or [0])[-1])
            if trial.feedback is not None:
                width = trial.feedback.shape[1]
                feedback.append(trial.feedback[place] if is_there else np.zeros(width))
        event = {"item_ids": np.array(item_ids), "timestamps": np.array(timestamps, np.int64)}
        return event | self._said(places, feedback)

    def _said(self, places: np.ndarray, feedback: list[Any]) -> dict[str, np.ndarray]:
        """What is said beside events up to `places` (trials,), for a model that is told."""
        said: dict[str, np.ndarray] = {}
        if "at" in self._context:
            # In mid-history at the time of the event itself.
            times = [
                trial.timestamps[place] if 0 <= place < len(trial.timestamps) - 1 else trial.at
                for place, trial in zip(places, self.trials, strict=True)
            ]
            said["at"] = np.array(times, np.int64)
        if FEEDBACK in self._context:
            said[FEEDBACK] = np.array(feedback, np.float32)
        if USER_FEATURES in self._context:
            said[USER_FEATURES] = np.array([trial.user_features for trial in self.trials])
        return said

    def candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns item ids and raw ids (trials, candidates), some unknown and some twice."""
        shape = len(self.trials), NUM_CANDIDATES
        item_ids = np.random.default_rng(self._seed).integers(
            0, self.vocabulary.num_items + 1, shape
        )
        item_ids[:, 0], item_ids[:, 1] = PADDING_ID, item_ids[:, 2]
        return item_ids, np.array([self._named(row.tolist()) for row in item_ids])

    def filters(self) -> tuple[dict[str, np.ndarray], list[tuple[set[int] | None, set[int]]]]:
        """Returns the inputs of lists that are allowed and denied, and what they mean.

        In turn all is allowed, an unknown item alone, and some items; padding holds items that
        must be ignored.

        Returns:
            The inputs, and for each trial the item ids that are allowed, None if all are, and
            those that are denied.
        """
        item_ids, raw_ids = self.candidates()
        half, num = NUM_CANDIDATES // 2, len(item_ids)
        given = {"allow": np.resize([0, 1, 6], num), "deny": np.arange(num) % 5}
        inputs = {
            "allow": raw_ids[:, :half],
            "allow_lengths": given["allow"].astype(np.int32),
            "deny": raw_ids[:, half:],
            "deny_lengths": given["deny"].astype(np.int32),
        }
        meant: list[tuple[set[int] | None, set[int]]] = []
        for ids, num_allowed, num_denied in zip(item_ids, *given.values(), strict=True):
            allowed = set(ids[:num_allowed].tolist()) if num_allowed else None
            meant.append((allowed, set(ids[half : half + num_denied].tolist())))
        return inputs, meant

    def numbers(self, raw_ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Returns the item ids of an answer; 0 at places that are not filled."""
        unfilled = "" if self.vocabulary.id_type == "text" else -1
        item_ids = self.vocabulary.encode(raw_ids.ravel().tolist()).reshape(raw_ids.shape)
        # The raw id of an empty place could be that of an item, too.
        return np.where((raw_ids == unfilled) & (scores <= UNFILLED), PADDING_ID, item_ids)

    def _named(self, item_ids: Sequence[int], *, unknown: int = 0) -> list[Any]:
        strange, raw_ids = self._strange, self.vocabulary.raw_ids
        return [
            raw_ids[item_id - 1]
            if item_id != PADDING_ID
            else strange[(unknown + place) % len(strange)]
            for place, item_id in enumerate(item_ids)
        ]


def unknown_ids(vocabulary: Vocabulary) -> list[Any]:
    """Returns raw ids of the vocabulary's type that it does not hold, near ones among them."""
    known = vocabulary.raw_ids.head(3).to_list()
    if vocabulary.id_type == "text":
        strange = ["no such item", "", "-1", "é中 \t,"]
        strange += [f"{raw_id} " for raw_id in known] + [f" {raw_id}" for raw_id in known]
    else:
        strange = [-1, 0, 2**63 - 1, -(2**63)] + [
            raw_id + 1 for raw_id in known if raw_id < 2**63 - 1
        ]
    return [raw_id for raw_id in strange if not vocabulary.encode([raw_id])[0]]
