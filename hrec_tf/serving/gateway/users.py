"""Events and lists of users: read from the store, asked of the model, written back.

The list after each event is that of a full replay of the stored history. `step` is how it is
found fast, wherever the state before the event is that of a version the server still has.
"""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import grpc
import numpy as np

from hrec_tf.schema import FEEDBACK, USER_FEATURES, Recommendation
from hrec_tf.serving.batches import encode
from hrec_tf.serving.client import Client, ServingError, State
from hrec_tf.serving.gateway.metrics import Metrics
from hrec_tf.serving.gateway.records import Event, Merged, Record, merge, pack, unpack
from hrec_tf.serving.gateway.steps import Steps
from hrec_tf.serving.gateway.versions import Versions
from hrec_tf.serving.metadata import Metadata
from hrec_tf.serving.requests import RefusedError
from hrec_tf.serving.state_store import Held, StateStore
from hrec_tf.user_history import LATEST_SECONDS

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 50
_LONGEST_WALK = 4
"""More events than these are replayed with the history in one request."""
_REFUSES_STATE = ("NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT")
_Found = TypeVar("_Found")


class Answer(NamedTuple):
    """What a user is told.

    Attributes:
        version: of the model that made the list.
        items: best items, best first; empty where no list was asked for.
        added, repeated, dropped: numbers of events, see `Merged`.
    """

    version: int
    items: tuple[Recommendation, ...]
    added: int = 0
    repeated: int = 0
    dropped: int = 0


