"""The gateway over HTTP and gRPC, with a toy model: routes, errors, limits."""

import asyncio
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from hrec_tf.serving import Client, Gateway, Server
from hrec_tf.serving.async_client import AsyncClient
from hrec_tf.serving.extra import require
from hrec_tf.serving.gateway import rpc
from hrec_tf.serving.gateway.front import Front
from hrec_tf.serving.gateway.metrics import Metrics
from tests.serving import toy
from tests.serving.gateway_parts import NOON, Store, Switch, add, ask, free_port, kept, pairs

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    return str(tmp_path_factory.mktemp("store") / "users.sqlite")


@pytest.fixture(scope="module")
def gateway(toy_server, store_path):
    address = f"127.0.0.1:{toy_server.port}"
    with Gateway(address, store=store_path, grpc_port=0, max_history=8, max_body=4096) as gateway:
        yield gateway


@pytest.fixture
def store(store_path):
    store = Store(store_path)
    yield store
    store.close()


def test_events_in_and_lists_out(gateway, client):
    status, content = ask(gateway.port, "GET", "/recommendations?user=ann")
    assert (status, content["model_version"]) == (200, 1)
    assert pairs(content) == client.recommend()
    status, content = add(gateway.port, "ann", ("tea", NOON), ("gin", NOON + 60), k=2)
    assert (status, content.pop("items")) == (
        200,
        [{"item": "ale", "score": 12.0}, {"item": "tea", "score": 6.0}],
    )
    assert content == {"added": 2, "repeated": 0, "dropped": 0, "model_version": 1}
    one = {"user": "ann", "item": "jam", "timestamp": NOON + 61}
    assert "items" not in ask(gateway.port, "POST", "/events", one)[1]
    history = [("tea", NOON), ("gin", NOON + 60), ("jam", NOON + 61)]
    for query, expected in (
        ("", client.recommend(history, exclude_seen=False)),
        ("&k=3&exclude_seen=false", client.recommend(history, 3, exclude_seen=False)),
        ("&exclude_seen=true&k=1", client.recommend(history, 1)),
        ("&exclude_seen=true", client.recommend(history)),
    ):
        assert pairs(ask(gateway.port, "GET", f"/recommendations?user=ann{query}")[1]) == expected
    assert ask(gateway.port, "DELETE", "/users/ann") == (200, {"forgotten": True})
    assert ask(gateway.port, "DELETE", "/users/ann") == (200, {"forgotten": False})
    assert pairs(ask(gateway.port, "GET", "/recommendations?user=ann")[1]) == client.recommend()


def test_odd_users_are_users_like_others(gateway, store):
    odd = "a/b ø%2F"
    assert add(gateway.port, odd, ("tea", NOON))[0] == 200
    assert len(kept(store, odd)) == 1
    path = "/users/a%2Fb%20%C3%B8%252F"
    assert ask(gateway.port, "DELETE", path) == (200, {"forgotten": True})


def test_repeats_late_events_and_those_too_old(gateway, store):
    add(gateway.port, "bob", *[("tea", NOON + n, f"e{n}") for n in range(8)])
    status, content = add(gateway.port, "bob", ("rum", NOON + 3, "e3"), k=1)
    assert (status, content["repeated"], content["added"]) == (200, 1, 0)
    assert content["items"][0]["item"] == "jam"
    status, content = add(gateway.port, "bob", ("gin", NOON + 9, "e9"), k=1)
    assert content["items"][0]["item"] == "ale" and len(kept(store, "bob")) == 4
    status, content = add(gateway.port, "bob", ("rum", NOON), ("rum", NOON + 7), k=1)
    assert (content["added"], content["dropped"]) == (1, 1)
    assert content["items"][0]["item"] == "ale"
    assert [event.item for event in kept(store, "bob")] == ["tea"] * 3 + ["rum", "gin"]
    assert 'events_total{result="dropped"} 1.0' in ask(gateway.port, "GET", "/metrics")[1]


