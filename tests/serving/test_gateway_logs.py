"""The log of a gateway names no user and no item, whatever goes wrong."""

import gc
import logging
import socket

import grpc
import pytest

from hrec_tf.serving import Gateway
from hrec_tf.serving.gateway import rpc
from hrec_tf.serving.gateway.users import Users
from tests.serving.gateway_parts import NOON, add, ask

USER, ITEM, KEY = "user4711", "item0815", "event1234"


@pytest.fixture
def gateway(tmp_path, caplog):
    """One whose model is away; its log is heard from the lowest level on."""
    caplog.set_level(logging.DEBUG)
    with Gateway("127.0.0.1:1", store=str(tmp_path / "users.sqlite"), grpc_port=0) as gateway:
        yield gateway


def assert_no_ids(caplog, capfd):
    gc.collect()  # asyncio tells of an error that nobody took when its task goes
    for text in (caplog.text, *capfd.readouterr()):
        for name in (USER, ITEM, KEY):
            assert name not in text


def test_an_error_inside_that_quotes_ids_is_logged_without_them(
    gateway, monkeypatch, caplog, capfd
):
    async def fail(users, *asked):
        try:
            raise KeyError(asked)
        except KeyError as error:
            raise LookupError(f"nothing of {asked}") from error

    for name in ("add", "recommend", "forget", "has_whole_numbers"):
        monkeypatch.setattr(Users, name, fail)
    for status, content in (
        add(gateway.port, USER, (ITEM, NOON, KEY), k=3),
        ask(gateway.port, "GET", f"/recommendations?user={USER}"),
        ask(gateway.port, "DELETE", f"/users/{USER}"),
    ):
        assert status == 500
        assert content["error"].startswith("The gateway failed (LookupError), which its log")
    event = rpc.CLASSES["Event"](item=ITEM, timestamp=NOON, event_id=KEY)
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        for name, more in (("AddEvents", {"events": [event]}), ("Recommend", {})):
            asked = rpc.CLASSES[f"{name}Request"](user=USER, **more).SerializeToString()
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/{rpc.SERVICE}/{name}")(asked, timeout=30)
            assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caplog.text.count("A request could not be answered: LookupError at test_gateway") == 5
    assert_no_ids(caplog, capfd)


BROKEN = {
    "version": (f"GET /recommendations?user={USER} HTTP/9.9\r\n\r\n", "BadStatusLine"),
    "no version": (f"GET /recommendations?user={USER} x\r\n\r\n", "BadStatusLine"),
    "method": (f"GE@T /recommendations?user={USER} HTTP/1.1\r\n\r\n", "BadHttpMethod"),
    "header": (f"GET / HTTP/1.1\r\nuser\1: {USER}\r\n\r\n", "BadHttpMessage"),
    "address": (f"GET http://[{USER}/x HTTP/1.1\r\n\r\n", "InvalidURLError"),
    "length": (f"GET /recommendations?user={USER * 2000} HTTP/1.1\r\n\r\n", "LineTooLong"),
    "chunk": (f"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{USER}\r\n", "BadHttpMessage"),
}


@pytest.mark.parametrize(("sent", "named"), BROKEN.values(), ids=BROKEN)
def test_a_request_that_is_no_http_is_logged_without_its_address(
    gateway, caplog, capfd, sent, named
):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
        connection.sendall(sent.encode())
        assert connection.recv(12)[-4:] == b" 400"
    assert f"Error handling request from 127.0.0.1: {named}." in caplog.text
    assert_no_ids(caplog, capfd)


def test_what_is_no_message_is_refused_and_its_content_not_logged(gateway, caplog, capfd):
    for sent in (b"\xff" + USER.encode(), b"\n\x09" + USER.encode() + b"\xff"):
        with (
            grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel,
            pytest.raises(grpc.RpcError) as caught,
        ):
            channel.unary_unary(f"/{rpc.SERVICE}/Recommend")(sent, timeout=30)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert_no_ids(caplog, capfd)
