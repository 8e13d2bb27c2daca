"""Asks TensorFlow Serving, or `hrec_tf.serving.server`, from an asyncio loop.

It starts in a tenth of a second and does not import TensorFlow, see `protocol`.
"""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc
import numpy as np

from hrec_tf import checks
from hrec_tf.asked import Asked, context_inputs
from hrec_tf.schema import Recommendation
from hrec_tf.serving import protocol, tensors
from hrec_tf.serving.answers import (
    UNFILLED,
    State,
    checked_k,
    checked_state,
    lacks,
    list_of,
)
from hrec_tf.serving.batches import MAX_HISTORY, bucket_of, encode, pad, parts
from hrec_tf.serving.metadata import Metadata, read_metadata
from hrec_tf.serving.tls import ClientTLS
from hrec_tf.user_history import UserHistory, read_history

_CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", 64 * 2**20),
    # A proxy for the web has no business between a server and its model.
    ("grpc.enable_http_proxy", 0),
]


class ServingError(RuntimeError):
    """The server could not be asked, or answered with an error.

    Attributes:
        code: name of the gRPC status, e.g. "NOT_FOUND" or "UNAVAILABLE".
        details: what the server said.
    """

    def __init__(self, address: str, code: str, details: str):
        super().__init__(f"{address} answered {code}: {details}{_CURES.get(code, '')}")
        self.code, self.details = code, details