def test_the_store_is_asked_once_for_an_event_that_follows_on(gateway, store):
    """What was written last is at hand, but each write finds out whether it still holds."""
    said = []
    gateway._store._database.set_trace_callback(lambda text: said.append(text.split()[0]))

    def asked(*event):
        said.clear()
        content = add(gateway.port, "joe", event)[1]
        counts = content["added"], content["repeated"]
        return counts, [word for word in said if word in ("SELECT", "INSERT", "UPDATE")]

    assert asked("tea", NOON, "a") == ((1, 0), ["SELECT", "INSERT"])
    assert asked("jam", NOON + 5, "b") == ((1, 0), ["UPDATE"])
    assert asked("jam", NOON + 5, "b") == ((0, 1), ["SELECT"])
    assert asked("rum", NOON + 6, "c") == ((1, 0), ["UPDATE"])
    store.remove("joe")
    assert asked("gin", NOON + 7, "d") == ((1, 0), ["UPDATE", "SELECT", "INSERT"])
    assert [event.item for event in kept(store, "joe")] == ["gin"]
    store.remove("joe")
    assert asked("gin", NOON + 7, "d") == ((1, 0), ["SELECT", "INSERT"])
    ask(gateway.port, "DELETE", "/users/joe")
    assert asked("ale", NOON + 8, "e") == ((1, 0), ["SELECT", "INSERT"])
    gateway._store._database.set_trace_callback(None)


def test_a_record_that_cannot_be_read_is_lost_and_said_to_be(gateway, store, caplog):
    add(gateway.port, "secret-user", ("tea", NOON))
    assert store.put("secret-user", b"hrec\x07 of a later gateway", store.get("secret-user"))
    status, content = add(gateway.port, "secret-user", ("rum", NOON + 5), k=1)
    assert (status, content["items"][0]["item"]) == (200, "gin")
    assert [event.item for event in kept(store, "secret-user")] == ["rum"]
    (said,) = (record.getMessage() for record in caplog.records)
    assert "is lost: it begins with" in said and "secret" not in said
    assert "unreadable_records_total 1.0" in ask(gateway.port, "GET", "/metrics")[1]


GOOD = {"user": "u", "item": "tea", "timestamp": NOON}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "The body is no JSON that can be read"),
        (b"\xff\xfe{", "The body is no JSON that can be read"),
        ("[" * 4000, "The body is no JSON that can be read"),
        ('{"user": NaN}', "NaN is no number of JSON"),
        ('{"user": "u", "user": "v"}', "an object has a name twice"),
        ("[]", "The body was [], but must be an object"),
        ({"events": []}, "`events` was [], but must be a list of 1 to 1000 events"),
        ({"events": [GOOD, 5]}, "Event 1 was 5, but must be an object"),
        ({"events": [GOOD, GOOD | {"user": "v"}]}, "`events` names 2 users"),
        ({"events": [GOOD | {"k": 5}]}, "Event 0 has 'k', which would be ignored"),
        (GOOD | {"usr": 1}, "Did you mean 'user'?"),
        (GOOD | {"user": 5}, "`user` was 5, but must be text of 1 to 256 characters"),
        (GOOD | {"user": "u" * 257}, "`user` was 'uuu"),
        (GOOD | {"item": True}, "`item` was True, but must be text of 1 to 256 characters or a"),
        (GOOD | {"item": 2**63}, "`item` was 9223372036854775808, but must be"),
        (GOOD | {"item": 5}, "`events` has the item 5 of type int (row 0), but items of this"),
        (GOOD | {"item": "\ud800"}, "`item` was '\\ud800', which is no Unicode text"),
        (GOOD | {"event": ""}, "`event` was '', but must be text"),
        (GOOD | {"timestamp": 5.0}, "`timestamp` was 5.0, but must be whole Unix seconds"),
        (GOOD | {"timestamp": NOON * 1000}, "but must be Unix seconds at most 300 s ahead of"),
        (GOOD | {"timestamp": -(10**12)}, "Divide milliseconds by 1000"),
        (GOOD | {"timestamp": int(time.time()) + 9999}, "at most 300 s ahead of the gateway's"),
        (GOOD | {"feedback": [1]}, "`feedback` has 1 numbers (event 0), but this model reads 0"),
        (json.dumps(GOOD)[:-1] + ',"feedback":[1e999]}', "`feedback` was [inf], but must be a l"),
        (GOOD | {"k": 0}, "`k` must be a positive int, but was 0"),
        (GOOD | {"k": 5}, "`k` was 5, but the model was exported with lists of 4"),
        (GOOD | {"exclude_seen": True}, "`exclude_seen` was sent without `k`"),
        (GOOD | {"k": 2, "exclude_seen": 1}, "`exclude_seen` was 1, but must be true or false"),
    ],
)
def test_what_is_no_event_is_refused_and_nothing_is_kept(gateway, store, body, message):
    status, content = ask(gateway.port, "POST", "/events", body)
    assert status == 400 and message in content["error"]
    assert kept(store, "u") == ()


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/recommendations", 400, "`user` was None, but must be text"),
        ("GET", "/recommendations?user=a&k=ten", 400, "`k` was 'ten', but must be a positive"),
        ("GET", "/recommendations?user=a&k=5", 400, "`k` was 5, but the model was exported"),
        ("GET", "/recommendations?user=a&user=b", 400, "The query names a value twice"),
        ("GET", "/recommendations?user=a&exclude_seen=1", 400, "must be true or false"),
        ("GET", "/recommendations?user=a&exclude=1", 400, "Did you mean 'exclude_seen'?"),
        ("GET", "/recommendations?user=a&at=soon", 400, "`at` was 'soon', but must be whole Unix"),
        ("GET", f"/recommendations?user=a&at={2**63}", 400, "must be whole Unix seconds"),
        ("GET", f"/recommendations?user=a&at={NOON}", 400, "`at` was passed for `history`, but"),
        ("GET", "/nothing", 404, "Known are POST /events"),
        ("GET", "/events", 405, "Use one that it answers"),
    ],
)
def test_other_requests_are_refused(gateway, method, path, status, message):
    found, content = ask(gateway.port, method, path)
    assert found == status and message in content["error"]


