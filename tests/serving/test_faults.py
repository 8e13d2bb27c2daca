"""What goes wrong around a server: it is killed, asked nonsense or asked slowly, and goes on."""

import ctypes
import http.client
import json
import queue
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import grpc
import numpy as np
import pytest

from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.export import export_saved_model
from hrec_tf.models import HRNN
from hrec_tf.recommender import Recommender
from hrec_tf.serving import Client, Server, ServingError, protocol
from tests.serving import malformed, toy
from tests.serving.gateway_parts import NOON, add, ask, free_port, running_command, running_redis

pytestmark = pytest.mark.integration
in_one_process = pytest.mark.xdist_group("running server")


def megabytes(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    [size] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
    return int(size) / 1024


class Process:
    """`hrec serve` in a process of its own."""

    def __init__(self, base, port=0, *more):
        command = [sys.executable, "-m", "hrec_tf.cli.main", "serve", str(base)]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), *more], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        self.port, *self.rest_ports = map(int, re.findall(r":(\d+) \((?:gRPC|REST)\)", line))

    @property
    def megabytes(self):
        return megabytes(self.process.pid)

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


def answers_watched(one, ask, requests):
    """Asks all of them, eight at a time; the server's memory settles in the first fifth."""
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(ask, requests[: len(requests) // 5])]
        before = one.megabytes
        answers += pool.map(ask, requests[len(requests) // 5 :])
    assert one.megabytes < before + 40
    with Client(f"127.0.0.1:{one.port}") as client:
        assert first(client) in toy.TEXT
    return answers


def codes_that_fit(one, requests):
    """The codes of (message, codes of which it must get one), by gRPC."""
    with grpc.insecure_channel(f"127.0.0.1:{one.port}") as channel:
        call = channel.unary_unary(protocol.PREDICT)

        def code_of(request):
            try:
                call(request[0], timeout=60)
            except grpc.RpcError as error:
                return error.code().name
            return "OK"

        answers = answers_watched(one, code_of, requests)
    for (message, codes), answer in zip(requests, answers, strict=True):
        assert answer in codes, message[-500:]
    return answers


@pytest.fixture(scope="module")
def running(toy_base):
    """One server for all that it must outlive."""
    with Process(toy_base, 0, "--rest-port", "0") as one:
        yield one
        assert one.end() == 0


@in_one_process
def test_ten_thousand_malformed_requests_get_their_codes_and_take_no_memory(running):
    draw = random.Random(1)
    requests = [malformed.grpc_request(draw) for _ in range(10_000)]
    answers = codes_that_fit(running, requests)
    assert min(answers.count(code) for code in (*set(malformed.GRPC.values()), "INTERNAL")) > 100


@in_one_process
def test_ten_thousand_malformed_bodies_get_their_codes_and_take_no_memory(running):
    draw, free = random.Random(1), queue.SimpleQueue()
    requests = [malformed.rest_request(draw) for _ in range(10_000)]
    with ExitStack() as opened:
        for _ in range(8):
            connection = http.client.HTTPConnection("127.0.0.1", *running.rest_ports, timeout=20)
            free.put(opened.enter_context(closing(connection)))

        def status_of(request):
            path, body, _ = request
            connection = free.get()
            connection.request("POST", path, body)
            with connection.getresponse() as answer:
                told = json.loads(answer.read())
            free.put(connection)
            assert set(told) == ({"predictions"} if answer.status == 200 else {"error"})
            return answer.status

        answers = answers_watched(running, status_of, requests)
    for (path, body, codes), answer in zip(requests, answers, strict=True):
        assert answer in codes, (path, body[-500:])
    assert min(answers.count(status) for status in (200, 400, 404)) > 500


@pytest.fixture(scope="module")
def served_hrnn(tmp_path_factory):
    """A server of a real model, whose states are sealed."""
    model = HRNN(num_items=6, session_units=8, user_units=8, seed=1)
    base = tmp_path_factory.mktemp("models") / "recommender"
    export_saved_model(Recommender(model, Vocabulary(toy.TEXT)), base, k=4)
    with Process(base) as one:
        yield one
        assert one.end() == 0


@in_one_process
def test_two_thousand_states_that_no_model_has_made_are_refused_and_take_no_memory(served_hrnn):
    draw = random.Random(7)
    with Client(f"127.0.0.1:{served_hrnn.port}") as client:
        _, state = client.replay([("tea", 0), ("jam", 60)])
    whole = {
        "item_ids": ["rum"],
        "timestamps": np.array([120], np.int64),
        "state": state.values[None],
        "state_info": state.info[None],
    }
    requests = [malformed.state_request(draw, whole) for _ in range(2_000)]
    answers = codes_that_fit(served_hrnn, requests)
    assert min(answers.count(code) for code in ("OK", "INVALID_ARGUMENT")) > 100


@in_one_process
def test_slow_clients_do_not_keep_others_from_being_answered(running):
    slow = []
    for _ in range(100):
        connection = socket.create_connection(("127.0.0.1", running.port))
        connection.send(b"PRI * HTTP/2.0\r\n")  # and never the rest
        slow.append(connection)
    with Client(f"127.0.0.1:{running.port}") as client:
        assert [first(client) for _ in range(20)] == ["jam"] * 20
    for connection in slow:
        connection.close()


def test_a_signal_that_the_system_gives_to_another_thread_ends_the_server(toy_base):
    """The main thread is not woken by it."""
    with Process(toy_base) as one:
        threads = [int(path.name) for path in Path(f"/proc/{one.process.pid}/task").iterdir()]
        ctypes.CDLL(None).tgkill(one.process.pid, max(threads), signal.SIGTERM)
        assert one.process.wait(30) == 0


def asked_of_a_gateway(port, until):
    """Events of 50 users, old and new, and their lists; returns how many."""
    rows = [(item, event_id) for item in ("tea", "jam") for event_id in range(40)]
    for number in count():
        user = f"user {number % 50} {number // 500 % 2}"
        item, event_id = rows[number // 50 % len(rows)]
        status, content = add(port, user, (item, NOON + number, f"{event_id}"), k=2)
        assert status == 200 and len(content["items"]) == 2
        assert ask(port, "GET", f"/recommendations?user={user.replace(' ', '%20')}")[0] == 200
        if number % 100 == 99:
            assert ask(port, "DELETE", f"/users/{user.replace(' ', '%20')}")[0] == 200
        if time.monotonic() > until:
            return number


@in_one_process
@pytest.mark.parametrize("seconds", [60])
def test_a_minute_of_load_leaves_memory_where_it_was(running, tmp_path, seconds):
    """That of a server, and of a gateway with Redis which asks the same one."""
    redis_port, port = free_port(), free_port()
    store, address = f"redis://127.0.0.1:{redis_port}/0", f"127.0.0.1:{running.port}"
    gateway = "gateway", address, "--store", store, "--port", port, "--max-history", 16
    with (
        running_redis(tmp_path, redis_port),
        running_command(*gateway) as process,
        ThreadPoolExecutor(1) as pool,
        Client(address, retries=0) as client,
    ):
        _, state = client.replay([("tea", 0)])
        sizes, until = [], time.monotonic() + seconds
        asked = pool.submit(asked_of_a_gateway, port, until)
        while time.monotonic() < until:
            for _ in range(100):
                client.step("jam", 60, state)
                client.recommend([("tea", 0), ("rum", 30)])
            sizes.append((running.megabytes, megabytes(process.pid)))
        assert asked.result() > 10 * seconds
        for settled, most in zip(sizes[len(sizes) // 4], map(max, *sizes), strict=True):
            assert most < settled + 20, sizes
