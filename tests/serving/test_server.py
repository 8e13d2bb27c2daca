"""What a server loads and refuses to load, its limits, its start and its end."""

import shutil
import socket
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import prediction_log_pb2, prediction_service_pb2_grpc

from hrec_tf import manifest
from hrec_tf.cli.main import main
from hrec_tf.serving import Client, Server, ServingError, grpc_options
from hrec_tf.serving import server as server_module
from hrec_tf.serving.artefact import newest_version, prepared
from hrec_tf.serving.requests import Limits
from tests.serving import http2, toy

ABOUT = {"num_items": len(toy.TEXT)}


@pytest.fixture
def base(toy_base, tmp_path):
    """A copy of the toy that a test may spoil."""
    return shutil.copytree(toy_base, tmp_path / "base")


def sealed(folder, about=ABOUT):
    """Writes the manifest again, so that only what it lists is wrong."""
    (folder / manifest.FILE).unlink()
    manifest.write(folder, kind="saved_model", about=about)


def test_the_highest_number_is_the_newest(tmp_path):
    for name in ("2", "10", "9", "latest", ".11.x.part", "-12", "1.5", "²"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").write_text("a file, no version")
    assert newest_version(tmp_path) == (10, tmp_path / "10")
    (tmp_path / f"{2**63 - 1}").mkdir()
    assert newest_version(tmp_path)[0] == 2**63 - 1


def test_a_version_that_no_reply_can_name_is_refused(tmp_path):
    for name in ("2", f"{2**63}"):
        (tmp_path / name).mkdir()
    message = f"has the version {2**63}, but versions are at most {2**63 - 1}.* Remove that folder"
    with pytest.raises(ValueError, match=message):
        newest_version(tmp_path)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (
            ".",
            r"holds a saved_model.pb itself, .* Pass the folder above it: .*base\.$",
        ),
        ("variables", r"holds no version: no folder whose name is a whole number"),
        ("nowhere", r"is no folder, but a base path .* Write one: hrec export RUN --saved-model"),
        ("saved_model.pb", r"is no folder, but a base path"),
    ],
)
def test_what_is_no_base_path_is_refused_with_the_cure(base, folder, message):
    with pytest.raises(FileNotFoundError, match=message):
        Server(base / "1" / folder).start()


def test_an_artefact_that_was_changed_is_refused_and_the_port_is_free_again(base):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(base, port=port)
    path = base / "1" / "variables" / "variables.index"
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(ValueError, match=r"'variables/variables.index' .* another SHA-256"):
        server.start()
    with pytest.raises(ValueError, match="Call `start` first"):
        server.port  # noqa: B018, reading it raises
    path.write_bytes(data)
    with Server(base, port=port) as again:
        assert again.port == port
    (base / "1" / manifest.FILE).unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no manifest.json"):
        server.start()


def test_what_is_no_model_is_refused(base):
    (base / "1" / "saved_model.pb").write_bytes(b"none")
    sealed(base / "1")
    with pytest.raises(ValueError, match=r"holds no model that can be loaded: .*Export it again"):
        Server(base).start()


def classify_record():
    log = prediction_log_pb2.PredictionLog()
    log.classify_log.request.model_spec.name = "recommender"
    return log.SerializeToString()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"none", "Warm-up record 2 of .* could not be run: .*Export it again"),
        (classify_record(), "Warm-up record 2 of .*: it is no predict_log"),
        (
            toy.warmup_record(lengths=np.array([7, 7], np.int32)),
            "Warm-up record 2 of .*: Input `exclude_seen` has batch 1, but `lengths` has batch 2",
        ),
    ],
    # Bytes of a message may come in another order in another process.
    ids=["no record", "another kind", "batches that differ"],
)
def test_a_warm_up_that_fails_is_refused(base, record, message):
    with tf.io.TFRecordWriter(str(base / "1" / toy.WARMUP)) as file:
        for one in (toy.warmup_record(), record):
            file.write(one)
    sealed(base / "1")
    with pytest.raises(ValueError, match=message):
        Server(base).start()


