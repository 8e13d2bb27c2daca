"""REST: the answers of gRPC as JSON, TensorFlow Serving's way; what is wrong gets its code.

What is part of the protocol is also asked of a TensorFlow Serving, where
HREC_TF_SERVING_REST=host:port names one, as in test_requests.py.
"""

import json
import os
import random
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from hrec_tf.serving import Client, Server, http_runner
from tests.serving.rest_parts import PREDICT, ROW, asked, predict
from tests.serving.signature_inputs import filled_json

VARIABLE = "HREC_TF_SERVING_REST"


class Rest(NamedTuple):
    """A server of REST that is asked for its first items, which the suite does not know."""

    address: str
    items: list
    signatures: dict  # as the server tells of them
    is_ours: bool

    @property
    def row(self):
        return self.row_of("recommend", self.items[:2])

    @property
    def batch(self):
        given = {
            "item_ids": [self.items[:2], self.items[2:4]],
            "timestamps": [[0, 1], [0, 1]],
            "lengths": [2, 2],
            "exclude_seen": [True, False],
        }
        return filled_json(self.signatures["recommend"]["inputs"], given)

    def row_of(self, signature, items, **others):
        given = ROW | {"item_ids": items, "timestamps": [*range(len(items))], "lengths": len(items)}
        batch = {name: [values] for name, values in (given | others).items()}
        made = filled_json(self.signatures[signature]["inputs"], batch)
        return {name: rows[0] for name, rows in made.items()}

    @property
    def outputs(self):
        return set(self.signatures["recommend"]["outputs"])


@pytest.fixture(scope="module")
def server(toy_base):
    with Server(toy_base, rest_port=0, max_message_bytes=2**16) as server:
        yield server


@pytest.fixture(scope="module")
def rest(request):
    """What answers the requests of the protocol."""
    address = os.environ.get(VARIABLE)
    is_ours = address is None
    if address is None:
        address = f"127.0.0.1:{request.getfixturevalue('server').rest_port}"
    _, told = asked(address, "/v1/models/recommender/metadata")
    signatures = told["metadata"]["signature_def"]["signature_def"]
    is_text = signatures["recommend"]["inputs"]["item_ids"]["dtype"] == "DT_STRING"
    nobody = Rest(address, [], signatures, is_ours)
    row = nobody.row_of("recommend", ["never seen" if is_text else -(2**62)])
    _, answer = asked(address, PREDICT, {"instances": [row]})
    return nobody._replace(items=answer["predictions"][0]["item_ids"])


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
    # Text may come as base64.
    coded = {"b64": "dGVh"}
    history = {"item_ids": [["tea"]], "timestamps": [[0]], "lengths": [1]}
    scores = {"signature_name": "score", "inputs": history | {"candidates": [["jam", coded]]}}
    status, answer = predict(server, scores)
    assert (status, answer["outputs"]) == (200, [[15.0, 6.0]])


def test_rows_and_columns_are_answered_alike(rest):
    status, by_row = predict(rest.address, {"instances": [rest.row], "signature_name": "recommend"})
    assert status == 200
    [row] = by_row["predictions"]
    assert set(row) == rest.outputs
    status, by_column = predict(rest.address, {"inputs": rest.batch})
    assert (status, set(by_column["outputs"])) == (200, rest.outputs)
    assert by_column["outputs"]["item_ids"][0] == row["item_ids"]
    # One output goes without its name, and so may rows and columns of one.
    row = rest.row_of("score", rest.items[:2], candidates=rest.items[:3])
    body = {"signature_name": "score", "instances": [row]}
    status, scores = predict(rest.address, body)
    assert status == 200 and len(scores["predictions"][0]) == 3
    columns = {name: [values] for name, values in row.items()}
    status, again = predict(rest.address, {"signature_name": "score", "inputs": columns})
    assert (status, again["outputs"]) == (200, scores["predictions"])


def test_a_version_may_be_named_and_tells_its_state(rest):
    status, answer = asked(rest.address, "/v1/models/recommender")
    assert status == 200
    fine = {"error_code": "OK", "error_message": ""}
    served = [s for s in answer["model_version_status"] if s["state"] == "AVAILABLE"]
    newest = served[0]["version"]
    assert served[0] == {"version": newest, "state": "AVAILABLE", "status": fine}
    if rest.is_ours:
        assert answer == {"model_version_status": [served[0]]} and newest == "1"
    # A label says nothing here, be it one that nobody has.
    _, by_label = asked(rest.address, "/v1/models/recommender/labels/nobody")
    assert by_label == answer
    status, one = asked(rest.address, f"/v1/models/recommender/versions/{newest}")
    assert (status, one) == (200, {"model_version_status": [served[0]]})
    for path in (f"/versions/{newest}", ""):
        status, answer = asked(rest.address, f"/v1/models/recommender{path}/metadata")
        assert status == 200
        spec = {"name": "recommender", "signature_name": "", "version": newest}
        assert answer["model_spec"] == spec
        signatures = answer["metadata"]["signature_def"]["signature_def"]
        scores = signatures["recommend"]["outputs"]["scores"]
        assert (scores["dtype"], scores["tensor_shape"]["unknown_rank"]) == ("DT_FLOAT", False)
        sizes = [(dim["size"], dim["name"]) for dim in scores["tensor_shape"]["dim"]]
        assert sizes[0] == ("-1", "") and len(sizes) == 2
    path = f"/v1/models/recommender/versions/{newest}:predict"
    assert predict(rest.address, {"instances": [rest.row]}, path)[0] == 200


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