def test_a_large_body_is_refused(gateway):
    body = json.dumps(GOOD | {"item": "x" * 5000})
    status, content = ask(gateway.port, "POST", "/events", body)
    assert status == 413 and "Send fewer events at once" in content["error"]


def test_hundreds_of_broken_bodies_get_400_and_the_gateway_goes_on(gateway, store):
    chance = random.Random(7)
    whole = json.dumps({"events": [GOOD | {"event": "e", "feedback": []}], "k": 2}).encode()
    with ThreadPoolExecutor(4) as pool:
        bodies = []
        for _ in range(300):
            body = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(body))
                body[place : place + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 3))
            bodies.append(bytes(body))
        found = list(pool.map(lambda body: ask(gateway.port, "POST", "/events", body), bodies))
    # Not every change breaks a body: another letter of an item is another item.
    assert {status for status, _ in found} <= {200, 400}
    assert sum(status == 400 for status, _ in found) > 200
    assert all(set(content) == {"error"} for status, content in found if status == 400)
    assert ask(gateway.port, "GET", "/health") == (200, {"status": "ok", "model_version": 1})


def test_tokens_are_asked_for_but_not_of_who_asks_for_health(toy_server, tmp_path, caplog):
    caplog.set_level("INFO", "hrec_tf.serving.gateway")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN[::-1]}\n{TOKEN}\n")
    address = f"127.0.0.1:{toy_server.port}"
    given = {"store": str(tmp_path / "users.sqlite"), "token_file": tokens, "grpc_port": 0}
    with Gateway(address, **given) as gateway:
        for header in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer "}):
            for method, path in (
                ("POST", "/events"),
                ("GET", "/recommendations?user=a"),
                ("DELETE", "/users/a"),
                ("GET", "/metrics"),
            ):
                status, content = ask(gateway.port, method, path, **header)
                assert status == 401 and "brings no token that is known" in content["error"]
        for token in (TOKEN, TOKEN[::-1]):
            header = {"Authorization": f"Bearer {token}"}
            assert ask(gateway.port, "GET", "/recommendations?user=a", **header)[0] == 200
        assert ask(gateway.port, "GET", "/health")[0] == 200
        with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
            call = remote(channel, "Recommend")
            with pytest.raises(grpc.RpcError) as caught:
                call(user="a")
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            # Not even whether it is a message is told to who brings none.
            assert garbage(channel) == "UNAUTHENTICATED"
            assert len(call(user="a", metadata=[("authorization", f"bearer {TOKEN}")]).items) == 4
        # One is added, the one before removed, the file broken and lost, all while it runs.
        new = "another token that is long"
        for content, known in ((f"{TOKEN}\n{new}", [TOKEN, new]), (new, [new]), ("short", [new])):
            tokens.write_text(content.replace(" ", "-"))
            for token in (TOKEN, TOKEN[::-1], new):
                header = {"Authorization": f"Bearer {token.replace(' ', '-')}"}
                status, _ = ask(gateway.port, "GET", "/recommendations?user=a", **header)
                assert status == (200 if token in known else 401)
        assert [record.getMessage()[:25] for record in caplog.records] == [
            "2 tokens are known from n",
            "1 tokens are known from n",
            "The tokens before still h",
        ]
        tokens.unlink()
        assert ask(gateway.port, "GET", "/recommendations?user=a", **header)[0] == 200
        assert "No such file" in caplog.records[-1].getMessage()
    tokens.write_text("short")
    with pytest.raises(ValueError, match="1 tokens, of which each must have at least 16 char"):
        Gateway(address, **given)


