"""What a model reads of what a gateway is sent, and of what it knows."""

import time

import grpc

from hrec_tf.schema import FEEDBACK, USER_FEATURES
from hrec_tf.serving.batches import encode
from hrec_tf.serving.gateway.records import Event
from hrec_tf.serving.metadata import Metadata
from hrec_tf.serving.requests import RefusedError
from hrec_tf.user_history import LATEST_SECONDS


def require_events(events: tuple[Event, ...], metadata: Metadata, *, max_skew: float) -> None:
    """Raises ValueError or TypeError where the model would not read them, now or in a replay."""
    encode([event.item for event in events], metadata.id_type, name="events")
    latest = min(time.time() + max_skew, LATEST_SECONDS - 1)
    _, shape = metadata.signatures["recommend"]["inputs"].get(FEEDBACK, ("", (0,)))
    for row, event in enumerate(events):
        if not -LATEST_SECONDS < event.timestamp <= latest:
            raise ValueError(
                f"`timestamp` was {event.timestamp} (event {row}), but must be Unix seconds at "
                f"most {max_skew:g} s ahead of the gateway's clock. Divide milliseconds "
                "by 1000, or set the clock."
            )
        if len(event.feedback or ()) != shape[-1]:
            raise ValueError(
                f"`feedback` has {len(event.feedback or ())} numbers (event {row}), but this "
                f"model reads {shape[-1]}. Send as many, encoded by the features' schema; "
                "leave it out where that is 0."
            )


def require_k(k: int | None, metadata: Metadata) -> None:
    """Raises ValueError where no list of the model is as long."""
    longest = metadata.largest_k
    if k is not None and not 1 <= k <= longest:
        raise ValueError(
            f"`k` was {k}, but the model was exported with lists of {longest}. Ask for "
            f"1..{longest}."
        )


def require_readable(metadata: Metadata) -> None:
    """Raises RefusedError where a model reads more than a gateway knows."""
    wanted = metadata.signatures["recommend"]["inputs"].get(USER_FEATURES)
    if wanted is not None and wanted[1][-1]:
        raise RefusedError(
            grpc.StatusCode.UNAVAILABLE,
            f"{metadata.model_name!r} version {metadata.version} reads {wanted[1][-1]} user "
            "features, but a gateway knows events alone. Serve a model without user features.",
        )
