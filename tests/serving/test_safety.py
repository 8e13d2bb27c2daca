"""Who may ask, how it is kept secret, and what a server tells of its health while it ends."""

import asyncio
import runpy
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from hrec_tf.cli.main import main
from hrec_tf.serving import TLS, Client, ClientTLS, Gateway, Server, ServingError
from hrec_tf.serving.async_client import AsyncClient
from serving import request
from tests.serving import toy
from tests.serving.gateway_parts import ask

pytestmark = pytest.mark.xdist_group("safety")


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An authority, a server and a client that it vouches for, and a stranger."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("authority", "stranger"):
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"]
        openssl(folder, "req", "-x509", *key, "-out", f"{name}.pem", "-subj", f"/CN={name}")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"]
        openssl(folder, "req", *key, "-out", f"{name}.csr", "-subj", f"/CN={name}")
        sign = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial"]
        extra = ["-extfile", "names", "-days", "1"]
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *sign, *extra, "-out", f"{name}.pem")
    return folder


def predicts(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    asked = toy.request("", toy.recommend_inputs(item_ids=[["tea"]]))
    return stub.Predict(asked, timeout=5).outputs["item_ids"].string_val[0]


def channel_of(server, files, name=None):
    held = [None, None]
    if name is not None:
        held = [(files / f"{name}.key").read_bytes(), (files / f"{name}.pem").read_bytes()]
    credentials = grpc.ssl_channel_credentials((files / "authority.pem").read_bytes(), *held)
    return grpc.secure_channel(f"127.0.0.1:{server.port}", credentials)


def health_over_https(server, files, name=None):
    context = ssl.create_default_context(cafile=str(files / "authority.pem"))
    if name is not None:
        context.load_cert_chain(files / f"{name}.pem", files / f"{name}.key")
    url = f"https://127.0.0.1:{server.rest_port}/health"
    return urllib.request.urlopen(url, timeout=5, context=context).status


def test_an_encrypted_server_is_asked_by_who_knows_its_authority(toy_base, files):
    tls = TLS(files / "server.key", files / "server.pem")
    with Server(toy_base, tls=tls, rest_port=0) as server:
        with channel_of(server, files) as channel:
            assert predicts(channel) == b"jam"
        assert health_over_https(server, files) == 200
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            with pytest.raises(grpc.RpcError) as caught:
                predicts(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}/health", timeout=5)


def test_the_example_of_grpc_asks_over_tls(toy_base, files, monkeypatch, capsys):
    path = Path(__file__).parents[2] / "examples" / "serve_grpc.py"
    tls = TLS(files / "server.key", files / "server.pem")
    with Server(toy_base, tls=tls) as server:
        asked = ["--address", f"127.0.0.1:{server.port}"]
        monkeypatch.setattr(
            sys, "argv", [str(path), *asked, "--tls-servers", str(files / "authority.pem")]
        )
        # The model there knows none of the products that are asked about, and lists its own.
        with pytest.raises(KeyError, match=r"tea"):
            runpy.run_path(str(path), run_name="__main__")
    assert "before: [], now" in capsys.readouterr().out


def test_clients_without_a_certificate_of_the_authority_are_turned_away(toy_base, files):
    tls = TLS(files / "server.key", files / "server.pem", files / "authority.pem")
    with Server(toy_base, tls=tls, rest_port=0) as server:
        with channel_of(server, files, "client") as channel:
            assert predicts(channel) == b"jam"
        assert health_over_https(server, files, "client") == 200
        for name in (None, "stranger"):
            with channel_of(server, files, name) as channel, pytest.raises(grpc.RpcError) as caught:
                predicts(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(OSError):
                health_over_https(server, files, name)


def gateway_over(server, tmp_path, tls):
    """What the gateway's health says, which asks the model."""
    address, store = f"127.0.0.1:{server.port}", str(tmp_path / "users.sqlite")
    with Gateway(address, store=store, model_tls=tls, timeout=2) as gateway:
        return ask(gateway.port, "GET", "/health")[0]


def refused(server, tls):
    with (
        Client(f"127.0.0.1:{server.port}", tls=tls, retries=0) as client,
        pytest.raises(ServingError, match=r"UNAVAILABLE: .* is asked with `tls`, another"),
    ):
        client.recommend(["tea"])


def test_client_and_gateway_ask_a_server_that_encrypts(toy_base, files, tmp_path):
    tls = TLS(files / "server.key", files / "server.pem")
    knows_it = ClientTLS(files / "authority.pem")

    async def in_a_loop(server):
        client = AsyncClient(f"127.0.0.1:{server.port}", tls=knows_it)
        found = await client.recommend(["tea"], k=1)
        await client.close()
        return found

    with Server(toy_base, tls=tls) as server:
        with Client(f"127.0.0.1:{server.port}", tls=knows_it) as client:
            assert client.recommend(["tea"], k=1) == asyncio.run(in_a_loop(server))
        assert gateway_over(server, tmp_path, knows_it) == 200
        for other in (None, ClientTLS(), ClientTLS(files / "stranger.pem")):
            refused(server, other)
        assert gateway_over(server, tmp_path, None) == 503
    with Server(toy_base) as plain:
        refused(plain, knows_it)


def test_the_example_of_a_request_shows_its_certificate(toy_base, files):
    tls = TLS(files / "server.key", files / "server.pem", files / "authority.pem")
    shows = ClientTLS(files / "authority.pem", files / "client.key", files / "client.pem")
    history = [("tea", 5)]
    with Server(toy_base, tls=tls, rest_port=0) as server:
        found = request.over_grpc(f"127.0.0.1:{server.port}", history, "recommender", shows)
        rest = f"https://127.0.0.1:{server.rest_port}"
        assert found == request.over_rest(rest, history, "recommender", shows)
        assert found[0][0] == "jam"
        with pytest.raises(OSError):
            request.over_rest(rest, history, "recommender", ClientTLS(files / "authority.pem"))


def test_client_and_gateway_show_a_certificate_where_they_are_asked(toy_base, files, tmp_path):
    tls = TLS(files / "server.key", files / "server.pem", files / "authority.pem")
    shows = ClientTLS(files / "authority.pem", files / "client.key", files / "client.pem")
    with Server(toy_base, tls=tls) as server:
        with Client(f"127.0.0.1:{server.port}", tls=shows) as client:
            assert client.recommend(["tea"], k=1)[0].item == "jam"
        assert gateway_over(server, tmp_path, shows) == 200
        stranger = shows._replace(key=files / "stranger.key", certificate=files / "stranger.pem")
        for other in (None, ClientTLS(files / "authority.pem"), stranger):
            refused(server, other)
            assert gateway_over(server, tmp_path, other) == 503


def test_files_with_which_no_client_can_encrypt_are_refused(files, capsys):
    key, certificate = files / "client.key", files / "client.pem"
    for tls, message in (
        (ClientTLS(key=key), "`key` was .*client.key' and `certificate` None, but one is nothing"),
        (ClientTLS(files / "names"), r"files '.*names' could not be used \(.*, but must be PEM"),
        (ClientTLS(None, files / "server.key", certificate), "belongs to its certificate. Mend th"),
    ):
        with pytest.raises(ValueError, match=message):
            Client("127.0.0.1:1", tls=tls)
    with pytest.raises(FileNotFoundError, match="none"):
        AsyncClient("127.0.0.1:1", tls=ClientTLS("none"))
    for name, message in (
        ("servers", "No such file or directory: 'none'"),
        ("key", "`key` was 'none' and `certificate` None"),
        ("certificate", "`key` was None and `certificate` 'none'"),
    ):
        assert main(["gateway", "127.0.0.1:1", f"--model-tls-{name}", "none"]) == 1
        assert message in capsys.readouterr().err


def test_files_that_are_no_certificates_are_refused(toy_base, files, tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        Server(toy_base, tls=TLS(tmp_path / "none", tmp_path / "none")).start()
    of_gateway = {"store": str(tmp_path / "users.sqlite"), "tls_certificate": tmp_path / "none"}
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: .*none"):
        Gateway("127.0.0.1:1", **of_gateway, tls_key=tmp_path / "none").start()
    (tmp_path / "text").write_text("no certificate")
    locked = ["-aes256", "-passout", "pass:secret", "-out", str(tmp_path / "locked.key")]
    openssl(files, "pkey", "-in", "server.key", *locked)
    server = files / "server.key", files / "server.pem"
    for wrong in (
        (tmp_path / "text", server[1]),
        (server[0], tmp_path / "text"),
        (files / "client.key", server[1]),
        (tmp_path / "locked.key", server[1]),
        (*server, tmp_path / "text"),
    ):
        with pytest.raises(ValueError, match=r"The files '.*' could not be used \(.* Mend them"):
            Server(tmp_path / "no models", tls=TLS(*wrong)).start()
        if len(wrong) == 2:
            with pytest.raises(ValueError, match="could not be used"):
                Gateway(
                    "127.0.0.1:1",
                    store=str(tmp_path / "users.sqlite"),
                    tls_key=wrong[0],
                    tls_certificate=wrong[1],
                ).start()


@pytest.mark.parametrize("package", ["", "tensorflow.serving."])
@pytest.mark.parametrize("name", ["PredictionService", "ModelService"])
def test_health_is_told_by_the_names_that_probes_ask_for(toy_server, package, name):
    """Those without a package are TensorFlow Serving's, and stand in the files of Kubernetes."""
    with grpc.insecure_channel(f"127.0.0.1:{toy_server.port}") as channel:
        request = health_pb2.HealthCheckRequest(service=package + name)
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_who_is_on_the_way_out_says_so_and_answers_what_is_in_progress(toy_base):
    server, lists = Server(toy_base).start(), []
    with (
        toy.held_back(server) as (begun, opened),
        Client(f"127.0.0.1:{server.port}", timeout=20) as client,
        grpc.insecure_channel(client.address) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="tensorflow.serving.PredictionService")
        assert stub.Check(request, timeout=5).status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        asking = threading.Thread(target=lambda: lists.append(client.recommend(["tea"], k=1)))
        asking.start()
        begun.wait(10)
        ending = threading.Thread(target=server.stop, args=[20])
        ending.start()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError):  # no new ones
            until = time.monotonic() + 10
            while time.monotonic() < until:
                predicts(channel)
        watch.cancel()
        opened.set()
        asking.join()
        ending.join()
    assert lists[0][0].item == "jam"


def test_a_deadline_is_kept_and_the_place_is_free_again(toy_base):
    with Server(toy_base, workers=1) as server:
        with (
            toy.held_back(server) as (_, opened),
            grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            asked = toy.request("", toy.recommend_inputs(item_ids=[["tea"]]))
            for _ in range(2):
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Predict(asked, timeout=0.2)
                assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            # The client's clock rings by itself, the server's a moment later.
            until = time.monotonic() + 5
            while server._waiting() and time.monotonic() < until:
                time.sleep(0.01)
            assert not server._waiting()
            opened.set()
            assert predicts(channel) == b"jam"
        told = server.monitoring.text().decode()
        assert 'code="DEADLINE_EXCEEDED"' in told and 'code="CANCELLED"' not in told
