"""How the tests ask over REST: as a program does, or byte by byte."""

import json
import socket
import urllib.error
import urllib.request

ROW = {"item_ids": ["tea", "jam"], "timestamps": [0, 1], "lengths": 2, "exclude_seen": True}
PREDICT = "/v1/models/recommender:predict"


def asked(where, path, body=None, method=None):
    """Status and JSON of an answer.

    Args:
        where: "host:port", or a `Server`.
        path: of the URL.
        body: what is sent as JSON, or bytes as they are.
        method: of HTTP.
    """
    address = where if isinstance(where, str) else f"127.0.0.1:{where.rest_port}"
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
            is_json = answer.headers["Content-Type"].startswith("application/json")
            return answer.status, json.loads(text) if is_json else text
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def predict(where, body, path=PREDICT):
    return asked(where, path, body)


def connected(server, sent=b""):
    """A socket that has sent something; it waits for 30 s at the most."""
    connection = socket.create_connection(("127.0.0.1", server.rest_port), timeout=30)
    connection.sendall(sent)
    return connection


def posted(body, length=None):
    """The bytes of a request; its head may promise another length than the body has."""
    length = len(body) if length is None else length
    return f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode() + body


def read_to_the_end(connection):
    """All that still comes, until the server closes the connection."""
    parts = []
    while part := connection.recv(2**16):
        parts.append(part)
    return b"".join(parts)
