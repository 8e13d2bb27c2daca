"""What goes wrong around a server: it is killed, asked nonsense or asked slowly, and goes on."""

import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.serving import Client, Server, ServingError, protocol
from tests.serving import toy

pytestmark = pytest.mark.integration
KNOWN = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}


class Process:
    """`hrec serve` in a process of its own."""

    def __init__(self, base, port=0, *more):
        command = [sys.executable, "-m", "hrec_tf.cli.main", "serve", str(base)]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), *more], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.port = int(line.partition(" (gRPC)")[0].rpartition(":")[2])

    @property
    def megabytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        [size] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        return int(size) / 1024

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(30)
        self.process.stdout.close()


def first(client):
    return client.recommend(["tea"], k=1)[0].item


def test_a_server_that_is_killed_under_load_is_asked_again_when_it_is_back(toy_base):
    lists, errors, stop = [], [], threading.Event()

    def ask(port):
        with Client(f"127.0.0.1:{port}", timeout=2) as client:
            while not stop.is_set():
                try:
                    lists.append((time.monotonic(), first(client)))
                except ServingError as error:
                    errors.append(error)
                    time.sleep(0.05)

    with Process(toy_base) as one:
        threads = [threading.Thread(target=ask, args=[one.port]) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(lists) < 50:
            time.sleep(0.01)
        one.end(signal.SIGKILL)
    with Process(toy_base, one.port):
        back = time.monotonic()
        until = back + 30
        while sum(second > back for second, _ in lists) < 50 and time.monotonic() < until:
            time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(second > back for second, _ in lists) >= 50
    assert {item for _, item in lists} == {"jam"}
    assert {error.code for error in errors} <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


def test_a_question_survives_a_server_that_is_gone_for_a_moment(toy_base):
    with Server(toy_base) as one, Client(f"127.0.0.1:{one.port}", timeout=30, retries=20) as client:
        assert first(client) == "jam"
        port = one.port
        one.stop()
        again = Server(toy_base, port=port)
        coming = threading.Timer(0.15, again.start)
        coming.start()
        assert first(client) == "jam"
        coming.join()
        again.stop()


def malformed(draw):
    """A request with one or two things wrong, or bytes that were bent; and whether it is bytes."""
    inputs = {
        "item_ids": np.array([["tea", "jam"]], object),
        "timestamps": np.array([[0, 1]]),
        "lengths": np.array([2], np.int32),
        "exclude_seen": np.array([True]),
    }
    asked = toy.request(draw.choice(["", "recommend", "guess"]), inputs)
    name = draw.choice(list(inputs))
    tensor = asked.inputs[name]
    match draw.randrange(9):
        case 0:
            tensor.dtype = draw.randrange(40)
        case 1:
            tensor.tensor_shape.dim[0].size = draw.choice([-7, 0, 2, 2**31, 2**62])
        case 2:
            tensor.tensor_shape.dim.add().size = draw.choice([0, 1, 2**40])
        case 3:
            del asked.inputs[name]
        case 4:
            asked.inputs["k"].CopyFrom(tf.make_tensor_proto([2**31 - 1]))
        case 5:
            asked.inputs["timestamps"].CopyFrom(tf.make_tensor_proto([[1.0, float("nan")]]))
        case 6:
            asked.inputs["lengths"].CopyFrom(tf.make_tensor_proto(np.array([-1], np.int32)))
        case 7:
            asked.output_filter.append(draw.choice(["scores", "k", ""]))
            asked.model_spec.name = draw.choice(["recommender", "other", ""])
        case 8:
            sent = bytearray(asked.SerializeToString())
            for _ in range(draw.randint(1, 5)):
                sent[draw.randrange(len(sent))] = draw.randrange(256)
            return bytes(sent)
    return asked.SerializeToString()


def test_ten_thousand_malformed_requests_get_their_codes_and_take_no_memory(toy_base):
    draw = random.Random(1)
    messages = [malformed(draw) for _ in range(10_000)]
    with Process(toy_base) as one, grpc.insecure_channel(f"127.0.0.1:{one.port}") as channel:
        call = channel.unary_unary(protocol.PREDICT)

        def code_of(message):
            try:
                call(message, timeout=20)
            except grpc.RpcError as error:
                return error.code().name
            return "OK"

        with ThreadPoolExecutor(8) as pool:
            codes = [*pool.map(code_of, messages[:2000])]
            before = one.megabytes
            codes += pool.map(code_of, messages[2000:])
        assert one.megabytes < before + 40
        with Client(f"127.0.0.1:{one.port}") as client:
            assert first(client) == "jam"
        assert one.end() == 0
    # What cannot be read as a message at all is INTERNAL, which gRPC itself answers.
    counts = {code: codes.count(code) for code in set(codes)}
    assert set(counts) <= KNOWN | {"OK", "INTERNAL"}, counts
    assert counts["INVALID_ARGUMENT"] > 2000 and counts["NOT_FOUND"] > 100, counts


def test_slow_clients_do_not_keep_others_from_being_answered(toy_base):
    with Process(toy_base, 0, "--rest-port", "0") as one:
        slow = []
        for _ in range(100):
            connection = socket.create_connection(("127.0.0.1", one.port))
            connection.send(b"PRI * HTTP/2.0\r\n")  # and never the rest
            slow.append(connection)
        with Client(f"127.0.0.1:{one.port}") as client:
            assert [first(client) for _ in range(20)] == ["jam"] * 20
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("seconds", [60])
def test_a_minute_of_load_leaves_memory_where_it_was(toy_base, seconds):
    with Process(toy_base) as one, Client(f"127.0.0.1:{one.port}") as client:
        _, state = client.replay([("tea", 0)])
        sizes, begin = [], time.monotonic()
        while time.monotonic() < begin + seconds:
            for _ in range(200):
                client.step("jam", 60, state)
                client.recommend([("tea", 0), ("rum", 30)])
            sizes.append(one.megabytes)
        settled = sizes[len(sizes) // 4]
        assert max(sizes) < settled + 20, sizes
