"""serving/: what is deployed has the names, paths and ports of `hrec serve` and of the export."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hrec_tf.cli.serve import MODEL_NAME, serve
from hrec_tf.serving import Client, Server
from serving import request
from tests.serving import toy

FOLDER = Path(__file__).parents[2] / "serving"
DEFAULTS = {name: one.default for name, one in inspect.signature(serve).parameters.items()}
DEFAULTS["model_name"] = MODEL_NAME  # where none is given


def service(name="compose.yaml"):
    (found,) = yaml.safe_load((FOLDER / "tf_serving" / name).read_text(encoding="utf-8"))[
        "services"
    ].items()
    assert found[0] == "serving"
    return found[1]


def test_defaults_are_those_of_server_and_client():
    ours = inspect.signature(Server).parameters
    assert ours["model_name"].default == DEFAULTS["model_name"]
    assert ours["address"].default == DEFAULTS["address"]
    assert inspect.signature(Client).parameters["model_name"].default == DEFAULTS["model_name"]


def test_container_serves_the_same_model_on_the_same_ports():
    found, name = service(), DEFAULTS["model_name"]
    assert found["environment"] == {"MODEL_NAME": name}
    grpc, rest = DEFAULTS["port"], DEFAULTS["port"] + 1
    here = DEFAULTS["address"]
    assert found["ports"] == [f"{here}:{grpc}:{grpc}", f"{here}:{rest}:{rest}"]
    volume, _ = found["volumes"]
    assert volume["target"] == f"/models/{name}"  # the image's entry point looks there
    assert volume["read_only"] is True
    assert volume["source"].startswith("${HREC_SAVED_MODEL:?")
    check = found["healthcheck"]["test"][-1]
    assert f"/dev/tcp/127.0.0.1/{rest} " in check
    assert f"GET /v1/models/{name} " in check


def test_gpu_differs_in_image_and_device_alone():
    found = service("compose.gpu.yaml")
    assert set(found) == {"image", "deploy"}
    assert found["image"] == f"{service()['image']}-gpu"
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+-gpu", found["image"])
    (device,) = found["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_readme_names_what_is_there():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"serving/([\w./]+\.(?:md|py|sh))", text):
        assert (FOLDER / name).is_file(), name
    assert f'gRPC on {DEFAULTS["address"]}:{DEFAULTS["port"]}, model "recommender"' in text


def send(client, content):
    """Sends a body for REST over gRPC; returns its inputs as arrays."""
    wanted = client.metadata().signatures[content["signature_name"]]["inputs"]
    assert set(content["inputs"]) == set(wanted)
    types = {"string": object, "int64": np.int64, "int32": np.int32, "bool": np.bool_}
    inputs = {
        name: np.array(values, types[wanted[name][0]]) for name, values in content["inputs"].items()
    }
    method = client._asking._channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    asked = toy.request(content["signature_name"], inputs)
    assert method(asked.SerializeToString(), timeout=20)
    return inputs


def test_bodies_for_rest_fit_the_signature(client):
    sent = send(client, request.body([("tea", 5), ("a@b", 6)], {}))
    assert sent["lengths"].tolist() == [2]
    told = request.body([("tea", 5), ("jam", 6)], {"item_ids": {}, "at": {}})["inputs"]
    assert told["at"] == [6] and request.body([], {"at": {}})["inputs"]["at"] == [0]
    assert request.read_event("a@b@7") == ("a@b", 7)
    script = (FOLDER / "request.sh").read_text(encoding="utf-8")
    send(client, json.loads(script.split("<<'JSON'\n")[1].split("JSON\n")[0]))
    assert f"/v1/models/{DEFAULTS['model_name']}" in script


def test_places_of_a_reply_over_rest_go_by_score():
    reply = {"item_ids": [[70, -1, -1, -1]], "scores": [[2.5, -1e30, -3.40282347e38, -3.40282e38]]}
    assert request.filled(reply) == [(70, 2.5), (-1, -1e30)]


@pytest.mark.integration
def test_the_example_of_a_request_prints_a_list(client):
    command = [sys.executable, str(FOLDER / "request.py"), "--grpc", client.address]
    process = subprocess.run(
        [*command, "tea@1700000000", "jam@1700000060"], capture_output=True, text=True
    )
    assert process.stdout.splitlines()[0] == "  14.0000  rum", process.stderr
    assert len(process.stdout.splitlines()) == toy.K


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tea@9", "jam@8"], "Error: Times of `history` go back at row 1 (8 after 9)"),
        (["--model-name", "other"], "Error: "),
        (["tea"], "'tea' is no event. Write item@seconds"),
        (["--rest", "http://x", "--tls-servers", "x"], "no use for http://x. Write https://, or"),
    ],
)
def test_the_example_of_a_request_says_what_is_wrong(client, arguments, message):
    command = [sys.executable, str(FOLDER / "request.py"), "--grpc", client.address]
    process = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert process.returncode != 0 and process.stdout == ""
    assert message in process.stderr and "Traceback" not in process.stderr


@pytest.mark.integration
def test_scripts_are_valid_bash():
    script = str(FOLDER / "request.sh")
    process = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
