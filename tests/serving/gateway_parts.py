"""What the gateway's tests start and ask: Redis, commands, a switch between servers, HTTP."""

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import redis

from hrec_tf.serving.gateway.records import unpack
from hrec_tf.serving.loop_thread import LoopThread
from hrec_tf.serving.state_store import open_store

NOON = 1_700_000_000


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def running_redis(folder, port, *options):
    """A Redis that has what an earlier one left in the folder; killed at the end."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    always = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    command = [program, "--port", str(port), "--dir", str(folder), *always, *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as asked:
            for _ in range(400):
                with suppress(redis.RedisError):
                    if asked.ping():
                        break
                time.sleep(0.05)
            yield asked
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_command(*arguments):
    """`hrec ...`, from when it says that it listens; killed at the end."""
    command = [sys.executable, "-m", "hrec_tf.cli.main", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


class Switch:
    """Passes connections on to a port, and breaks them when it is turned to another.

    Attributes:
        delay: seconds by which what is sent to the port comes later.
    """

    def __init__(self, target):
        self.delay = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._target, self._open = target, []
        threading.Thread(target=self._accept, daemon=True).start()

    def turn_to(self, target):
        self._target = target
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.turn_to(None)

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for ends in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, one, other, is_late):
        with suppress(OSError):
            while data := one.recv(2**16):
                time.sleep(self.delay * is_late)
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            if end is one:
                end.close()


def ask(port, method, path, body=None, **headers):
    """Returns status and JSON of an answer; text where it is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        sent = json.dumps(body) if isinstance(body, dict | list) else body
        connection.request(method, path, sent, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        content = response.read().decode()
        if response.status in (429, 503):
            assert response.getheader("Retry-After") == "1"
        is_json = response.getheader("Content-Type") == "application/json"
        return response.status, json.loads(content) if is_json else content
    finally:
        connection.close()


def add(port, user, *events, **more):
    """Posts (item, seconds[, event id]) of a user; returns status and JSON."""
    names = ("item", "timestamp", "event")
    rows = [{"user": user} | dict(zip(names, event, strict=False)) for event in events]
    return ask(port, "POST", "/events", {"events": rows} | more)


def until_done(call, seconds=20.0):
    """Asks again while the answer is 503, as it says."""
    until = time.monotonic() + seconds
    while True:
        status, content = call()
        if status != 503 or time.monotonic() > until:
            assert status == 200, content
            return content
        time.sleep(0.05)


class Store:
    """A store that is asked without a loop; may be used by several threads."""

    def __init__(self, address, keep_seconds=1000):
        self._store = open_store(address, keep_seconds=keep_seconds)
        self._loop = LoopThread("store of a test")
        self._loop.start()

    def get(self, user):
        return self._loop.run(self._store.get(user))

    def put(self, user, record, follows, **renews):
        return self._loop.run(self._store.put(user, record, follows, **renews))

    def remove(self, user):
        return self._loop.run(self._store.remove(user))

    def ping(self):
        self._loop.run(self._store.ping())

    def close(self):
        self._loop.run(self._store.close())
        self._loop.stop()


def kept(store, user):
    """Events of a user in a store."""
    held = store.get(user)
    return () if held is None else unpack(held.record).events


def pairs(content):
    return [(one["item"], one["score"]) for one in content["items"]]