class Users:
    """All users of a gateway; may be used by several threads.

    Args:
        store: of their records.
        versions: of the model.
        metrics: that count what happens.
        max_history: events of a user that are kept, at most.
        max_skew: seconds by which an event may lie in the future.
    """

    def __init__(
        self,
        store: StateStore,
        versions: Versions,
        metrics: Metrics,
        *,
        max_history: int,
        max_skew: float,
    ):
        self._store, self._versions, self._metrics = store, versions, metrics
        self._max_history, self._max_skew = max_history, max_skew
        self._key, self._steps = secrets.token_bytes(16), Steps()

    def add(
        self,
        user: str,
        events: tuple[Event, ...],
        k: int | None = None,
        exclude_seen: bool = False,
    ) -> Answer:
        """Adds events of a user, all or none.

        Args:
            user: who.
            events: at least one, in any order.
            k: length of the list that is answered; None for no list.
            exclude_seen: leave the items of the history out of it.

        Raises:
            RefusedError: events that this model does not read, or none could be written.
            ServingError, StoreError: the model or the store is away; nothing was added, unless
                it was the answer of the store that was lost.
        """
        metadata = self._metadata()
        _check_k(k, metadata)
        self._check_events(events, metadata)
        for _ in range(_ATTEMPTS):
            held, record = self._load(user)
            merged = merge(record, events, self._max_history)
            if merged.added or record is None:
                after = self._after(record, merged)
            else:
                after = self._on_served_version(record)
            version, items = self._list(after, k, exclude_seen) if k else (after.version, ())
            if after is record or self._store.put(user, pack(after), held):
                self._metrics.count_events(merged.added, merged.repeated, merged.dropped)
                return Answer(version, items, merged.added, merged.repeated, merged.dropped)
            self._metrics.conflicts.inc()
        raise RefusedError(
            grpc.StatusCode.UNAVAILABLE,
            f"The events could not be added: others changed this user {_ATTEMPTS} times meanwhile. "
            "One gateway at a time can change a user. Send them again.",
        )

    def recommend(self, user: str, k: int | None = None, exclude_seen: bool = False) -> Answer:
        """Returns the list of a user; that of a new one where nothing is kept.

        While the model is away, the list after the last event is still known.

        Raises:
            ValueError: `k` is above that of the model.
            ServingError, StoreError: the model or the store is away.
        """
        held, record = self._load(user)
        if record is None:
            version, items = self._on_newest(lambda client: client.recommend((), k, exclude_seen))
            return Answer(version, tuple(items))
        after = self._on_served_version(record)
        if after is not record and not self._store.put(user, pack(after), held):
            self._metrics.conflicts.inc()  # who changed it meanwhile has written a newer one
        return Answer(*self._list(after, k, exclude_seen))

    def forget(self, user: str) -> bool:
        """Removes all that is kept of a user; returns whether there was anything."""
        return self._store.remove(user)

    def has_whole_numbers(self) -> bool:
        """Returns whether the items of the model are whole numbers, and not text."""
        return self._metadata().id_type == "int64"

    def check(self) -> int:
        """Returns the newest version of the model if the model and the store answer."""
        self._store.ping()
        version, _ = self._versions.newest(ask_again=True)
        self._metadata()
        return version

    def close(self) -> None:
        """Ends the threads. Nothing may be asked any more."""
        self._steps.close()

    def _metadata(self) -> Metadata:
        _, metadata = self._on_newest(lambda client: client.metadata())
        _require_readable(metadata)
        return metadata

    def _load(self, user: str) -> tuple[Held | None, Record | None]:
        held = self._store.get(user)
        if held is None:
            return None, None
        try:
            return held, unpack(held.record)
        except (ValueError, KeyError, TypeError) as error:
            name = hashlib.blake2b(user.encode(), key=self._key, digest_size=8).hexdigest()
            _LOG.warning("The record of user #%s is lost: %s.", name, error)
            self._metrics.unreadable.inc()
            return held, None

    def _after(self, record: Record | None, merged: Merged) -> Record:
        """The record after the events, by steps if that is possible, else by a replay."""
        few = merged.appended is not None and len(merged.appended) <= _LONGEST_WALK
        walked = self._walk(record, merged) if few else None
        return walked or self._replay(merged.events, merged.is_cut)

    def _walk(self, record: Record | None, merged: Merged) -> Record | None:
        """The record after steps of the version that made the state; None if it makes none."""
        if record is None:
            version, client = self._versions.newest()
        elif found := self._versions.client_of(record.version):
            version, client = record.version, found
        else:
            return None
        state, items = record.state if record else None, record.items if record else ()
        try:
            if not client.metadata().state_size or (record and state is None):
                return None
            for event in merged.appended or ():
                best, state = self._steps.step(client, event, state)
                items = tuple(best)
                self._metrics.model_calls.labels("step").inc()
        except ServingError as error:
            if error.code not in _REFUSES_STATE:
                raise
            return None
        except (ValueError, TypeError):
            return None  # the state of another model under this number
        return Record(version, merged.events, merged.is_cut, items, state)

    def _replay(self, events: tuple[Event, ...], is_cut: bool) -> Record:
        history, feedback = _history_of(events)

        def replayed(client: Client) -> tuple[list[Recommendation], State | None]:
            if client.metadata().state_size:
                self._metrics.model_calls.labels("replay").inc()
                return client.replay(history, exclude_seen=False, feedback=feedback)
            self._metrics.model_calls.labels("recommend").inc()
            return client.recommend(history, exclude_seen=False, feedback=feedback), None

        try:
            version, (items, state) = self._on_newest(replayed)
        except (ValueError, TypeError) as error:
            raise RefusedError(
                grpc.StatusCode.UNAVAILABLE,
                f"The model does not read the events that are kept of this user: {error} Serve a "
                "version that reads them, or forget the user.",
            ) from error
        return Record(version, events, is_cut, tuple(items), state)

    def _on_served_version(self, record: Record) -> Record:
        if self._versions.client_of(record.version) is not None:
            return record
        return self._replay(record.events, record.is_cut)

    def _list(
        self, record: Record, k: int | None, exclude_seen: bool
    ) -> tuple[int, tuple[Recommendation, ...]]:
        seen = {event.item for event in record.events} if exclude_seen else set()
        left = tuple(one for one in record.items if one.item not in seen)
        wanted = len(record.items) if k is None else k
        if len(left) >= wanted:
            return record.version, left[:wanted]

        history, feedback = _history_of(record.events)

        def asked_again(client: Client) -> list[Recommendation]:
            self._metrics.model_calls.labels("recommend").inc()
            return client.recommend(history, k, exclude_seen, feedback=feedback)

        client = self._versions.client_of(record.version)
        try:
            if client is not None:
                return record.version, tuple(asked_again(client))
        except ServingError as error:
            if error.code not in _REFUSES_STATE:
                raise
        except ValueError:
            pass  # its lists are shorter than those of the newest
        version, items = self._on_newest(asked_again)
        return version, tuple(items)

    def _on_newest(self, ask: Callable[[Client], _Found]) -> tuple[int, _Found]:
        """Asks the newest version; another one where that has just gone."""
        version, client = self._versions.newest()
        try:
            return version, ask(client)
        except ServingError as error:
            if error.code != "NOT_FOUND":
                raise
        version, client = self._versions.newest(ask_again=True)
        return version, ask(client)

    def _check_events(self, events: tuple[Event, ...], metadata: Metadata) -> None:
        """Raises where the model would not read them, now or when they are replayed."""
        encode([event.item for event in events], metadata.id_type, name="events")
        latest = min(time.time() + self._max_skew, LATEST_SECONDS - 1)
        _, shape = metadata.signatures["recommend"]["inputs"].get(FEEDBACK, ("", (0,)))
        for row, event in enumerate(events):
            if not -LATEST_SECONDS < event.timestamp <= latest:
                raise ValueError(
                    f"`timestamp` was {event.timestamp} (event {row}), but must be Unix seconds at "
                    f"most {self._max_skew:g} s ahead of the gateway's clock. Divide milliseconds "
                    "by 1000, or set the clock."
                )
            if len(event.feedback or ()) != shape[-1]:
                raise ValueError(
                    f"`feedback` has {len(event.feedback or ())} numbers (event {row}), but this "
                    f"model reads {shape[-1]}. Send as many, encoded by the features' schema; "
                    "leave it out where that is 0."
                )


def _history_of(events: tuple[Event, ...]) -> tuple[list[tuple[Any, int]], np.ndarray | None]:
    history = [(event.item, event.timestamp) for event in events]
    has_feedback = any(event.feedback for event in events)
    return history, np.array([event.feedback for event in events]) if has_feedback else None


def _check_k(k: int | None, metadata: Metadata) -> None:
    if k is not None and not 1 <= k <= metadata.k:
        raise ValueError(
            f"`k` was {k}, but the model was exported with lists of {metadata.k}. Ask for "
            f"1..{metadata.k}."
        )


def _require_readable(metadata: Metadata) -> None:
    wanted = metadata.signatures["recommend"]["inputs"].get(USER_FEATURES)
    if wanted is not None and wanted[1][-1]:
        raise RefusedError(
            grpc.StatusCode.UNAVAILABLE,
            f"{metadata.model_name!r} version {metadata.version} reads {wanted[1][-1]} user "
            "features, but a gateway knows events alone. Serve a model without user features.",
        )
