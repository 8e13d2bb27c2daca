"""REST: the answers of gRPC as JSON, TensorFlow Serving's way; what is wrong gets its code."""

import json
import random
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from hrec_tf.serving import Client, Server, http_runner

ROW = {"item_ids": ["tea", "jam"], "timestamps": [0, 1], "lengths": 2, "exclude_seen": True}
BATCH = {
    "item_ids": [["tea", "jam"], ["rum", "gin"]],
    "timestamps": [[0, 1], [0, 1]],
    "lengths": [2, 2],
    "exclude_seen": [True, False],
}


@pytest.fixture(scope="module")
def server(toy_base):
    with Server(toy_base, rest_port=0, max_message_bytes=2**16) as server:
        yield server


def asked(server, path, body=None, method=None):
    """Status and JSON of an answer; `body` is what is sent as JSON, or bytes as they are."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{server.rest_port}{path}"
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
            is_json = answer.headers["Content-Type"].startswith("application/json")
            return answer.status, json.loads(text) if is_json else text
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def predict(server, body, path="/v1/models/recommender:predict"):
    return asked(server, path, body)


def test_rows_and_columns_are_answered_as_grpc_does(server):
    with Client(f"127.0.0.1:{server.port}") as client:
        best = client.recommend(["tea", "jam"])
    status, answer = predict(server, {"instances": [ROW], "signature_name": "recommend"})
    assert status == 200
    row = answer["predictions"][0]
    filled = [
        item for item, score in zip(row["item_ids"], row["scores"], strict=True) if score > -1
    ]
    assert filled == [one.item for one in best]
    assert row["scores"][: len(best)] == pytest.approx([one.score for one in best])
    status, answer = predict(server, {"inputs": BATCH})
    assert (status, set(answer["outputs"])) == (200, {"item_ids", "scores", "state", "state_info"})
    assert answer["outputs"]["item_ids"][0] == row["item_ids"]
    # One output goes without its name, and text may come as base64.
    coded = {"b64": "dGVh"}
    history = {"item_ids": [["tea"]], "timestamps": [[0]], "lengths": [1]}
    scores = {"signature_name": "score", "inputs": history | {"candidates": [["jam", coded]]}}
    status, answer = predict(server, scores)
    assert (status, answer["outputs"]) == (200, [[15.0, 6.0]])


def test_a_large_body_is_answered_as_a_small_one(toy_base):
    """It is read beside the loop, in a thread."""
    rows = [ROW | {"exclude_seen": bool(row % 2)} for row in range(1_000)]
    with Server(toy_base, rest_port=0) as server:
        one_by_one = [
            predict(server, {"instances": [row]})[1]["predictions"][0] for row in rows[:2]
        ]
        assert len(json.dumps({"instances": rows})) > 2**16
        status, answer = predict(server, {"instances": rows})
        assert (status, answer["predictions"]) == (200, one_by_one * 500)
        text = {"instances": [*rows, ROW | {"lengths": "two"}]}
        status, answer = predict(server, text)
        assert status == 400 and "`lengths` is no tensor" in answer["error"]


def test_states_metadata_health_and_metrics(server):
    status, answer = asked(server, "/v1/models/recommender")
    assert status == 200
    [state] = answer["model_version_status"]
    assert (state["version"], state["state"]) == ("1", "AVAILABLE")
    for path in ("/versions/1", ""):
        status, answer = asked(server, f"/v1/models/recommender{path}/metadata")
        assert status == 200
        signatures = answer["metadata"]["signature_def"]["signature_def"]
        assert signatures["step"]["inputs"]["state"]["dtype"] == "DT_FLOAT"
    assert asked(server, "/health") == (200, {"status": "SERVING", "models": {"recommender": [1]}})
    predict(server, {"instances": [ROW]})
    for path in ("/metrics", "/monitoring/prometheus/metrics"):
        status, text = asked(server, path)
        assert 'hrec_requests_total{code="OK",method="POST",protocol="rest"}' in text
        assert 'hrec_model_version{model="recommender",version="1"} 1.0' in text
        assert "hrec_batch_rows_count" in text


WRONG = {
    "no JSON": (b"{", 400, "is no JSON"),
    "deep": (b"[" * 60_000, 400, "is no JSON"),
    "no object": ([], 400, "`instances` or `inputs`"),
    "both": ({"instances": [ROW], "inputs": BATCH}, 400, "either"),
    "more": ({"instances": [ROW], "labels": 1}, 400, "The body has labels"),
    "no rows": ({"instances": []}, 400, "at least one row"),
    "rows that differ": ({"instances": [ROW, {}]}, 400, "all have the same inputs"),
    "an input too few": ({"inputs": {"lengths": [2]}}, 400, "but came with lengths"),
    "text for a number": ({"instances": [ROW | {"lengths": "2"}]}, 400, "no tensor of int32"),
    "too large": ({"instances": [ROW | {"lengths": 2**40}]}, 400, "beyond int32"),
    "larger still": ({"instances": [ROW | {"lengths": 2**70}]}, 400, "no tensor of int32"),
    "a fraction": ({"instances": [ROW | {"lengths": 2.5}]}, 400, "no tensor of int32"),
    "a number for text": ({"instances": [ROW | {"item_ids": ["tea", 1]}]}, 400, "1 is no text"),
    "ragged": ({"inputs": BATCH | {"item_ids": [["tea"], ["a", "b"]]}}, 400, "not of one length"),
    "no base64": ({"instances": [ROW | {"item_ids": [{"b64": "?"}, "a"]}]}, 400, "no base64"),
    "another signature": ({"instances": [ROW], "signature_name": "guess"}, 400, "not found"),
    "times that go back": ({"instances": [ROW | {"timestamps": [1, 0]}]}, 400, "must not go back"),
    "too much": ({"instances": [ROW] * 1000}, 413, "too large"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_gets_its_code(server, name):
    body, code, message = WRONG[name]
    status, answer = predict(server, body)
    assert (status, message in answer["error"]) == (code, True), answer


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("/v1/models/other:predict", 404, "Servable not found"),
        ("/v1/models/recommender/versions/9:predict", 404, "recommender version 9"),
        ("/v1/models/recommender/versions/none:predict", 400, "is not known"),
        ("/v1/models/recommender/labels/beta:predict", 400, "label: beta"),
        ("/v1/models/recommender:classify", 400, "POST of a model with :predict"),
    ],
)
def test_paths_that_are_not_there(server, path, code, message):
    status, answer = predict(server, {"instances": [ROW]}, path)
    assert (status, message in answer["error"]) == (code, True), answer


def test_any_bytes_are_answered_and_the_server_goes_on(server):
    draw = random.Random(0)
    whole = json.dumps({"instances": [ROW]}).encode()

    def spoilt(_):
        body = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(body))
            body[place : place + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
        return predict(server, bytes(body))[0]

    with ThreadPoolExecutor(4) as pool:
        codes = set(pool.map(spoilt, range(300)))
    assert codes <= {200, 400} and 400 in codes
    assert predict(server, {"instances": [ROW]})[0] == 200


def test_a_port_that_is_taken_is_named_and_grpc_is_not_left_open(toy_base, server):
    with pytest.raises(OSError, match=rf":{server.rest_port} for REST"):
        Server(toy_base, rest_port=server.rest_port).start()


def test_it_ends_with_the_server(toy_base):
    with Server(toy_base, rest_port=0) as other:
        port = other.rest_port
        assert asked(other, "/health")[0] == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)


def test_a_connection_without_a_request_is_closed_and_others_are_not(server, monkeypatch):
    """pitfalls 4: open connections that send nothing, or a head byte by byte, use no socket up."""
    monkeypatch.setattr(http_runner, "HEAD_SECONDS", 1.0)
    address = "127.0.0.1", server.rest_port
    head = b"GET /health HTTP/1.1\r\nHost: x\r\n"
    connections = [socket.create_connection(address, timeout=30) for _ in range(3)]
    with connections[0] as silent, connections[1] as slow, connections[2] as asking:
        begin = time.monotonic()
        for place in range(3):
            slow.sendall(head[place : place + 1])
            time.sleep(0.1)
        asking.sendall(head + b"\r\n")
        assert asking.recv(12) == b"HTTP/1.1 200"
        for broken in (silent, slow):
            assert broken.recv(1) == b""
        assert 0.9 < time.monotonic() - begin < 20
        # One that asked in time may ask again later.
        while asking.recv(4096)[-1:] != b"}":
            pass
        asking.sendall(head + b"\r\n")
        assert asking.recv(12) == b"HTTP/1.1 200"