class AsyncClient:
    """Asks a served recommender: raw ids in, raw ids out.

    `hrec_tf.serving.client.Client` asks the same without a loop. Nothing is sent before the first
    question, which also chooses the loop that this is used in.

    Args:
        address: "host:port" of the server's gRPC port.
        model_name: as the server calls it.
        timeout: seconds for one request, with all its retries.
        retries: times that a request is sent again where no server is found. A model is a pure
            function: nothing happens twice.
        max_history: events of a history that are sent, the newest; the model reads none before
            them. Lists are not shorter for it, see `recommend`. What long histories cost is
            measured in `benchmarks/serving_speed.txt`.
        version: number of the only version that is asked; whichever the server chooses if None.
        tls: files with which it encrypts; None for plain text.

    Raises:
        ValueError: an argument out of its range.
        OSError: a file of `tls` that cannot be read.

    Example:
        client = AsyncClient("127.0.0.1:8500")
        await client.recommend([("tea", 1_700_000_000), ("jam", 1_700_000_060)], k=5)
        await client.close()
    """

    def __init__(
        self,
        address: str,
        model_name: str = "recommender",
        timeout: float = 5.0,
        *,
        max_history: int = 2048,
        version: int | None = None,
        retries: int = 3,
        tls: ClientTLS | None = None,
    ):
        host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not host or not (port.isascii() and port.isdecimal()):
            raise ValueError(
                f"`address` was {address!r}, but must be host:port. Pass for example "
                "'127.0.0.1:8500'."
            )
        checks.require_number("timeout", timeout, minimum=0.001, mend="Pass seconds, e.g. 5.")
        checks.require_positive_int("max_history", max_history, mend="Pass for example 2048.")
        self.address, self.model_name = address, model_name
        if version is not None:
            checks.require_int_at_least("version", version, minimum=0, mend="Pass for example 1.")
        mend = "Pass times to ask again, or 0."
        self.retries = checks.require_int_at_least("retries", retries, minimum=0, mend=mend)
        self.timeout, self.max_history, self.version = timeout, max_history, version
        self._credentials = None if tls is None else tls.of_grpc()
        self._channel: Any = None
        self._metadata: Metadata | None = None

    async def recommend(
        self,
        history: Iterable[Any] = (),
        k: int | None = None,
        exclude_seen: bool = True,
        *,
        allow: Iterable[Any] | None = None,
        deny: Iterable[Any] | None = None,
        at: int | None = None,
        feedback: Any = None,
        user_features: Any = None,
    ) -> list[Recommendation]:
        """Returns the best items for one user, best first.

        Args:
            history: `[(raw id, Unix seconds), ...]`, oldest first, or raw ids alone, which
                count as one session. May be empty: a new user.
            k: length of the list, at most the longest that was exported; the shortest one if
                None. The list is shorter where no items are left.
            exclude_seen: leave out the items of the history, also of events before the newest
                `max_history`. The server knows nothing of these, so they are taken out of its
                list. Where that leaves fewer than `k` although there are more, the whole history
                is sent after all, up to the newest 16,384 events.
            allow: raw ids of the only items that may be listed; unknown ones are none. All items
                if None.
            deny: raw ids of items that must not be listed.
            at: Unix seconds, the time of asking, for a model that is told how long ago the last
                event was; the time of the last event if None.
            feedback: float (events, width), for a model that reads feedback.
            user_features: float (width,), for a model that reads them.

        Raises:
            ValueError, TypeError: a history, items or `k` that cannot be asked for, or something
                that this model does not read.
            ServingError: the server could not be asked, or refused.
        """
        events, asked = [read_history(history)], [Asked(at, feedback, user_features)]
        filters = None
        if allow is not None or deny is not None:
            filters = await self._filters(allow, deny)
            if allow is not None and not filters["allow_lengths"][0][0]:
                return []  # sent to the server it would allow all
        found, _ = await self._lists(events, ["history"], asked, k, exclude_seen, filters=filters)
        return found[0]

    async def recommend_batch(
        self,
        histories: Iterable[Iterable[Any]],
        k: int | None = None,
        exclude_seen: bool = True,
    ) -> list[list[Recommendation]]:
        """Returns the best items for each of several users, in their order; see `recommend`.

        Many users are asked for in several requests, which the limits of `Server` let through.
        """
        histories = list(histories)
        names = [f"histories[{row}]" for row in range(len(histories))]
        events = [read_history(h, name=name) for h, name in zip(histories, names, strict=True)]
        found, _ = await self._lists(events, names, [Asked()] * len(events), k, exclude_seen)
        return found

    async def replay(
        self,
        history: Iterable[Any] = (),
        k: int | None = None,
        exclude_seen: bool = True,
        *,
        at: int | None = None,
        feedback: Any = None,
        user_features: Any = None,
    ) -> tuple[list[Recommendation], State]:
        """Returns what `recommend` returns, and the state from which `step` goes on.

        Raises:
            ValueError: also where the model has no step.
        """
        await self._require("step", _WITHOUT_STEP, asked="replay")
        events, asked = [read_history(history)], [Asked(at, feedback, user_features)]
        lists, states = await self._lists(
            events, ["history"], asked, k, exclude_seen, with_state=True
        )
        return lists[0], states[0]

    async def step(
        self,
        item: Any,
        timestamp: int,
        state: State | None = None,
        k: int | None = None,
        *,
        at: int | None = None,
        feedback: Any = None,
        user_features: Any = None,
    ) -> tuple[list[Recommendation], State]:
        """Reads one more event of a user; equal to `recommend` of all events, and faster.

        Args:
            item: raw id.
            timestamp: Unix seconds.
            state: from `replay` or the `step` before; None for a new user.
            k: as in `recommend`. Seen items are not left out.
            at, user_features: as in `recommend`.
            feedback: float (width,), of this event.

        Returns:
            The best items, and the new state.

        Raises:
            ValueError: also where the model has no step.
        """
        given = [Asked(at, None if feedback is None else np.asarray(feedback)[None], user_features)]
        (stepped,) = await self._steps([(item, timestamp)], ["event"], [state], given, k)
        return stepped

    async def step_batch(
        self,
        events: Iterable[tuple[Any, int]],
        states: Iterable[State | None],
        k: int | None = None,
        *,
        feedback: Iterable[Any] | None = None,
    ) -> list[tuple[list[Recommendation], State]]:
        """Reads one more event of each of several users, in one request; see `step`.

        Args:
            events: (raw id, Unix seconds) of each user.
            states: of the same users; None for a new one.
            k: as in `step`.
            feedback: float (width,) of each event, for a model that reads feedback.
        """
        events, states = list(events), list(states)
        given = [None] * len(events) if feedback is None else list(feedback)
        if not len(events) == len(states) == len(given):
            raise ValueError(
                f"`step_batch` was given {len(events)} events, {len(states)} states and "
                f"{len(given)} rows of feedback, but each user has one of each. Pass lists of one "
                "length."
            )
        if not events:
            return []
        asked = [Asked(feedback=None if one is None else np.asarray(one)[None]) for one in given]
        names = [f"events[{row}]" for row in range(len(events))]
        return await self._steps(events, names, states, asked, k)

    async def score(
        self,
        history: Iterable[Any],
        candidates: Sequence[Any],
        *,
        at: int | None = None,
        feedback: Any = None,
        user_features: Any = None,
    ) -> list[float]:
        """Returns the scores of given items, in their order; -inf for items it does not know.

        Args:
            history, at, feedback, user_features: as in `recommend`.
            candidates: raw ids.
        """
        events, metadata = read_history(history), await self.metadata()
        ids, kind = _ids(candidates, "candidates", metadata)
        inputs = self._padded("score", metadata, events, Asked(at, feedback, user_features))
        if not len(ids):
            return []
        outputs = await self._ask("score", inputs | {"candidates": (ids[None], kind)}, ["scores"])
        return [s if s > UNFILLED else -math.inf for s in outputs["scores"][0].tolist()]

    async def encode(
        self,
        history: Iterable[Any],
        *,
        at: int | None = None,
        feedback: Any = None,
        user_features: Any = None,
    ) -> np.ndarray:
        """Returns float32 (width,), the hidden state after a history, for an index of items.

        Its inner product with an item's vector, and the item's bias, make the item's score; see
        `hrec_tf.inner_products`. Zeros where the history has no item that the model knows.

        Args:
            history, at, feedback, user_features: as in `recommend`.

        Raises:
            ValueError: also where the model has no such vectors.
        """
        metadata = await self._require("encode", _WITHOUT_VECTORS)
        asked = Asked(at, feedback, user_features)
        inputs = self._padded("encode", metadata, read_history(history), asked)
        outputs = await self._ask("encode", inputs, ["vector"])
        return outputs["vector"][0]

    async def status(self) -> dict[int, str]:
        """Returns version -> state; "AVAILABLE" is one that answers."""
        request = protocol.GetModelStatusRequest()
        request.model_spec.name = self.model_name
        response = await self._called(
            protocol.GET_MODEL_STATUS, request, protocol.GetModelStatusResponse
        )
        return {
            entry.version: protocol.MODEL_STATES.get(entry.state, str(entry.state))
            for entry in response.model_version_status
        }

    async def metadata(self) -> Metadata:
        """Returns what the server tells of its model; asked once for each version."""
        metadata = self._metadata
        if metadata is None:
            request = protocol.GetModelMetadataRequest(metadata_field=["signature_def"])
            self._name_model(request)
            response = await self._called(
                protocol.GET_MODEL_METADATA, request, protocol.GetModelMetadataResponse
            )
            try:
                metadata = read_metadata(self.address, self.model_name, response)
            except ValueError as error:
                raise ServingError(self.address, "FAILED_PRECONDITION", str(error)) from error
            self._metadata = metadata
        return metadata

    async def close(self) -> None:
        """Closes the connection. Nothing may be asked any more."""
        if self._channel is not None:
            await self._channel.close()

    async def _require(self, signature: str, reason: str, *, asked: str | None = None) -> Metadata:
        """Returns the metadata, or says why the model cannot be asked.

        Args:
            signature: that is needed.
            reason: why models do without, and what to do then.
            asked: what was called, if it is not called as the signature.
        """
        metadata = await self.metadata()
        if signature not in metadata.signatures:
            self._metadata = None  # a new version may have it
            names = ", ".join(sorted(metadata.signatures))
            raise ValueError(
                f"`{asked or signature}` was called, but {self.model_name!r} on {self.address} has "
                f"the signatures {names} only: {reason}."
            )
        return metadata

    async def _filters(
        self, allow: Iterable[Any] | None, deny: Iterable[Any] | None
    ) -> dict[str, Any]:
        """The inputs that say which items one list may hold."""
        metadata = await self._require(
            "recommend_filtered", _WITHOUT_FILTERS, asked="allow` or `deny"
        )
        inputs: dict[str, Any] = {}
        for name, raw_ids in (("allow", allow), ("deny", deny)):
            ids, kind = _ids(() if raw_ids is None else raw_ids, name, metadata)
            # A server sees few different shapes; what the padding holds does not matter.
            filler = b"" if kind is tensors.STRING else 0
            padded = np.full((1, bucket_of(len(ids))), filler, kind.numpy)
            padded[0, : len(ids)] = ids
            inputs[name] = padded, kind
            inputs[f"{name}_lengths"] = np.array([len(ids)], np.int32), tensors.INT32
        return inputs

    async def _steps(
        self,
        events: list[tuple[Any, int]],
        names: list[str],
        states: list[State | None],
        asked: list[Asked],
        k: int | None,
    ) -> list[tuple[list[Recommendation], State]]:
        metadata = await self._require("step", _WITHOUT_STEP)
        k = checked_k(k, metadata)
        read = [read_history([one], name=name) for one, name in zip(events, names, strict=True)]
        ids = [
            encode(one.raw_ids, metadata.id_type, name=name)
            for one, name in zip(read, names, strict=True)
        ]
        new = State(
            np.zeros(metadata.state_size, np.float32), np.zeros(metadata.info_size, np.int64)
        )
        held = [
            checked_state(state or new, metadata, int(one.timestamps[0]))
            for state, one in zip(states, read, strict=True)
        ]
        said = self._said("step", metadata, asked, read, names, 1, 1)
        if "feedback" in said:
            said["feedback"] = said["feedback"][0][:, 0], said["feedback"][1]
        inputs = said | {
            "item_ids": (np.concatenate([one for one, _ in ids]), ids[0][1]),
            "timestamps": (np.concatenate([one.timestamps for one in read]), tensors.INT64),
            "state": (np.stack([values for values, _ in held]), tensors.FLOAT),
            "state_info": (np.stack([info for _, info in held]), tensors.INT64),
        }
        outputs = await self._ask("step", inputs, ["item_ids", "scores", "state", "state_info"])
        answers = [
            {name: values[row] for name, values in outputs.items()} for row in range(len(read))
        ]
        return [
            (list_of(answer, set(), k), State(answer["state"], answer["state_info"]))
            for answer in answers
        ]

    async def _lists(
        self,
        events: list[UserHistory],
        names: list[str],
        asked: list[Asked],
        k: int | None,
        exclude_seen: bool,
        *,
        with_state: bool = False,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[list[Recommendation]], list[State]]:
        metadata = await self.metadata()
        k = checked_k(k, metadata)
        signature = metadata.list_signature(k) if filters is None else "recommend_filtered"

        async def answers_of(rows: list[int], max_history: int) -> list[dict[str, Any]]:
            return await self._answers(
                signature,
                metadata,
                [events[row] for row in rows],
                [names[row] for row in rows],
                [asked[row] for row in rows],
                exclude_seen,
                max_history,
                with_state=with_state,
                filters=filters or {},
            )

        answers = await answers_of(list(range(len(events))), self.max_history)
        # The server has not seen what was too old to be sent.
        older = [set(one.raw_ids[: -self.max_history] if exclude_seen else ()) for one in events]
        short = [row for row, answer in enumerate(answers) if lacks(answer, k, older[row])]
        most = max(self.max_history, MAX_HISTORY)
        longest = min(max((len(events[row].raw_ids) for row in short), default=0), most)
        for row, answer in zip(short, await answers_of(short, longest), strict=True):
            answers[row] = answer
        lists = [list_of(*one, k) for one in zip(answers, older, strict=True)]
        states = [State(one["state"], one["state_info"]) for one in answers if with_state]
        return lists, states

    async def _answers(
        self,
        signature: str,
        metadata: Metadata,
        events: list[UserHistory],
        names: list[str],
        asked: list[Asked],
        exclude_seen: bool,
        max_history: int,
        *,
        with_state: bool,
        filters: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """What the server answers for each user, from the newest `max_history` events."""
        wanted = ["item_ids", "scores", *(["state", "state_info"] if with_state else [])]
        answers: list[dict[str, Any]] = []
        for rows in parts([min(len(one.raw_ids), max_history) for one in events]):
            inputs = pad(events[rows], names[rows], metadata.id_type, max_history)
            bucket = inputs["item_ids"][0].shape[1]
            inputs |= filters | self._said(
                signature, metadata, asked[rows], events[rows], names[rows], bucket, max_history
            )
            exclude = np.full(len(events[rows]), bool(exclude_seen))
            inputs["exclude_seen"] = exclude, tensors.BOOL
            outputs = await self._ask(signature, inputs, wanted)
            answers += [
                {name: values[row] for name, values in outputs.items()}
                for row in range(len(exclude))
            ]
        return answers

    def _padded(
        self, signature: str, metadata: Metadata, events: UserHistory, asked: Asked
    ) -> dict[str, Any]:
        """The inputs of one history."""
        inputs = pad([events], ["history"], metadata.id_type, self.max_history)
        bucket = inputs["item_ids"][0].shape[1]
        return inputs | self._said(
            signature, metadata, [asked], [events], ["history"], bucket, self.max_history
        )

    def _said(
        self,
        signature: str,
        metadata: Metadata,
        asked: list[Asked],
        events: list[UserHistory],
        names: list[str],
        columns: int,
        longest: int,
    ) -> dict[str, Any]:
        """The inputs of a model that is told more than events; mostly none."""
        specs = metadata.signatures[signature]["inputs"]
        widths = {
            name: None if name == "at" else specs[name][1][-1]
            for name in Asked._fields
            if name in specs
        }
        inputs = context_inputs(asked, events, names, widths, columns=columns, longest=longest)
        kinds = {name: tensors.INT64 if name == "at" else tensors.FLOAT for name in widths}
        return {name: (values, kinds[name]) for name, values in inputs.items()}

    async def _ask(
        self, signature: str, inputs: dict[str, Any], wanted: list[str]
    ) -> dict[str, Any]:
        request = protocol.PredictRequest(output_filter=wanted)
        self._name_model(request)
        request.model_spec.signature_name = signature
        for name, (values, kind) in inputs.items():
            tensors.fill_with_bytes(request.inputs[name], values, kind)
        try:
            response = await self._called(protocol.PREDICT, request, protocol.PredictResponse)
        except ServingError:
            self._metadata = None  # a new version may have other signatures
            raise
        known = self._metadata  # who asks beside this one may forget or renew it
        is_other = known is not None and response.model_spec.version.value != known.version
        if is_other and self._metadata is known:
            self._metadata = None  # a new version may have other lists and ids
        return {name: tensors.to_array(response.outputs[name]) for name in wanted}

    def _name_model(self, request: Any) -> None:
        request.model_spec.name = self.model_name
        if self.version is not None:
            request.model_spec.version.value = self.version

    async def _called(self, path: str, request: Any, response: Any) -> Any:
        until, waits = time.monotonic() + self.timeout, itertools.islice(_waits(), self.retries)
        while True:
            try:
                return await self._send(
                    path, request, response, max(until - time.monotonic(), 0.001)
                )
            except grpc.RpcError as error:
                wait = next(waits, None) if error.code() is grpc.StatusCode.UNAVAILABLE else None
                if wait is None or time.monotonic() + wait > until:
                    code, said = error.code().name, error.details() or ""
                    raise ServingError(self.address, code, said) from error
            await self._sleep(wait)

    async def _send(self, path: str, request: Any, response: Any, seconds: float) -> Any:
        if self._channel is None:
            self._channel = self._opened(grpc.aio)
        return await method_of(self._channel, path, response)(request, timeout=seconds)

    def _opened(self, kind: Any) -> Any:
        """A channel of `grpc`, or of `grpc.aio`."""
        if self._credentials is None:
            return kind.insecure_channel(self.address, options=_CHANNEL_OPTIONS)
        return kind.secure_channel(self.address, self._credentials, options=_CHANNEL_OPTIONS)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def method_of(channel: Any, path: str, response: Any) -> Any:
    """Returns a method of a channel, which takes any message and answers one of that class."""
    return channel.unary_unary(
        path,
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=response.FromString,
    )


def _ids(
    raw_ids: Iterable[Any], name: str, metadata: Metadata
) -> tuple[np.ndarray, tensors.DataType]:
    """Raw ids of a list of items as the server reads them, and their type."""
    if isinstance(raw_ids, str | bytes) or not isinstance(raw_ids, Iterable):
        raise TypeError(
            f"`{name}` was {raw_ids!r}, but must be a list of items. Pass for example "
            f"{name}=['tea']."
        )
    return encode(list(raw_ids), metadata.id_type, name=name)


def _waits() -> Iterator[float]:
    """Seconds before each time that a question is sent again, so that not all come at once."""
    for wait in itertools.chain((0.1, 0.3), itertools.repeat(1.0)):
        yield wait * random.uniform(0.8, 1.2)


_WITHOUT_STEP = (
    "it reads a session as a whole and keeps no state. Pass the history so far to `recommend`"
)
_WITHOUT_VECTORS = "its scores are no inner products. Rank by `recommend` or `score`"
_WITHOUT_FILTERS = "it was exported by an earlier hrec_tf. Export it again"
_CURES = {
    "UNAVAILABLE": ". Is a server running there? Start one: hrec serve DIR. One that encrypts is "
    "asked with `tls`, another without.",
    "DEADLINE_EXCEEDED": ". Ask again, or pass a longer `timeout`.",
}
