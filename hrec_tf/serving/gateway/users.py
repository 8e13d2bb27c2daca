"""Events and lists of users: read from the store, asked of the model, written back.

The list after each event is that of a full replay of the stored history. `step` is how it is
found fast, wherever the state before the event is that of a version the server still has.
"""

import hashlib
import logging
import secrets
import time
from asyncio import Lock, Semaphore
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import grpc
import numpy as np

from hrec_tf.schema import Recommendation
from hrec_tf.serving.answers import State
from hrec_tf.serving.async_client import AsyncClient, ServingError
from hrec_tf.serving.gateway.metrics import Metrics
from hrec_tf.serving.gateway.readable import require_events, require_k, require_readable
from hrec_tf.serving.gateway.records import Event, Merged, Record, merge, pack, unpack
from hrec_tf.serving.gateway.steps import Steps
from hrec_tf.serving.gateway.versions import Versions
from hrec_tf.serving.metadata import Metadata
from hrec_tf.serving.requests import RefusedError
from hrec_tf.serving.state_store import Held, StateStore, StoreError

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 50
_MOST_RECENT = 1024
"""Users of whom the last record that was written is still at hand."""
_CALLS_AT_ONCE = 16
"""Questions of whole histories; a server refuses them where it is asked too much."""
_MOMENT = 1.0
"""Seconds for which who asks for health gets the answer of another who did."""
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
    """All users of a gateway, each asked for in turn.

    Args:
        store: of their records.
        versions: of the model.
        metrics: that count what happens.
        max_history: events of a user that are kept, at most.
        max_skew: seconds by which an event may lie in the future, and a time of asking before
            the last event, as which it then counts.
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
        self._recent: dict[str, tuple[Held, Record]] = {}
        self._calls = Semaphore(_CALLS_AT_ONCE)
        self._turns: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    async def add(
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
        async with self._turn_of(user):
            metadata = await self._metadata()
            require_k(k, metadata)
            require_events(events, metadata, max_skew=self._max_skew)
            known = self._recent.pop(user, None)
            for _ in range(_ATTEMPTS):
                if answer := await self._added(user, events, k, exclude_seen, known):
                    return answer
                known = None
        raise RefusedError(
            grpc.StatusCode.UNAVAILABLE,
            f"The events could not be added: others changed this user {_ATTEMPTS} times meanwhile. "
            "One gateway at a time can change a user. Send them again.",
        )

    async def recommend(
        self,
        user: str,
        k: int | None = None,
        exclude_seen: bool = False,
        at: int | None = None,
    ) -> Answer:
        """Returns the list of a user; that of a new one where nothing is kept.

        While the model is away, the list after the last event is still known.

        Args:
            user: who.
            k: length of the list; None for the longest that is kept, or that the model has.
            exclude_seen: leave the items of the history out of it.
            at: Unix seconds, the time of asking, for a model that is told it; None for the list
                after the last event.

        Raises:
            ValueError: `k` is above that of the model, or `at` lies long before the last event,
                or this model is not told it.
            ServingError, StoreError: the model or the store is away.
        """
        async with self._turn_of(user):
            held, record = await self._load(user)
            if record is not None:
                after = await self._on_served_version(record)
                if after is not record:
                    with suppress(StoreError):  # a full store keeps no replay, but has told of it
                        if not await self._store.put(user, pack(after), held, renews=False):
                            self._metrics.conflicts.inc()  # who changed it has written a newer one
                return Answer(*await self._list(after, k, exclude_seen, at))
        version, items = await self._on_newest(
            lambda client: self._recommended(client, (), k, exclude_seen, at)
        )
        return Answer(version, tuple(items))

    async def forget(self, user: str) -> bool:
        """Removes all that is kept of a user; returns whether there was anything."""
        async with self._turn_of(user):
            self._recent.pop(user, None)
            return await self._store.remove(user)

    async def has_whole_numbers(self) -> bool:
        """Returns whether the items of the model are whole numbers, and not text."""
        return (await self._metadata()).id_type == "int64"

    async def check(self) -> int:
        """Returns the newest version of the model if the model and the store answer."""
        await self._store.ping()
        version, _ = await self._versions.newest(since=time.monotonic() - _MOMENT)
        await self._metadata()
        return version

    def _remember(self, user: str, held: Held, record: Record) -> None:
        """Spares the next event a question to the store."""
        self._recent[user] = held._replace(record=b""), record  # of which the revision is asked
        if len(self._recent) > _MOST_RECENT:
            del self._recent[next(iter(self._recent))]

    def _turn_of(self, user: str) -> Lock:
        """What is asked for a user waits for what was asked before."""
        return self._turns.setdefault(user, Lock())

    async def _added(
        self,
        user: str,
        events: tuple[Event, ...],
        k: int | None,
        exclude_seen: bool,
        known: tuple[Held, Record] | None,
    ) -> Answer | None:
        """Adds events to what is known or else in the store; None where that is not the newest."""
        held, record = known or await self._load(user)
        merged = merge(record, events, self._max_history)
        if merged.added or record is None:
            after = await self._after(record, merged)
        elif known is None:
            after = await self._on_served_version(record)
        else:
            return None  # nothing is written that would tell whether another came before
        version, items = await self._list(after, k, exclude_seen) if k else (after.version, ())
        if after is not record:
            held = await self._store.put(user, pack(after), held, renews=merged.added > 0)
        if held is None:
            self._metrics.conflicts.inc()
            return None
        self._remember(user, held, after)
        self._metrics.count_events(merged.added, merged.repeated, merged.dropped)
        return Answer(version, items, merged.added, merged.repeated, merged.dropped)

    async def _metadata(self) -> Metadata:
        _, metadata = await self._on_newest(lambda client: client.metadata())
        require_readable(metadata)
        return metadata

    async def _load(self, user: str) -> tuple[Held | None, Record | None]:
        held = await self._store.get(user)
        if held is None:
            return None, None
        try:
            return held, unpack(held.record)
        except (ValueError, KeyError, TypeError) as error:
            name = hashlib.blake2b(user.encode(), key=self._key, digest_size=8).hexdigest()
            _LOG.warning("The record of user #%s is lost: %s.", name, error)
            self._metrics.unreadable.inc()
            return held, None

    async def _after(self, record: Record | None, merged: Merged) -> Record:
        """The record after the events, by steps if that is possible, else by a replay."""
        few = merged.appended is not None and len(merged.appended) <= _LONGEST_WALK
        walked = await self._walk(record, merged) if few else None
        return walked or await self._replay(merged.events, merged.is_cut)

    async def _walk(self, record: Record | None, merged: Merged) -> Record | None:
        """The record after steps of the version that made the state; None if it makes none."""
        if record is None:
            version, client = await self._versions.newest()
        elif found := await self._versions.client_of(record.version):
            version, client = record.version, found
        else:
            return None
        state, items = record.state if record else None, record.items if record else ()
        try:
            metadata = await client.metadata()
            if not metadata.state_size or (record and state is None):
                return None
            for event in merged.appended or ():
                best, state = await self._steps.step(client, event, state)
                items = tuple(best)
                self._metrics.model_calls.labels("step").inc()
        except ServingError as error:
            if error.code not in _REFUSES_STATE:
                raise
            return None
        except (ValueError, TypeError):
            return None  # the state of another model under this number
        return Record(version, merged.events, merged.is_cut, items, state)

    async def _replay(self, events: tuple[Event, ...], is_cut: bool) -> Record:
        history, feedback = _history_of(events)

        async def replayed(client: AsyncClient) -> tuple[list[Recommendation], State | None]:
            metadata = await client.metadata()
            if not metadata.state_size:
                return await self._recommended(client, events, None, False), None
            self._metrics.model_calls.labels("replay").inc()
            async with self._calls:
                return await client.replay(history, metadata.largest_k, False, feedback=feedback)

        try:
            version, (items, state) = await self._on_newest(replayed)
        except (ValueError, TypeError) as error:
            raise RefusedError(
                grpc.StatusCode.UNAVAILABLE,
                f"The model does not read the events that are kept of this user: {error} Serve a "
                "version that reads them, or forget the user.",
            ) from error
        return Record(version, events, is_cut, tuple(items), state)

    async def _on_served_version(self, record: Record) -> Record:
        if await self._versions.client_of(record.version) is not None:
            return record
        return await self._replay(record.events, record.is_cut)

    async def _list(
        self, record: Record, k: int | None, exclude_seen: bool, at: int | None = None
    ) -> tuple[int, tuple[Recommendation, ...]]:
        seen = {event.item for event in record.events} if exclude_seen else set()
        left = tuple(one for one in record.items if one.item not in seen)
        wanted = len(record.items) if k is None else k
        if at is None and len(left) >= wanted:
            return record.version, left[:wanted]

        def asked_again(client: AsyncClient) -> Awaitable[list[Recommendation]]:
            return self._recommended(client, record.events, k, exclude_seen, at)

        client = await self._versions.client_of(record.version)
        try:
            # Lists of a version before may be shorter than those of the newest.
            if client is not None and (k or 0) <= (await client.metadata()).largest_k:
                return record.version, tuple(await asked_again(client))
        except ServingError as error:
            if error.code not in _REFUSES_STATE:
                raise
        version, items = await self._on_newest(asked_again)
        return version, tuple(items)

    async def _recommended(
        self,
        client: AsyncClient,
        events: tuple[Event, ...],
        k: int | None,
        exclude_seen: bool,
        at: int | None = None,
    ) -> list[Recommendation]:
        history, feedback = _history_of(events)
        if at is not None and events and 0 < (last := events[-1].timestamp) - at <= self._max_skew:
            at = last  # clocks differ
        self._metrics.model_calls.labels("recommend").inc()
        k = k or (await client.metadata()).largest_k
        async with self._calls:
            return await client.recommend(history, k, exclude_seen, at=at, feedback=feedback)

    async def _on_newest(
        self, ask: Callable[[AsyncClient], Awaitable[_Found]]
    ) -> tuple[int, _Found]:
        """Asks the newest version; another one where that has just gone."""
        version, client = await self._versions.newest()
        try:
            return version, await ask(client)
        except ServingError as error:
            if error.code != "NOT_FOUND":
                raise
        version, client = await self._versions.newest(since=time.monotonic())
        return version, await ask(client)


def _history_of(events: tuple[Event, ...]) -> tuple[list[tuple[Any, int]], np.ndarray | None]:
    history = [(event.item, event.timestamp) for event in events]
    has_feedback = any(event.feedback for event in events)
    return history, np.array([event.feedback for event in events]) if has_feedback else None
