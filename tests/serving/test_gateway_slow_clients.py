"""Clients that send or read slowly: others are answered meanwhile, and the slow ones closed."""

import socket
import time
from contextlib import ExitStack, suppress

import grpc
import pytest
from aiohttp import web

from hrec_tf.serving import Gateway, grpc_options
from hrec_tf.serving.gateway import rpc
from tests.serving import http2
from tests.serving.gateway_parts import NOON, add, ask
from tests.serving.http2 import until_closed

SECONDS, MOST = 1.0, 3
HEAD = b"HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def gateway(toy_server, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpc_options, "CONNECTION_SECONDS", SECONDS)
        patch.setattr(grpc_options, "GRACE_SECONDS", SECONDS)
        store = str(tmp_path_factory.mktemp("store") / "users.sqlite")
        given = {"grpc_port": 0, "client_timeout": SECONDS, "max_requests": MOST}
        with Gateway(f"127.0.0.1:{toy_server.port}", store=store, **given) as gateway:
            yield gateway


def assert_others_are_answered(gateway):
    begin = time.monotonic()
    assert add(gateway.port, "ann", ("tea", NOON), k=1)[1]["items"][0]["item"] == "jam"
    assert ask(gateway.port, "GET", "/recommendations?user=ann")[0] == 200
    assert time.monotonic() - begin < 5


def test_bodies_that_come_slowly_take_no_place_and_are_refused(gateway):
    with ExitStack() as stack:
        slow = []
        for _ in range(2 * MOST):
            connection = socket.create_connection(("127.0.0.1", gateway.port))
            slow.append(stack.enter_context(connection))
            connection.sendall(b"POST /events " + HEAD + b"Content-Length: 500\r\n\r\n{")
        assert_others_are_answered(gateway)
        said = [bytearray() for _ in slow]

        def drip(connection, said):
            with suppress(OSError):
                connection.send(b" ")
            got = connection.recv(4096)
            said += got
            return got

        for connection, heard in zip(slow, said, strict=True):
            seconds = until_closed(connection, lambda one, heard=heard: drip(one, heard))
            assert seconds < 8 * SECONDS
            is_crowded = b"The body began first of more than may be coming at once." in heard
            assert heard.startswith(b"HTTP/1.1 429" if is_crowded else b"HTTP/1.1 400")
            assert is_crowded or b"The body took longer than 1 s, which is the most." in heard


def test_of_many_bodies_that_come_slowly_the_slowest_make_room(toy_server, tmp_path):
    store = str(tmp_path / "users.sqlite")
    with Gateway(f"127.0.0.1:{toy_server.port}", store=store, max_requests=MOST) as gateway:
        begin = time.monotonic()
        with ExitStack() as stack:
            slow = []
            for _ in range(MOST + 2):
                connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=5)
                slow.append(stack.enter_context(connection))
                connection.sendall(b"POST /events " + HEAD + b"Content-Length: 500\r\n\r\n{")
            assert_others_are_answered(gateway)
            for connection in slow[:2]:
                heard = connection.recv(4096)
                assert heard.startswith(b"HTTP/1.1 429") and b"Retry-After: 1" in heard
            assert time.monotonic() - begin < 8  # and not the 10 s that each of them may take


def bytes_held(gateway):
    """Those of answers that the gateway still has, as the system takes no more of them."""

    async def held():
        connections = web.AppRunner.server.fget(gateway._runner).connections
        open_ones = [one.transport for one in connections if one.transport is not None]
        return sum(transport.get_write_buffer_size() for transport in open_ones)

    return gateway._loop.run(held())


def test_who_does_not_read_its_answers_is_closed(gateway):
    """It asks until the system takes no more of its answers, and then not even asks."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", gateway.port))
        while not bytes_held(gateway):
            connection.sendall(b"GET /metrics " + HEAD + b"\r\n")
            time.sleep(0.01)  # in which it is answered
        assert_others_are_answered(gateway)
        assert until_closed(connection, lambda one: one.send(b"G")) < 20


def test_a_reader_that_takes_its_time_gets_all_of_an_answer(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
        connection.sendall(b"GET /recommendations?user=new " + HEAD + b"Connection: close\r\n\r\n")
        time.sleep(2 * SECONDS)
        heard = bytearray()
        while got := connection.recv(7):
            heard += got
        assert heard.startswith(b"HTTP/1.1 200") and heard.endswith(b"}")


def test_half_a_message_of_grpc_is_closed(gateway):
    method = f"/{rpc.SERVICE}/Recommend"
    with socket.create_connection(("127.0.0.1", gateway.grpc_port)) as slow:
        slow.sendall(http2.asked(method, http2.HALF_A_MESSAGE, ends=False))
        with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
            call = channel.unary_unary(method)
            assert call(rpc.CLASSES["RecommendRequest"](user="a").SerializeToString(), timeout=30)
            assert until_closed(slow, lambda one: one.recv(4096)) < 20
            # A client that does as gRPC has it opens another connection.
            assert call(rpc.CLASSES["RecommendRequest"](user="a").SerializeToString(), timeout=30)