def garbage(channel):
    """The code of what is no message."""
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{rpc.SERVICE}/AddEvents")(b"\xff\xff\xff", timeout=30)
    return caught.value.code().name


def remote(channel, name):
    """A method of the service."""
    method = channel.unary_unary(
        f"/{rpc.SERVICE}/{name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=rpc.CLASSES[f"{name}Response"].FromString,
    )

    def call(metadata=None, **fields):
        return method(rpc.CLASSES[f"{name}Request"](**fields), metadata=metadata, timeout=30)

    return call


def test_grpc_answers_as_http_does(gateway, client, store):
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        add_events, recommend, forget = (
            remote(channel, name) for name in ("AddEvents", "Recommend", "ForgetUser")
        )
        event = rpc.CLASSES["Event"]
        first = event(item="tea", timestamp=NOON, event_id="e")
        events = [first, event(item="jam", timestamp=NOON)]
        answer = add_events(user="gus", events=[*events, first], k=2)
        assert (answer.added, answer.repeated_events, answer.model_version) == (2, 1, 1)
        history = [("tea", NOON), ("jam", NOON)]
        found = [(one.item, one.score) for one in answer.items]
        assert found == client.recommend(history, 2, exclude_seen=False)
        found = [(one.item, one.score) for one in recommend(user="gus", exclude_seen=True).items]
        assert found == client.recommend(history)
        for call, message in (
            (lambda: add_events(user="gus"), "`events` holds 0 events"),
            (lambda: add_events(events=events), "`user` was '', but must be text"),
            (lambda: add_events(user="gus", events=events, k=-1), "`k` was -1"),
            (lambda: add_events(user="gus", events=events, exclude_seen=True), "without `k`"),
            (lambda: recommend(user="gus", at=NOON), "`at` was passed for `history`, but"),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert message in caught.value.details()
        assert garbage(channel) == "INVALID_ARGUMENT"
        assert forget(user="gus").forgotten and kept(store, "gus") == ()


def test_broken_messages_get_their_code_and_the_gateway_goes_on(gateway):
    chance = random.Random(7)
    event = rpc.CLASSES["Event"](item="tea", timestamp=NOON, event_id="e", feedback=[1.0])
    whole = rpc.CLASSES["AddEventsRequest"](user="zoe", events=[event], k=2).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
        call, codes = channel.unary_unary(f"/{rpc.SERVICE}/AddEvents"), set()
        for _ in range(300):
            message = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(message))
                message[place : place + chance.randint(0, 9)] = chance.randbytes(3)
            try:
                call(bytes(message), timeout=30)
            except grpc.RpcError as error:
                codes.add(error.code().name)
        assert codes == {"INVALID_ARGUMENT"}
        assert remote(channel, "Recommend")(user="zoe").items


def test_who_gives_up_is_counted_as_such():
    front = Front(None, Metrics(), tokens=None, max_requests=1)

    async def given_up():
        asked = asyncio.create_task(front.answer("Recommend", "", asyncio.Event().wait))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(given_up())
    counted = [one for one in front.metrics.text().decode().splitlines() if "_total{" in one]
    (line,) = [one for one in counted if "Recommend" in one]
    assert "CANCELLED" in line and line.endswith(" 1.0")


