"""Versions come and go: policies, labels, other configurations; nobody is left without answer."""

import re
import shutil
import threading
import time

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from hrec_tf import manifest
from hrec_tf.cli.main import main
from hrec_tf.serving import Client, Server, ServingError
from hrec_tf.serving.artefact import Artefact, versions_of
from hrec_tf.serving.model_config import one_model, read_config
from hrec_tf.serving.requests import Limits
from tests.serving import toy
from tests.serving.rest_parts import ROW, asked, predict

pytestmark = pytest.mark.xdist_group("versions")

OTHER = ["jam", "tea", "rum", "gin", "ale", "ø"]
"""The toy's items in another order: after tea comes rum."""


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Folders of versions to be put in place, each made once."""
    base = tmp_path_factory.mktemp("toys")
    toy.write_toy(base, version=1)
    toy.write_toy(base, version=2, raw_ids=OTHER)
    return base


@pytest.fixture
def base(toys, tmp_path):
    """A base path with version 1."""
    shutil.copytree(toys / "1", tmp_path / "base" / "1")
    return tmp_path / "base"


def add(toys, base, version, like=2):
    """Puts a version in place whole, as an export does."""
    shutil.copytree(toys / str(like), base / "part")
    (base / "part").rename(base / str(version))


def config_of(base, more=""):
    text = f"model_config_list {{ config {{ name: 'recommender' base_path: '{base}' {more} }} }}"
    return text_format.Parse(text, ModelServerConfig())


def served_versions(server):
    return server._models.versions()["recommender"]


def after_tea(client):
    return client.recommend(["tea"], k=1)[0].item


def client_of(server):
    # Another try would hide a version that was taken away before it had answered.
    return Client(f"127.0.0.1:{server.port}", timeout=20, retries=0)


def test_a_new_version_is_taken_into_service_by_itself_and_the_old_one_let_go(toys, base):
    with Server(base, poll_seconds=0.05) as server, client_of(server) as client:
        assert after_tea(client) == "jam"
        add(toys, base, 7)
        until = time.monotonic() + 20
        while served_versions(server) != [7]:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert after_tea(client) == "rum"
        assert client.status() == {7: "AVAILABLE", 1: "END"}


def test_no_request_fails_while_versions_are_swapped(toys, base, monkeypatch):
    stop, lists, failed = threading.Event(), [], []
    run = Artefact.run  # slower, so that others always wait for what is run
    monkeypatch.setattr(Artefact, "run", lambda *of: time.sleep(0.01) or run(*of))

    def ask(server):
        with client_of(server) as client:
            while not stop.is_set():
                try:
                    lists.append(after_tea(client))
                except ServingError as error:
                    failed.append(error)

    def ask_over_rest(server, body):
        while not stop.is_set():
            status, answer = predict(server, body)
            if status == 200:
                lists.append(answer["predictions"][0]["item_ids"][0])
            else:
                failed.append(answer)

    # Of many rows: such a body is read in a thread of its own, while versions change.
    row = ROW | {"item_ids": ["tea"], "timestamps": [0], "lengths": 1}
    bodies = [{"instances": [row]}, {"instances": [row] * 900}]
    with Server(base, poll_seconds=0, rest_port=0) as server:
        threads = [threading.Thread(target=ask, args=[server]) for _ in range(6)]
        threads += [threading.Thread(target=ask_over_rest, args=[server, b]) for b in bodies]
        for thread in threads:
            thread.start()
        for version in (2, 3, 4):
            before, begin = len(lists), time.monotonic()
            while len(lists) < before + 10 and time.monotonic() < begin + 60:
                time.sleep(0.01)  # requests are under way when the next version comes
            assert len(lists) >= before + 10, "requests are answered"
            add(toys, base, version, like=1 + version % 2)
            server.poll()
            assert served_versions(server) == [version]
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
    assert {"jam", "rum"} == set(lists) and len(lists) >= 30


def spoilt_in(part):
    def spoil(folder):
        if part == "a file":
            path = folder / "saved_model.pb"
            path.write_bytes(path.read_bytes()[:-100])
            return
        with_bad = folder / toy.WARMUP
        with_bad.write_bytes(with_bad.read_bytes()[:-3])
        (folder / manifest.FILE).unlink()
        manifest.write(folder, kind="saved_model", about={"num_items": len(OTHER)})

    return spoil


@pytest.mark.parametrize("part", ["a file", "the warm-up"])
def test_a_broken_version_is_refused_until_it_is_mended_and_the_old_one_goes_on(
    toys, base, part, caplog
):
    with Server(base, poll_seconds=0) as server, client_of(server) as client:
        add(toys, base, 2)
        whole = (base / "2").rename(base / "whole")
        shutil.copytree(whole, base / "2")
        spoilt_in(part)(base / "2")
        for _ in range(3):
            server.poll()
        assert after_tea(client) == "jam"
        assert len([r for r in caplog.records if "version 2 is not served" in r.message]) == 1
        stub = model_service_pb2_grpc.ModelServiceStub(client._asking._channel)
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "recommender"
        states = stub.GetModelStatus(request, timeout=20).model_version_status
        assert [(s.version, s.state) for s in states] == [(2, 50), (1, 30)]
        said = "cut short" if part == "a file" else "Warm-up record"
        assert said in states[0].status.error_message
        shutil.rmtree(base / "2")
        whole.rename(base / "2")
        server.poll()
        assert after_tea(client) == "rum"


def broken_in(toys, base, version):
    """Puts a version in place that is cut short; returns where the whole one lies."""
    add(toys, base, version)
    whole = (base / str(version)).rename(base / f"whole {version}")
    shutil.copytree(whole, base / str(version))
    spoilt_in("a file")(base / str(version))
    return whole


def test_a_server_begins_with_the_newest_whole_version_until_a_newer_one_is_mended(
    toys, base, caplog
):
    broken_in(toys, base, 2)
    whole = broken_in(toys, base, 3)
    with Server(base, poll_seconds=0) as server, client_of(server) as client:
        assert after_tea(client) == "jam"
        for _ in range(2):
            server.poll()
        assert client.status() == {3: "END", 2: "END", 1: "AVAILABLE"}
        said = [record.getMessage() for record in caplog.records]
        assert [text.partition(" is not served: ")[0] for text in said] == [
            "Model 'recommender' version 3",
            "Model 'recommender' version 2",
        ]
        assert all("cut short" in text for text in said)
        shutil.rmtree(base / "3")
        whole.rename(base / "3")
        server.poll()
        assert after_tea(client) == "rum" and served_versions(server) == [3]


def test_without_a_whole_version_a_server_does_not_begin(toys, base):
    broken_in(toys, base, 2)
    for policy in ("all {}", "specific { versions: 1 versions: 2 }"):
        config = config_of(base, f"model_version_policy {{ {policy} }}")
        with pytest.raises(ValueError, match=r"base/2' has .* cut short"):
            Server(config).start()
    labels = "version_labels { key: 'stable' value: 2 }"
    with pytest.raises(ValueError, match="names version 2, which is not in service"):
        Server(config_of(base, labels)).start()
    spoilt_in("a file")(base / "1")
    with pytest.raises(ValueError, match=r"base/2' has .* cut short"):
        Server(base).start()


def test_versions_whose_names_begin_with_zeros_are_served(toys, base):
    (base / "1").rename(base / "00000001")
    with Server(base, poll_seconds=0) as server, client_of(server) as client:
        assert (server.version, after_tea(client)) == (1, "jam")
        add(toys, base, "07")
        server.poll()
        assert (server.version, after_tea(client)) == (7, "rum")
        server._models.reload(config_of(base, "model_version_policy { specific { versions: 1 } }"))
        assert (served_versions(server), after_tea(client)) == ([1], "jam")
    (base / "7").mkdir()
    assert versions_of(base) == {1: base / "00000001", 7: base / "7"}


def test_a_base_path_that_is_away_is_told_once(base, caplog):
    with Server(base, poll_seconds=0) as server, client_of(server) as client:
        for times in (1, 2):
            away = base.rename(base.with_name("away"))
            for _ in range(3):
                server.poll()
            said = [record.getMessage() for record in caplog.records]
            assert len(said) == times and "'recommender' stays as it is: " in said[-1]
            assert after_tea(client) == "jam"
            away.rename(base)
            server.poll()
        assert len(caplog.records) == 2


def test_policies_and_labels(toys, base):
    add(toys, base, 2)
    add(toys, base, 3, like=1)
    policies = {
        "": [3],
        "model_version_policy { latest { num_versions: 2 } }": [3, 2],
        "model_version_policy { all {} }": [3, 2, 1],
        "model_version_policy { specific { versions: 1 versions: 2 versions: 1 } }": [2, 1],
    }
    for policy, expected in policies.items():
        with Server(config_of(base, policy), poll_seconds=0) as server:
            assert served_versions(server) == expected
    labels = "version_labels { key: 'stable' value: 1 } version_labels { key: 'canary' value: 2 }"
    config = config_of(base, "model_version_policy { all {} } " + labels)
    with (
        Server(config, poll_seconds=0, rest_port=0) as server,
        client_of(server) as client,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(client._asking._channel)
        request = toy.request("", toy.recommend_inputs(item_ids=[["tea"]]))
        row = ROW | {"item_ids": ["tea"], "timestamps": [0], "lengths": 1}
        for label, version, item in (("stable", 1, "jam"), ("canary", 2, "rum")):
            request.model_spec.version_label = label
            answer = stub.Predict(request, timeout=20)
            assert answer.model_spec.version.value == version
            assert answer.outputs["item_ids"].string_val[0] == item.encode()
            path = f"/v1/models/recommender/labels/{label}"
            _, told = asked(server, f"{path}/metadata")
            assert told["model_spec"]["version"] == str(version)
            status, answer = predict(server, {"instances": [row]}, f"{path}:predict")
            assert (status, answer["predictions"][0]["item_ids"][0]) == (200, item)
            # TensorFlow Serving tells the states of all versions, whatever the label.
            status, told = asked(server, path)
            states = told["model_version_status"]
            assert (status, [one["version"] for one in states]) == (200, ["3", "2", "1"])
        request.model_spec.version_label = "beta"
        with pytest.raises(
            grpc.RpcError, match=r"label: beta\. Labels of this model: canary, stabl"
        ):
            stub.Predict(request, timeout=20)


def test_another_configuration_is_taken_whole_or_not_at_all(toys, base, tmp_path):
    add(toys, base, 2)
    other = tmp_path / "other"
    shutil.copytree(toys / "2", other / "5")
    both = config_of(base, "model_version_policy { specific { versions: 1 } }")
    both.model_config_list.config.add(name="other", base_path=str(other))
    with (
        Server(base, poll_seconds=0, allow_reload=True) as server,
        client_of(server) as client,
        Client(client.address, "other") as asks_other,
    ):
        stub = model_service_pb2_grpc.ModelServiceStub(client._asking._channel)

        def reload(config):
            return stub.HandleReloadConfigRequest(
                model_management_pb2.ReloadConfigRequest(config=config), timeout=20
            )

        assert reload(both).status.error_code == 0
        assert (after_tea(client), after_tea(asks_other)) == ("jam", "rum")
        held = server._models.versions()
        twice = config_of(base)
        twice.model_config_list.config.add(name="recommender", base_path=str(other))
        latest_once = config_of(base)  # a policy that only newer definitions have
        latest_once.model_config_list.config[0].model_version_policy.MergeFromString(b"\xba\x06\0")
        not_now = {
            "version 9, which is not in service": config_of(
                base, "version_labels { key: 'stable' value: 9 }"
            ),
            "is to be served in version 8": config_of(
                base, "model_version_policy { specific { versions: 8 } }"
            ),
            "is no folder": one_model("another", tmp_path / "none"),
            "Serve that one by another name": config_of(other),
        }
        never = {
            "names no model": ModelServerConfig(),
            "names 'recommender' twice": twice,
            "only SavedModels": config_of(base, "model_platform: 'other'"),
            "names none": config_of(base, "model_version_policy { specific {} }"),
            "has `logging_config`, but": config_of(base, "logging_config {}"),
            "has a field that is not known here": latest_once,
        }
        for code, wrong in (("FAILED_PRECONDITION", not_now), ("INVALID_ARGUMENT", never)):
            for message, config in wrong.items():
                with pytest.raises(grpc.RpcError) as caught:
                    reload(config)
                assert caught.value.code().name == code
                assert message in caught.value.details()
                assert server._models.versions() == held
        # A label of what this configuration takes away.
        taken = "model_version_policy { specific { versions: 2 } }"
        with pytest.raises(grpc.RpcError, match="version 1, which is not in service"):
            reload(config_of(base, f"{taken} version_labels {{ key: 'stable' value: 1 }}"))
        assert server._models.versions() == held
        assert reload(one_model("other", other)).status.error_code == 0
        with pytest.raises(ServingError, match=r"NOT_FOUND: .*recommender"):
            client.recommend(["tea"])


def test_a_version_that_comes_while_another_is_loaded_takes_nothing_away(toys, base, monkeypatch):
    """A reload keeps what it has loaded: the newest of its beginning."""
    with Server(base, poll_seconds=0) as server:
        add(toys, base, 2)
        load = server._models._load

        def slowly(name, version, *more):
            load(name, version, *more)
            if version == 2:
                add(toys, base, 3)

        monkeypatch.setattr(server._models, "_load", slowly)
        server._models.reload(config_of(base))
        assert served_versions(server) == [2]
        server.poll()
        assert served_versions(server) == [3]


def test_who_uses_a_version_last_does_not_wait_for_its_end(toys, base):
    """The loop of requests is such a one; what ends is a batch that may run for long."""
    with Server(base, poll_seconds=0) as server:
        spec = toy.request("", {}).model_spec
        may_end, ended = threading.Event(), threading.Event()
        with server._models.using(spec) as loaded:
            close = loaded.runner.close

            def slowly():
                may_end.wait(20)
                close()
                ended.set()

            loaded.runner.close = slowly
            add(toys, base, 2)
            server.poll()
        assert not ended.is_set()
        may_end.set()
        assert ended.wait(20)


def test_a_warm_up_is_broken_off_when_the_server_ends(toys, base):
    ending = threading.Event()
    artefact = Artefact(base / "1", 1, limits=Limits(1024, 2**20, 2**25, 2**14))
    count = artefact.warm_up(until=ending)
    assert count == 1
    ending.set()
    with pytest.raises(ValueError, match=r"record 1 of .* could not be run: the server ends"):
        artefact.warm_up(until=ending)
    artefact.close()


def test_nothing_is_loaded_once_a_server_has_ended(toys, base):
    server = Server(base, poll_seconds=0).start()
    server.stop()
    add(toys, base, 2)
    server._models.poll()
    assert server._models.versions() == {}
    with pytest.raises(ValueError, match="The server ends, and takes no configuration"):
        server._models.reload(config_of(base))


def test_a_configuration_is_not_taken_from_anybody(toy_base):
    with Server(toy_base) as server, client_of(server) as client:
        stub = model_service_pb2_grpc.ModelServiceStub(client._asking._channel)
        request = model_management_pb2.ReloadConfigRequest(config=config_of(toy_base))
        with pytest.raises(grpc.RpcError) as caught:
            stub.HandleReloadConfigRequest(request, timeout=20)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def of_a(more):
    return f"model_config_list {{ config {{ name: 'a' base_path: '/b' {more} }} }}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config {", "is no ModelServerConfig"),
        ("", "names no model"),
        ("model_config_list { config { name: 'a' } }", "has the name 'a' and the base path ''"),
        (
            "model_config_list { config { name: 'a' base_path: '/b' }"
            " config { name: 'a' base_path: '/c' } }",
            "names 'a' twice",
        ),
        (of_a("model_version_policy { specific {} }"), "`model_version_policy` names none"),
        (of_a("model_type: OTHER"), "the type number 2, but only SavedModels are served"),
        (of_a("model_type: TENSORFLOW logging_config {}"), "has `logging_config`, but only base"),
        (of_a("model_version_policy { latest_once {} }"), "no field named"),
    ],
)
def test_a_configuration_that_cannot_be_served_says_why(tmp_path, capsys, text, message):
    path = tmp_path / "models.config"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_config(path)
    assert main(["serve", "--model-config", str(path)]) == 1
    assert re.search(rf"^Error: .*{message}", capsys.readouterr().err, re.DOTALL)
