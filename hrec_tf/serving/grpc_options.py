"""What the gRPC servers of this package have in common."""

CONNECTION_SECONDS = 300.0
"""That a connection lives: gRPC has no limit of its own for half a message, nor for a reply that
nobody reads. Clients open another one unseen."""
GRACE_SECONDS = 10.0
"""That requests in progress have when their connection has lived that long."""
_HANDSHAKE_SECONDS = 30.0


def server_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Returns the options of a `grpc.aio.server`.

    Args:
        max_message_bytes: of a request.
    """
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        # Else two servers share one port without a word, and requests go to either.
        ("grpc.so_reuseport", 0),
        ("grpc.max_connection_age_ms", round(CONNECTION_SECONDS * 1000)),
        ("grpc.max_connection_age_grace_ms", round(GRACE_SECONDS * 1000)),
        ("grpc.server_handshake_timeout_ms", round(_HANDSHAKE_SECONDS * 1000)),
    ]