def test_many_who_ask_for_health_share_an_answer(tmp_path):
    """Also where the model does not answer: nobody else waits behind them all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            Gateway(address, store=str(tmp_path / "users.sqlite"), timeout=0.5) as gateway,
            ThreadPoolExecutor(20) as pool,
        ):
            begin = time.monotonic()
            asked = [pool.submit(ask, gateway.port, "GET", "/health") for _ in range(20)]
            assert {one.result()[0] for one in asked} == {503}
            # Twenty one after the other would be ten seconds, tries again not counted.
            assert time.monotonic() - begin < 6


@pytest.fixture
def other_kind():
    """The address of a model server whose model is no recommender."""

    class Status(model_service_pb2_grpc.ModelServiceServicer):
        def GetModelStatus(self, request, context):  # noqa: N802, the protocol's name
            response = get_model_status_pb2.GetModelStatusResponse()
            response.model_version_status.add(version=1, state="AVAILABLE")
            return response

    class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request, context):  # noqa: N802
            held = get_model_metadata_pb2.SignatureDefMap()
            held.signature_def["serving_default"].method_name = "predict"
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(held)
            return response

    server = grpc.server(ThreadPoolExecutor(2))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Status(), server)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_a_server_of_another_kind_is_no_fault_of_who_asks(other_kind, tmp_path):
    with Gateway(other_kind, store=str(tmp_path / "users.sqlite")) as gateway:
        for method, path, body in (
            ("POST", "/events", json.dumps(GOOD)),
            ("GET", "/recommendations?user=ann", None),
            ("GET", "/health", None),
        ):
            status, content = ask(gateway.port, method, path, body)
            assert status == 503, content
            assert other_kind not in content["error"]


def test_messages_are_those_of_the_proto_file(tmp_path):
    folder, out = Path(rpc.__file__).parent, tmp_path / "set"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"-o{out}"]
    subprocess.run([*command, str(folder / "gateway.proto")], check=True)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    ours = descriptor_pb2.FileDescriptorProto()
    next(iter(rpc.CLASSES.values())).DESCRIPTOR.file.CopyToProto(ours)

    def fields(made):
        return {
            message.name: [(f.name, f.number, f.type, f.label, f.type_name) for f in message.field]
            for message in made.message_type
        }

    assert fields(file) == fields(ours)
    (service,) = file.service
    assert f"{file.package}.{service.name}" == rpc.SERVICE
    assert {method.name for method in service.method} == {"AddEvents", "Recommend", "ForgetUser"}


def test_whole_numbers_and_models_without_step(tmp_path):
    toy.write_toy(tmp_path / "base", raw_ids=toy.NUMBERS, has_step=False)
    store = str(tmp_path / "users.sqlite")
    with Server(tmp_path / "base") as server:
        address = f"127.0.0.1:{server.port}"
        with Gateway(address, store=store, grpc_port=0) as gateway, Client(address) as client:
            events = [(70, NOON), (-5, NOON + 1), (9, NOON - 5)]
            content = add(gateway.port, "ann", *events, k=4)[1]
            history = sorted(events, key=lambda event: event[1])
            assert pairs(content) == client.recommend(history, exclude_seen=False)
            status, content = add(gateway.port, "ann", ("70", NOON))
            assert status == 400 and "items of this model are whole numbers" in content["error"]
            with grpc.insecure_channel(f"127.0.0.1:{gateway.grpc_port}") as channel:
                answer = remote(channel, "AddEvents")(
                    user="ann", events=[rpc.CLASSES["Event"](item="-5", timestamp=NOON + 9)], k=1
                )
                assert answer.items[0].item == str(2**40)


@pytest.mark.integration
def test_a_model_is_asked_for_16_whole_histories_at_once_at_the_most(tmp_path, monkeypatch):
    """Else all users would be replayed at once where a version goes."""
    recommend, running, seen = AsyncClient.recommend, set(), []

    async def counted(*arguments, **named):
        mark = object()
        running.add(mark)
        seen.append(len(running))
        try:
            return await recommend(*arguments, **named)
        finally:
            running.remove(mark)

    monkeypatch.setattr(AsyncClient, "recommend", counted)
    toy.write_toy(tmp_path / "base", has_step=False)
    with Server(tmp_path / "base") as server:
        switch = Switch(server.port)
        given = {"store": str(tmp_path / "users.sqlite"), "timeout": 20}
        with (
            Gateway(f"127.0.0.1:{switch.port}", **given) as gateway,
            ThreadPoolExecutor(40) as pool,
        ):
            assert ask(gateway.port, "GET", "/health")[0] == 200
            switch.delay = 0.5
            found = list(pool.map(lambda n: add(gateway.port, f"u{n}", ("tea", NOON)), range(40)))
            assert [status for status, _ in found] == [200] * 40
        switch.close()
    assert max(seen) == 16


def test_too_much_at_once_is_told_to_come_again(tmp_path):
    """The model is a listener that never answers, so that requests pile up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        given = {"store": str(tmp_path / "users.sqlite"), "max_requests": 3, "timeout": 1.5}
        with Gateway(address, **given) as gateway, ThreadPoolExecutor(6) as pool:
            found = list(
                pool.map(lambda n: ask(gateway.port, "GET", f"/recommendations?user={n}"), range(6))
            )
            statuses = sorted(status for status, _ in found)
            assert statuses == [429] * 3 + [503] * 3
            assert ask(gateway.port, "GET", "/health")[0] == 503