def test_warm_up_runs_every_record_and_is_not_needed(base, toy_server):
    assert toy_server._newest().warm_up() == 1
    (base / "1" / toy.WARMUP).unlink()
    sealed(base / "1")
    with Server(base) as server:
        assert server._newest().warm_up() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": -1}, "`port` must be an int of at least 0, but was -1. Pass a free port"),
        ({"port": 65536}, "`port` must be at most 65535, but was 65536"),
        ({"model_name": ""}, "`model_name` was empty"),
        ({"workers": 0}, "`workers` must be a positive int, but was 0"),
        ({"max_batch": 0}, "`max_batch` must be a positive int, but was 0"),
        ({"max_scores": 0}, "`max_scores` must be a positive int, but was 0"),
        ({"max_history": 0}, "`max_history` must be a positive int, but was 0"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        Server(tmp_path, **arguments)


TOGETHER = "max_message_bytes", "connections", "workers", "batch_rows"


@pytest.mark.parametrize("limit", [*Limits._fields, *TOGETHER])
def test_the_command_hands_the_limits_on(toy_base, capsys, limit):
    option = f"--{limit.replace('_', '-')}"
    assert main(["serve", str(toy_base), "--port", "0", option, "0"]) == 1
    assert f"`{limit}` must be a positive int, but was 0" in capsys.readouterr().err


def test_a_port_is_not_shared(toy_base, toy_server):
    """gRPC would let two servers share it, and send requests to either."""
    message = rf"could not listen on 127.0.0.1:{toy_server.port}\. The port must be free"
    with pytest.raises(OSError, match=message):
        Server(toy_base, port=toy_server.port).start()


def test_it_is_asked_by_its_name_until_it_is_stopped(toy_base):
    server = Server(toy_base, model_name="shop")
    with server, Client(f"127.0.0.1:{server.port}", "shop") as client:
        assert server.version == 1
        assert server.signatures == ["recommend", "score", "serving_default", "step"]
        assert client.status() == {1: "AVAILABLE"}
        waiting = threading.Thread(target=server.wait)
        waiting.start()
        server.stop()
        waiting.join(timeout=5)
        assert not waiting.is_alive()
        with pytest.raises(ServingError, match=r"UNAVAILABLE: .*hrec serve DIR"):
            client.status()
    with pytest.raises(ValueError, match="was started before, but runs once"):
        server.start()
    with pytest.raises(ValueError, match="does not run"):
        server.version  # noqa: B018, reading it raises


def test_a_stop_waits_for_who_still_uses_the_model(toy_base, caplog):
    """Past the grace a request gets no answer, but its handler runs on."""
    server = Server(toy_base).start()
    begun, answered = threading.Event(), []
    artefact = server._newest()
    run = artefact.run

    def slow(call, feeds):
        begun.set()
        time.sleep(0.4)
        values = run(call, feeds)
        answered.append(list(call.wanted))
        return values

    artefact.run = slow
    with Client(f"127.0.0.1:{server.port}") as client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.recommend, ["tea"])
        assert begun.wait(timeout=5)
        server.stop(grace=0)
        assert answered == [["item_ids", "scores"]]
        with pytest.raises(ServingError, match=r"CANCELLED|UNAVAILABLE"):
            asked.result(timeout=5)
    assert not caplog.records


def code_and_text(served, request):
    with pytest.raises(grpc.RpcError) as caught:
        served.predict.Predict(request, timeout=20)
    return caught.value.code().name, caught.value.details()


def test_limits(served, toy_server):
    """The session's toy server takes 50 rows of 600 events, and 2000 elements."""
    if not served.is_ours:
        pytest.skip("limits of our own")
    rows = toy.recommend_inputs(item_ids=[["tea"]] * 51)
    assert code_and_text(served, toy.request("", rows)) == (
        "INVALID_ARGUMENT",
        "The batch has 51 rows, but at most 50 are answered at once. Send several requests.",
    )
    wide = toy.request("", toy.recommend_inputs(item_ids=[["tea"] * 1000]))
    code, text = code_and_text(served, wide)
    assert (code, text[:62]) == (
        "INVALID_ARGUMENT",
        "The inputs have 2002 elements, but at most 2000 are read in on",
    )
    events = {"item_ids": [["tea"] * 601], "timestamps": np.zeros((1, 601), np.int64)}
    for alias, values in events.items():
        long = toy.request("", toy.recommend_inputs() | {alias: values})
        assert code_and_text(served, long) == (
            "INVALID_ARGUMENT",
            f"Input `{alias}` has rows of 601 events, but at most 600 are read of one user "
            "(`max_history`). Send the newest.",
        )
    most = toy.request("", toy.recommend_inputs(item_ids=[["tea"] * 600]))
    assert served.predict.Predict(most, timeout=20).outputs
    # A few bytes that claim a large tensor are refused before there is one.
    wide.inputs["item_ids"].tensor_shape.dim[1].size = 2**50
    del wide.inputs["item_ids"].string_val[1:]
    assert "elements, but at most 2000" in code_and_text(served, wide)[1]
    large = toy.request("", toy.recommend_inputs(item_ids=[["t" * (17 * 2**20)]]))
    assert code_and_text(served, large)[0] == "RESOURCE_EXHAUSTED"