def test_health_and_metrics(server):
    assert asked(server, "/health") == (200, {"status": "SERVING", "models": {"recommender": [1]}})
    predict(server, {"instances": [ROW]})
    for path in ("/metrics", "/monitoring/prometheus/metrics"):
        _, text = asked(server, path)
        assert 'hrec_requests_total{code="OK",method="POST",protocol="rest"}' in text
        assert 'hrec_model_version{model="recommender",version="1"} 1.0' in text
        assert "hrec_batch_rows_count" in text


# Of the parts of a right request, a body that is wrong, and what is said of it.
WRONG = {
    "no JSON": (lambda row, batch: b"{", "is no JSON"),
    "no object": (lambda row, batch: [], "`instances` or `inputs`"),
    "both": (lambda row, batch: {"instances": [row], "inputs": batch}, "either"),
    "half a letter": (
        lambda row, batch: b'{"inputs": {}, "signature_name": "\\ud800"}',
        "a `signature_name` that is no text",
    ),
    "no rows": (lambda row, batch: {"instances": []}, "at least one row"),
    "rows that differ": (lambda row, batch: {"instances": [row, {}]}, "all have the same inputs"),
    "an input too few": (lambda row, batch: {"inputs": {"lengths": [2]}}, "but came with lengths"),
    "text for a number": (lambda row, batch: of_lengths(row, "2"), "no tensor of int32"),
    "too large": (lambda row, batch: of_lengths(row, 2**40), "beyond int32"),
    "larger still": (lambda row, batch: of_lengths(row, 2**70), "no tensor of int32"),
    "a fraction": (lambda row, batch: of_lengths(row, 2.5), "no tensor of int32"),
    "a bool among numbers": (
        lambda row, batch: {"inputs": batch | {"lengths": [True, 2]}},
        "bool among numbers",
    ),
    "another type": (lambda row, batch: of_items(row, [True, None]), "is no text"),
    "ragged": (
        lambda row, batch: {"inputs": batch | {"item_ids": [[batch["item_ids"][0][0]], []]}},
        "not of one length",
    ),
    "no base64": (lambda row, batch: of_items(row, [{"b64": "?"}] * 2), "no base64"),
    "another signature": (
        lambda row, batch: {"instances": [row], "signature_name": "guess"},
        "not found",
    ),
    "times that go back": (
        lambda row, batch: {"instances": [row | {"timestamps": [1, 0]}]},
        "must not go back",
    ),
}
# Checks of our own, or nothing to send to others' servers.
WRONG_FOR_US = {
    "deep": (b"[" * 60_000, 400, "is no JSON"),
    "more": ({"instances": [ROW], "labels": 1}, 400, "The body has labels"),
    "too much": ({"instances": [ROW] * 1000}, 413, "too large"),
}


def of_lengths(row, length):
    return {"instances": [row | {"lengths": length}]}


def of_items(row, items):
    return {"instances": [row | {"item_ids": items}]}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_gets_its_code(rest, name):
    body, message = WRONG[name]
    status, answer = predict(rest.address, body(rest.row, rest.batch))
    assert status == 400, answer
    assert message in answer["error"] or not rest.is_ours, answer


@pytest.mark.parametrize("name", WRONG_FOR_US)
def test_what_is_wrong_for_us_gets_its_code(server, name):
    body, code, message = WRONG_FOR_US[name]
    status, answer = predict(server, body)
    assert (status, message in answer["error"]) == (code, True), answer


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("other:predict", 404, "Servable not found"),
        ("recommender/versions/1000000:predict", 404, "recommender version 1000000"),
        ("recommender/versions/none:predict", 400, "is not known"),
        ("recommender/labels/nobody:predict", 400, "label: nobody"),
        ("other/labels/nobody:predict", 400, "label: nobody"),
        ("recommender:guess", 400, "POST of a model with :predict"),
    ],
)
def test_paths_that_are_not_there(rest, path, code, message):
    status, answer = predict(rest.address, {"instances": [rest.row]}, f"/v1/models/{path}")
    assert status == code, answer
    assert message in answer["error"] or not rest.is_ours, answer


@pytest.mark.parametrize(
    "path", ["other", "other/labels/nobody", "other/metadata", "recommender/versions/1000000"]
)
def test_states_of_what_is_not_there(rest, path):
    assert asked(rest.address, f"/v1/models/{path}")[0] == 404


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


def test_what_is_no_http_is_logged_without_its_address(server, caplog):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=30) as connection:
        connection.sendall(b"GET /v1/models/user4711 HTTP/9.9\r\n\r\n")
        assert connection.recv(12)[-4:] == b" 400"
    assert caplog.messages == ["Error handling request from 127.0.0.1: BadStatusLine."]
    assert "user4711" not in caplog.text