@pytest.mark.integration
def test_tls_on_both_doors(toy_server, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    given = {"store": str(tmp_path / "users.sqlite"), "grpc_port": 0}
    address = f"127.0.0.1:{toy_server.port}"
    with Gateway(address, **given, tls_certificate=certificate, tls_key=key) as gateway:
        context = ssl.create_default_context(cafile=str(certificate))
        url = f"https://127.0.0.1:{gateway.port}/health"
        with urllib.request.urlopen(url, context=context) as answer:
            assert json.load(answer)["status"] == "ok"
        trust = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(f"localhost:{gateway.grpc_port}", trust) as channel:
            assert len(remote(channel, "Recommend")(user="a").items) == 4
    with pytest.raises(ValueError, match="one is nothing without the other"):
        Gateway(address, **given, tls_key=key)
    with (
        pytest.raises(ValueError, match="could not be used"),
        Gateway(address, **given, tls_certificate=key, tls_key=key),
    ):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": -1}, "`port` must be an int of at least 0, but was -1"),
        ({"grpc_port": 70000}, "`grpc_port` must be at most 65535, but was 70000"),
        ({"max_history": 5000}, "`max_history` was 5000, but at most 2048"),
        ({"max_requests": 0}, "`max_requests` must be a positive int"),
        ({"max_skew": -1}, "`max_skew` must be a finite number"),
        ({"keep_days": 0}, "`keep_days` must be a finite number"),
        ({"client_timeout": 0}, "`client_timeout` must be a finite number"),
        ({"model_address": "here"}, "`address` was 'here', but must be host:port"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Gateway(**({"model_address": "127.0.0.1:1"} | arguments))


def test_a_taken_port_is_said_to_be(gateway, tmp_path):
    other = Gateway("127.0.0.1:1", store=str(tmp_path / "users.sqlite"), port=gateway.port)
    with pytest.raises(OSError, match=f"could not listen on 127.0.0.1:{gateway.port}"):
        other.start()
    with pytest.raises(ValueError, match="was started before, but runs once"):
        other.start()


def test_a_missing_extra_says_how_to_get_it():
    with pytest.raises(ImportError, match=r"pip install 'hrec-tf\[serving\]'"):
        require("no_such_module_of_the_extra")


@pytest.mark.integration
def test_the_command_needs_no_tensorflow_and_drains_when_it_is_stopped(toy_server, tmp_path):
    """A request that is being answered when SIGTERM comes gets its answer."""
    code = (
        "import sys, hrec_tf; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from hrec_tf.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    port, store = free_port(), str(tmp_path / "users.sqlite")
    model = Switch(toy_server.port)
    address = f"127.0.0.1:{model.port}"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "gateway", address, "--port", str(port), "--store", store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    try:
        line = process.stdout.readline()
        assert line == f"Gateway of recommender at {address} on 127.0.0.1:{port} (HTTP)\n"
        assert ask(port, "GET", "/health")[0] == 200
        model.delay = 0.8
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(ask, port, "POST", "/events", GOOD | {"k": 1})
            time.sleep(0.3)
            process.terminate()
            time.sleep(0.3)
            assert not late.done()
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
            status, content = late.result()
        assert (status, content["items"][0]["item"]) == (200, "jam")
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()
        model.close()
    held = Store(store)
    assert len(kept(held, "u")) == 1
    held.close()