def test_more_requests_than_connections_are_refused_and_the_others_answered(toy_base):
    with Server(toy_base, connections=2, workers=1) as server:
        artefact, opened = server._newest(), threading.Event()
        begun, run = threading.Event(), artefact.run

        def held_back(call, feeds):
            begun.set()
            opened.wait(10)
            return run(call, feeds)

        artefact.run = held_back
        asked = toy.request("", toy.recommend_inputs(item_ids=[["tea"]]))
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            first = stub.Predict.future(asked, timeout=20)
            begun.wait(10)
            second = stub.Predict.future(asked, timeout=20)
            until = time.monotonic() + 10
            while not server._waiting() and time.monotonic() < until:
                time.sleep(0.01)
            assert server._waiting() == 1
            with pytest.raises(grpc.RpcError) as caught:
                stub.Predict(asked, timeout=20)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            opened.set()
            assert first.result().outputs == second.result().outputs


def test_requests_that_do_not_come_leave_the_places_to_others(toy_base):
    """pitfalls 4: neither they nor a probe that watches is in work."""
    method = "/tensorflow.serving.PredictionService/Predict"
    with (
        Server(toy_base, connections=1) as server,
        Client(f"127.0.0.1:{server.port}") as client,
        socket.create_connection(("127.0.0.1", server.port)) as silent,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        silent.sendall(http2.asked(method, b"", ends=False))
        health = health_pb2_grpc.HealthStub(channel)
        watched = health.Watch(health_pb2.HealthCheckRequest())
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        assert client.recommend([("tea", 5)])[0][0] == "jam"
        watched.cancel()


def test_messages_on_their_way_are_as_many_as_there_is_memory_for(toy_base, monkeypatch):
    """Each may grow to the largest that is read, and none of them is in work yet."""
    method = "/tensorflow.serving.PredictionService/Predict"
    for size, most in ((2**20, 8), (2**14, 16)):  # of 8 MB together
        monkeypatch.setattr(server_module, "_COMING_BYTES", 2**23)
        with (
            Server(toy_base, connections=2, max_message_bytes=size) as server,
            ExitStack() as stack,
            Client(f"127.0.0.1:{server.port}", retries=0) as client,
        ):
            for number in range(most + 1):
                if number < most:
                    assert client.recommend([("tea", 5)])[0][0] == "jam"
                half = socket.create_connection(("127.0.0.1", server.port))
                stack.enter_context(half).sendall(http2.asked(method, b"", ends=False))
                time.sleep(0.05)
            with pytest.raises(ServingError, match="RESOURCE_EXHAUSTED"):
                client.recommend([("tea", 5)])


def test_one_connection_leaves_room_for_others(toy_base):
    """Sixteen requests may be on their way: it begins twenty, and ends none of them."""
    method = "/tensorflow.serving.PredictionService/Predict"
    with (
        Server(toy_base, connections=2) as server,
        socket.create_connection(("127.0.0.1", server.port)) as greedy,
        Client(f"127.0.0.1:{server.port}", retries=0) as client,
    ):
        greedy.sendall(http2.asked(method, b"", ends=False))
        for stream in range(3, 41, 2):
            greedy.sendall(http2.opened(method, stream))
        time.sleep(0.2)
        assert client.recommend([("tea", 5)])[0][0] == "jam"


def test_a_few_bytes_do_not_ask_for_many_scores(toy_base):
    """One value may stand for many rows, and each row costs the whole catalogue of 6 items."""
    asked = toy.request("", toy.recommend_inputs(item_ids=[["tea"]]))
    with (
        Server(toy_base, max_scores=20) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for rows in (3, 4):
            for tensor in asked.inputs.values():
                tensor.tensor_shape.dim[0].size = rows
            if rows == 3:
                assert len(stub.Predict(asked, timeout=20).outputs["scores"].float_val) == 12
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(asked, timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == (
        "The batch has 4 rows for a catalogue of 6 items, which makes 24 scores, but at most 20 "
        "are computed at once (`max_scores`). Send at most 3 rows in one request."
    )


@pytest.mark.parametrize("about", [{}, {"num_items": 0}, {"num_items": "6"}])
def test_a_manifest_without_the_size_of_the_catalogue_is_refused(base, about):
    sealed(base / "1", about)
    with pytest.raises(ValueError, match=r"says `num_items` .*, but must give .*Export the model"):
        Server(base).start()


def test_a_catalogue_beyond_the_limit_is_refused_at_once(toy_base):
    message = r"`max_scores` was 5, but one row of .* has 6 scores.* Raise it, .*: 192\."
    with pytest.raises(ValueError, match=message):
        Server(toy_base, max_scores=5).start()


def test_a_long_name_is_not_quoted_in_full(served):
    """A status travels in a header: a client would get an error about that instead."""
    inputs = toy.recommend_inputs() | {"x" * 20_000: [1]}
    code, text = code_and_text(served, toy.request("", inputs))
    assert code == "INVALID_ARGUMENT"
    if served.is_ours:
        assert len(text) == 1000


@pytest.mark.parametrize("letter", ["é", "茶", "😀"])
def test_what_is_quoted_fits_into_the_header_in_any_alphabet(served, letter):
    """A letter is up to 12 bytes there, and gRPC refuses long headers now and then."""
    asked = toy.request("", toy.recommend_inputs())
    asked.model_spec.name = letter * 3000
    assert {code_and_text(served, asked)[0] for _ in range(20)} == {"NOT_FOUND"}


def test_an_unexpected_error_is_internal_and_the_server_lives_on(toy_base):
    with Server(toy_base) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with Client(f"127.0.0.1:{server.port}") as client:
            assert client.recommend(k=1)
            server._newest().about = {}
            with pytest.raises(ServingError, match="INTERNAL: KeyError: 'num_items'"):
                client.recommend(k=1)
            assert client.status() == {1: "AVAILABLE"}
        grpc.channel_ready_future(channel).result(timeout=5)


class RunOnly:
    """A Session with the public interface alone."""

    def __init__(self, session):
        self.run = session.run


def test_a_prepared_call_is_a_run_with_and_without_the_private_interface():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        number = tf.compat.v1.placeholder(tf.float32, [None], name="number")
        text = tf.compat.v1.placeholder(tf.string, [None], name="text")
        tf.identity(number - 1, name="less")
        tf.strings.join([text, "é"], name="longer")
        names = ["text:0", "number:0"], ["longer:0", "less:0"]
        assert not hasattr(RunOnly(session), "_make_callable_from_options")
        for call in (prepared(session, *names), prepared(RunOnly(session), *names)):
            for ids in (["b", "ø\0"], []):
                sent = np.array([one.encode() for one in ids], object)
                longer, less = call(sent, np.arange(len(ids), dtype=np.float32))
                assert [one.decode() for one in longer] == [f"{one}é" for one in ids]
                assert less.tolist() == [-1.0, 0.0][: len(ids)]
        # Where this fails, drop the fast way or find its new name.
        assert not isinstance(prepared(session, *names), types.FunctionType)


def test_requests_at_once_do_not_mix(client):
    items = [toy.TEXT[i % 6] for i in range(60)]
    with ThreadPoolExecutor(6) as pool:
        lists = list(pool.map(lambda item: client.recommend([item], exclude_seen=False), items))
    follower = dict(zip(toy.TEXT, [*toy.TEXT[1:], toy.TEXT[0]], strict=True))
    assert [found[0].item for found in lists] == [follower[item] for item in items]


@pytest.mark.parametrize(
    "sent",
    [
        {"message": http2.HALF_A_MESSAGE, "ends": False},
        {"message": http2.MESSAGE_OF_NOTHING, "window": 0},
    ],
    ids=["half a message", "takes no reply"],
)
def test_a_slow_connection_of_grpc_gives_its_place_back(toy_base, monkeypatch, sent):
    monkeypatch.setattr(grpc_options, "CONNECTION_SECONDS", 1.0)
    monkeypatch.setattr(grpc_options, "GRACE_SECONDS", 1.0)
    method = "/tensorflow.serving.PredictionService/Predict"
    with Server(toy_base, connections=1) as server, Client(f"127.0.0.1:{server.port}") as client:
        assert client.metadata()
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(http2.asked(method, **sent))
            assert http2.until_closed(slow, lambda one: one.recv(4096)) < 20
        assert client.recommend([("tea", 5)])[0][0] == "jam"
