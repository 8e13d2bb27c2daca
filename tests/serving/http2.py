"""Clients of gRPC that break off or do not read, written out as frames of HTTP/2."""

import struct
import time

MESSAGE_OF_NOTHING = struct.pack(">BI", 0, 0)
HALF_A_MESSAGE = struct.pack(">BI", 0, 50) + b"\n"


def frame(kind, flags, stream, payload=b""):
    """A frame of HTTP/2."""
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


def asked(path, message, ends=True, window=None):
    """A whole connection that asks once.

    Args:
        path: /service/method.
        message: with its head.
        ends: nothing more comes.
        window: bytes of a reply that the client is ready to take.
    """
    settings = b"" if window is None else struct.pack(">HI", 4, window)
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, settings)
    return hello + opened(path, 1) + frame(0, int(ends), 1, message)


def opened(path, stream):
    """The head of a request, whose message is to follow."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "x",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    literal = b"".join(
        b"\0%c%b%c%b" % (len(name), name.encode(), len(value), value.encode())
        for name, value in headers.items()
    )
    return frame(1, 4, stream, literal)


def until_closed(connection, deed):
    """Does a deed again and again, and returns the seconds until the connection is closed."""
    begin = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() < begin + 30:
        try:
            if deed(connection) == b"":
                break
        except TimeoutError:
            pass
        except OSError:  # closed with a reset, which is what is waited for
            break
    return time.monotonic() - begin
