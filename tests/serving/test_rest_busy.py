"""REST where there is too much of it: slow clients, more requests than are taken, and the end."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web

from hrec_tf.serving import Server, http_runner, rest
from tests.serving import toy
from tests.serving.rest_parts import (
    PREDICT,
    ROW,
    asked,
    connected,
    posted,
    predict,
    read_to_the_end,
)

BODY = json.dumps({"instances": [ROW]}).encode()


@pytest.fixture
def quick(toy_base, monkeypatch):
    """A server that waits a second for a client."""
    monkeypatch.setattr(rest, "SECONDS", 1.0)
    monkeypatch.setattr(rest, "LINGER", 0.5)
    with Server(toy_base, rest_port=0, connections=3) as server:
        yield server


@pytest.fixture
def held_back(toy_base):
    """A server of two requests at once whose model waits for `opened`, and who waits for it."""
    with (
        Server(toy_base, rest_port=0, connections=2, workers=1) as server,
        toy.held_back(server) as (begun, opened),
    ):
        yield server, opened, begun


def connections(server):
    return server._rest._runner._server.connections


def wait_until(is_so):
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_more_requests_than_connections_are_told_to_come_again(held_back):
    server, opened, begun = held_back
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(predict, server, {"instances": [ROW]}) for _ in range(2)]
        begun.wait(20)
        wait_until(lambda: not server._rest._places.free)
        status, answer = predict(server, {"instances": [ROW]})
        assert status == 429
        assert answer == {"error": "2 requests are in work, which is the most. Ask again later."}
        assert asked(server, "/health")[0] == 200
        opened.set()
        assert [answer.result()[0] for answer in answers] == [200, 200]
    assert predict(server, {"instances": [ROW]})[0] == 200
    _, told = asked(server, "/metrics")
    assert (
        'hrec_requests_total{code="RESOURCE_EXHAUSTED",method="POST",protocol="rest"} 1.0' in told
    )


def test_who_waits_too_long_for_the_model_is_told_so_and_leaves_its_place(held_back, monkeypatch):
    server, opened, begun = held_back
    monkeypatch.setattr(rest, "SECONDS", 0.5)
    status, answer = predict(server, {"instances": [ROW]})
    assert begun.is_set() and status == 504 and set(answer) == {"error"}
    assert server._rest._places.free == 2
    opened.set()
    monkeypatch.setattr(rest, "SECONDS", 20.0)
    assert predict(server, {"instances": [ROW]})[0] == 200


def test_what_is_in_progress_at_the_end_is_answered_and_nothing_else(held_back):
    server, opened, begun = held_back
    with connected(server, posted(BODY)) as asking, connected(server) as idle:
        begun.wait(20)
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        ending = threading.Thread(target=server.stop, args=[20])
        ending.start()
        read_to_the_end(idle)  # the rest of its answer; a connection without a request is closed
        with pytest.raises(ConnectionError):
            connected(server)
        assert ending.is_alive()
        opened.set()
        assert read_to_the_end(asking).startswith(b"HTTP/1.1 200")
        ending.join(20)
        assert not ending.is_alive()


def test_past_the_grace_nothing_is_answered(held_back):
    server, opened, begun = held_back
    with connected(server, posted(BODY)) as asking:
        begun.wait(20)
        ending = threading.Thread(target=server.stop, args=[0.1])
        ending.start()
        assert read_to_the_end(asking) == b""
        opened.set()  # what the model has begun is waited for
        ending.join(20)
        assert not ending.is_alive()


def test_who_sends_a_body_slowly_is_told_so_and_closed_and_others_are_answered(quick):
    begin = time.monotonic()
    with connected(quick, posted(b"{", len(BODY))) as slow:
        for _ in range(8):
            slow.sendall(b" ")
            assert predict(quick, {"instances": [ROW]})[0] == 200
            time.sleep(0.1)
        told = read_to_the_end(slow)
    assert told.startswith(b"HTTP/1.1 408")
    assert b"The body took too long: 1 s at most, less where many come. Send it at once." in told
    assert 0.9 < time.monotonic() - begin < 15


def test_many_slow_bodies_take_no_place_in_work(quick, monkeypatch):
    """Three requests may be in work, and as many bodies may come: the slowest makes room."""
    monkeypatch.setattr(rest, "SECONDS", 60.0)
    begin = time.monotonic()
    slow = [connected(quick, posted(b"{", len(BODY))) for _ in range(8)]
    assert [predict(quick, {"instances": [ROW]})[0] for _ in range(5)] == [200] * 5
    told = [read_to_the_end(connection)[:12] for connection in slow[:5]]
    assert told == [b"HTTP/1.1 408"] * 5
    assert time.monotonic() - begin < 40
    for connection in slow:
        connection.close()


def test_who_does_not_read_an_answer_is_closed_and_others_are_answered(quick):
    many = json.dumps({"instances": [ROW] * 300}).encode()
    [site] = quick._rest._runner.sites
    [listening] = site._server.sockets
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # or the system takes it all
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(30)
        deaf.connect(("127.0.0.1", quick.rest_port))
        deaf.sendall(posted(many))
        assert [predict(quick, {"instances": [ROW]})[0] for _ in range(5)] == [200] * 5
        assert connections(quick)
        wait_until(lambda: not connections(quick))
        head, _, told = read_to_the_end(deaf).partition(b"\r\n\r\n")  # what the system held
    assert b"HTTP/1.1 200" in head and len(told) < int(head.partition(b"Length: ")[2].split()[0])


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 500\r\n", BODY),
        (b"Content-Length: 5\r\nContent-Encoding: gzip\r\n", b"\0\0\0\0\0"),
    ],
    ids=["cut short", "no gzip"],
)
def test_a_body_that_breaks_off_is_no_error_of_the_server(quick, caplog, head, body):
    with connected(quick, f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\n".encode() + head) as broken:
        broken.sendall(b"\r\n" + body)
        broken.shutdown(socket.SHUT_WR)
        assert read_to_the_end(broken)[:12] in (b"", b"HTTP/1.1 400")
    assert predict(quick, {"instances": [ROW]})[0] == 200
    assert not caplog.records


def test_a_rest_that_cannot_be_read_after_its_answer_is_no_error_of_the_server(caplog):
    """aiohttp reads on, and logs what it meets; whether there is a rest is a matter of moments."""
    for error in (web.RequestPayloadError("no gzip"), KeyError("ann")):
        try:
            raise error
        except Exception:
            http_runner._LOG.exception("Unhandled exception")
    assert [record.getMessage() for record in caplog.records] == ["Unhandled exception: KeyError."]


def test_other_methods_are_refused_and_counted_as_one(quick):
    for method in ("PUT", "DELETE", "PATCH"):
        assert asked(quick, PREDICT, b"{}", method)[0] == 400
    _, told = asked(quick, "/metrics")
    assert 'total{code="INVALID_ARGUMENT",method="other",protocol="rest"} 3.0' in told
