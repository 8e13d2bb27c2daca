"""Lists of the gateway are those of a full replay, whatever came and whatever was killed."""

import http.client
import shutil
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hrec_tf.data import Vocabulary
from hrec_tf.data.features import FeatureSchema
from hrec_tf.data.log_features import FeatureSchemas
from hrec_tf.export import export_saved_model
from hrec_tf.models import HRNN, HRNNMeta
from hrec_tf.recommender import Recommender
from hrec_tf.serving import Client, Gateway, Server
from hrec_tf.serving.answers import State
from hrec_tf.serving.gateway.readable import require_readable
from hrec_tf.serving.gateway.records import pack, unpack
from hrec_tf.serving.metadata import Metadata
from hrec_tf.serving.requests import RefusedError
from tests.reference.weights import fill_drawn
from tests.serving.gateway_parts import (
    NOON,
    Store,
    Switch,
    add,
    ask,
    free_port,
    kept,
    pairs,
    running_command,
    running_redis,
    until_done,
)

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("gateway histories")]

NUM_ITEMS, K, MOST = 12, 6, 6
FLOAT32_NOISE = {"rtol": 1e-5, "atol": 1e-6}


def export(base, version, k=K):
    """An HRNN whose weights are large enough that each event shows in the scores."""
    model = HRNN(num_items=NUM_ITEMS, session_units=8, user_units=8, seed=version)
    vocabulary = Vocabulary([f"i{n}" for n in range(NUM_ITEMS)], [1] * NUM_ITEMS)
    recommender = Recommender(model, vocabulary)
    chance = np.random.default_rng(version)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(chance.normal(0, 0.7, weight.shape))
    recommender = Recommender(model, vocabulary)
    export_saved_model(recommender, base, version=version, k=k)
    return base


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Folders with the exports of two versions, 1 and 2."""
    return [export(tmp_path_factory.mktemp(f"version{n}"), n) for n in (1, 2)]


@pytest.fixture(scope="module")
def parts(bases, tmp_path_factory):
    """A gateway over two versions, of which one is served at a time; clients of both."""
    path = str(tmp_path_factory.mktemp("store") / "users.sqlite")
    store = Store(path)
    with Server(bases[0]) as first, Server(bases[1]) as second:
        ports = {1: first.port, 2: second.port}
        switch = Switch(ports[1])
        clients = {
            version: Client(f"127.0.0.1:{port}", timeout=30) for version, port in ports.items()
        }
        with Gateway(f"127.0.0.1:{switch.port}", store=path, max_history=MOST) as gateway:
            yield gateway, switch, ports, clients, store
        switch.close()
        for client in clients.values():
            client.close()
    store.close()


class Expected:
    """What must be kept of a user, told in another way than the gateway's: by a stable sort."""

    def __init__(self):
        self.events, self.is_cut = [], False

    def add(self, new):
        known = {key for _, _, key in self.events if key}
        floor = self.events[0][1] if self.is_cut else -np.inf
        counts = [0, 0, 0]
        for event in new:
            is_left_out = event[1] < floor or (event[1] == floor and event[2])
            result = 1 if event[2] in known else 2 if is_left_out else 0
            counts[result] += 1
            if result == 0:
                self.events.append(event)
                known |= {event[2]} - {None}
        self.events.sort(key=lambda event: event[1])
        if len(self.events) > MOST:
            self.events, self.is_cut = self.events[-(MOST // 2) :], True
        return counts


def assert_replayed(content, clients, expected, k, exclude_seen):
    history = [(item, second) for item, second, _ in expected.events]
    wanted = clients[content["model_version"]].recommend(history, k, exclude_seen)
    found = pairs(content)
    assert [item for item, _ in found] == [item for item, _ in wanted]
    scores = [score for _, score in found], [score for _, score in wanted]
    np.testing.assert_allclose(*scores, **FLOAT32_NOISE)


users = st.sampled_from(["ann", "bob"])
event_ids = st.none() | st.sampled_from([f"e{n}" for n in range(12)])
# Gaps of minutes and of hours, so that sessions begin, and steps back.
gaps = st.sampled_from([0, 60, 60, 600, 7200, -60, -3000, -20_000])
event = st.tuples(st.integers(0, NUM_ITEMS), gaps, event_ids)
k_or_none = st.none() | st.integers(1, K)
deeds = st.one_of(
    st.tuples(st.just("post"), users, st.lists(event, min_size=1, max_size=5), st.integers(1, K)),
    st.tuples(st.just("post"), users, st.lists(event, min_size=1, max_size=1), st.integers(1, K)),
    st.tuples(st.just("get"), users, k_or_none, st.booleans()),
    st.tuples(st.just("turn")),
    st.tuples(st.just("evict"), users),
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(deeds=st.lists(deeds, min_size=1, max_size=14))
def test_lists_are_those_of_a_full_replay(parts, deeds):
    gateway, switch, ports, clients, store = parts
    expected, clock = {"ann": Expected(), "bob": Expected()}, {"ann": NOON, "bob": NOON}
    for user in expected:
        store.remove(user)
    served = 1
    switch.turn_to(ports[served])
    for deed, *more in deeds:
        if deed == "turn":
            served = 3 - served
            switch.turn_to(ports[served])
        elif deed == "evict":
            store.remove(more[0])
            expected[more[0]] = Expected()
        elif deed == "get":
            user, k, exclude_seen = more
            query = f"user={user}&exclude_seen={str(exclude_seen).lower()}"
            query += "" if k is None else f"&k={k}"
            content = until_done(
                lambda query=query: ask(gateway.port, "GET", f"/recommendations?{query}")
            )
            assert_replayed(content, clients, expected[user], k, exclude_seen)
        else:
            user, events, k = more
            new = []
            for item, gap, event_id in events:
                clock[user] = max(clock[user], clock[user] + gap)
                new.append((f"i{item}", clock[user] + min(gap, 0), event_id))
            content = until_done(
                lambda user=user, new=new, k=k: add(
                    gateway.port, user, *new, k=k, exclude_seen=k % 2 == 0
                )
            )
            counts = expected[user].add(new)
            assert [content[name] for name in ("added", "repeated", "dropped")] == counts
            held = [event[:3] for event in kept(store, user)]
            assert held == expected[user].events
            assert_replayed(content, clients, expected[user], k, k % 2 == 0)


def test_events_that_follow_on_are_steps_and_the_rest_is_replayed(parts):
    gateway, switch, ports, _, store = parts
    switch.turn_to(ports[1])

    def calls():
        text = ask(gateway.port, "GET", "/metrics")[1]
        lines = [line.split() for line in text.splitlines() if "model_calls_total{" in line]
        return {name.split('"')[1]: float(value) for name, value in lines}

    def change(*events):
        before = calls()
        until_done(lambda: add(gateway.port, "eve", *events))
        after = calls()
        return [int(after.get(kind, 0) - before.get(kind, 0)) for kind in ("step", "replay")]

    until_done(lambda: add(gateway.port, "eve", ("i1", NOON)))
    assert change(("i2", NOON + 5)) == [1, 0]
    assert change(("i3", NOON + 9000), ("i4", NOON + 9001)) == [2, 0]
    assert change(("i5", NOON + 8000)) == [0, 1]
    until_done(lambda: add(gateway.port, "eve", ("i6", NOON + 9002, "x")))
    assert change(("i6", NOON + 9002, "x")) == [0, 0]
    assert change(("i7", NOON + 9003)) == [0, 1]  # above the most: the older half goes
    switch.turn_to(ports[2])
    assert change(("i8", NOON + 9004))[1] == 1
    store.remove("eve")


def forged(state):
    """States that no model has made: a value, and the seal, of another."""
    values, info = np.array(state.values), np.array(state.info)
    values[0] += 0.25
    yield State(values, state.info)
    info[3] += 1
    yield State(state.values, info)


def test_a_state_that_was_changed_in_the_store_is_made_anew(parts):
    gateway, switch, ports, clients, store = parts
    switch.turn_to(ports[1])
    history = [("i1", NOON), ("i2", NOON + 5)]
    for n in range(2):
        until_done(lambda: add(gateway.port, "mallory", *history))
        held = store.get("mallory")
        record = unpack(held.record)
        state = list(forged(record.state))[n]
        assert store.put("mallory", pack(record._replace(state=state)), held)
        content = add(gateway.port, "mallory", ("i3", NOON + 9), k=K, exclude_seen=False)[1]
        wanted = clients[1].recommend([*history, ("i3", NOON + 9)], exclude_seen=False)
        assert [one["item"] for one in content["items"]] == [item for item, _ in wanted]
        found = unpack(store.get("mallory").record).state
        _, replayed = clients[1].replay([*history, ("i3", NOON + 9)])
        np.testing.assert_allclose(found.values, replayed.values, **FLOAT32_NOISE)
        store.remove("mallory")


def test_lists_of_all_lengths_that_were_exported_are_told(tmp_path):
    base = export(tmp_path / "model", 1, k=[2, K])
    with Server(base) as server:
        address = f"127.0.0.1:{server.port}"
        users = str(tmp_path / "users.sqlite")
        with Gateway(address, store=users) as gateway, Client(address) as client:
            history = []
            for n in range(3):
                history.append((f"i{n}", NOON + n))
                content = add(gateway.port, "ann", history[-1], k=K - n)[1]
                wanted = client.recommend(history, K - n, exclude_seen=False)
                assert [one["item"] for one in content["items"]] == [item for item, _ in wanted]
            path, wanted = "/recommendations?user=", client.recommend(history, K, False)
            assert [item for item, _ in wanted] == [
                one["item"] for one in ask(gateway.port, "GET", f"{path}ann")[1]["items"]
            ]
            asked = ask(gateway.port, "GET", "/metrics")[1]
            assert 'model_calls_total{kind="recommend"}' not in asked  # the list is at hand
            assert pairs(ask(gateway.port, "GET", f"{path}nobody")[1]) == client.recommend([], K)
            said = add(gateway.port, "ann", ("i5", NOON + 9), k=K + 1)
            assert (
                said[0] == 400 and "was exported with lists of 6. Ask for 1..6." in said[1]["error"]
            )


class Posting:
    """Clients that post for the same users at once, and send again until it is acknowledged.

    Attributes:
        events: of each user, that were acknowledged.
        versions: of the model, that answers named.
        failures: statuses of other answers than 200; None where there was no answer.
        repeated: events whose answer was lost, so that a later one called them known.
    """

    def __init__(self, port, clients):
        self.events, self.versions = defaultdict(list), set()
        self.failures, self.repeated = [], 0
        self._port, self._stopped, self._lock = port, threading.Event(), threading.Lock()
        self._pool = ThreadPoolExecutor(clients)
        self._running = [self._pool.submit(self._post, number) for number in range(clients)]

    def until(self, is_enough):
        """Waits for something that the clients do."""
        until = time.monotonic() + 120
        while not is_enough():
            assert time.monotonic() < until
            for one in self._running:
                assert not one.done() or one.result()
            time.sleep(0.02)

    def more(self, number):
        """Waits until as many more events are acknowledged."""
        enough = self._count() + number
        self.until(lambda: self._count() >= enough)

    def stop(self):
        """Returns when all that was sent is acknowledged."""
        self._stopped.set()
        for one in self._running:
            one.result()
        self._pool.shutdown()

    def _count(self):
        with self._lock:
            return sum(map(len, self.events.values()))

    def _post(self, client):
        for n in count():
            if self._stopped.is_set():
                return
            user = f"u{n % 8 + n // 240 * 8}"  # of at most 30 requests of each client
            begin = NOON + 60 * n + 5000 * (n // 50) + client
            items = [f"i{(7 * n + 5 * row + client) % (NUM_ITEMS + 1)}" for row in range(1 + n % 2)]
            events = [
                (item, begin + 10 * row, f"{client}.{n}.{row}") for row, item in enumerate(items)
            ]
            content = self._acknowledged(user, events, is_heard=n % 5 > 0)
            assert content["dropped"] == 0 and len(content["items"]) == K
            assert sorted([content["added"], content["repeated"]]) == [0, len(events)]
            with self._lock:
                self.events[user] += events
                self.versions.add(content["model_version"])
                self.repeated += content["repeated"]

    def _acknowledged(self, user, events, is_heard):
        while True:
            status = content = None
            with suppress(OSError, http.client.HTTPException):
                status, content = add(self._port, user, *events, k=K)
            if status == 200 and is_heard:
                return content
            if status != 200:
                assert status in (None, 503), content
                self.failures.append(status)
                time.sleep(0.1)
            is_heard = True


def test_nothing_is_lost_or_counted_twice_whatever_is_killed(bases, tmp_path):
    """One who is not heard is as one whose answer was lost: the events are sent again."""
    base, folder = tmp_path / "base", tmp_path / "redis"
    folder.mkdir()
    shutil.copytree(bases[0] / "1", base / "1")
    redis, model, port = free_port(), free_port(), free_port()
    store_at, model_at = f"redis://127.0.0.1:{redis}/0", f"127.0.0.1:{model}"
    options = ["--store", store_at, "--port", port, "--timeout", 2]
    started = {
        "redis": lambda: running_redis(folder, redis),
        "model": lambda: running_command("serve", base, "--port", model),
        "gateway": lambda: running_command("gateway", model_at, *options),
    }
    with ExitStack() as stack:
        running = {name: stack.enter_context(ExitStack()) for name in started}
        for name, start in started.items():
            running[name].enter_context(start())
        posting = Posting(port, clients=4)

        def kill_and_start(name):
            running[name].close()
            enough = len(posting.failures) + 8
            posting.until(lambda: len(posting.failures) >= enough)
            running[name].enter_context(started[name]())
            posting.more(100)

        try:
            posting.more(100)
            kill_and_start("redis")
            kill_and_start("model")
            shutil.copytree(bases[1] / "2", tmp_path / "2")
            (tmp_path / "2").rename(base / "2")
            posting.until(lambda: 2 in posting.versions)
            kill_and_start("gateway")
        finally:
            posting.stop()
        assert posting.repeated and {*posting.failures} == {None, 503}
        store = Store(store_at)
        with Client(model_at, timeout=30) as client:
            for user, events in posting.events.items():
                expected = Expected()
                expected.events = sorted(events, key=lambda event: event[1])
                assert [event[:3] for event in kept(store, user)] == expected.events
                content = until_done(lambda user=user, events=events: add(port, user, *events))
                assert (content["added"], content["repeated"]) == (0, len(events))
                content = ask(port, "GET", f"/recommendations?user={user}&k={K}")[1]
                assert_replayed(content, {2: client}, expected, K, exclude_seen=False)
        store.close()


@pytest.fixture(scope="module")
def asked_with_feedback(tmp_path_factory):
    """A gateway over a model that reads feedback and is told the time, and a client of it."""
    base, store = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("store")
    sizes = {"units": 5, "item_dim": 5, "num_layers": 1, "control_dim": 3}
    model = HRNNMeta(num_items=3, num_feedback=2, **sizes)
    fill_drawn(model, 2)
    schemas = FeatureSchemas(feedback=FeatureSchema.infer({"rating": [1.0, 5.0]}))
    vocabulary = Vocabulary(["tea", "jam", "rum"], [3, 2, 1])
    export_saved_model(Recommender(model, vocabulary, schemas=schemas), base, k=3)
    with (
        Server(base) as server,
        Client(f"127.0.0.1:{server.port}") as client,
        Gateway(client.address, store=str(store / "users.sqlite")) as gateway,
    ):
        yield gateway, client


def test_feedback_is_kept_stepped_and_replayed(asked_with_feedback):
    gateway, client = asked_with_feedback
    rows = [("tea", NOON, [0.5, -1.0]), ("jam", NOON + 9000, [1.0, 2.0]), ("rum", NOON, [3, 0.25])]
    told = []
    for item, second, feedback in rows:
        event = {"user": "ann", "item": item, "timestamp": second, "feedback": feedback}
        content = until_done(
            lambda event=event: ask(gateway.port, "POST", "/events", event | {"k": 3})
        )
        told = sorted([*told, (second, item, feedback)], key=lambda one: one[0])
        history = [(item, second) for second, item, _ in told]
        numbers = np.array([feedback for *_, feedback in told])
        wanted = client.recommend(history, exclude_seen=False, feedback=numbers)
        assert [item for item, _ in pairs(content)] == [item for item, _ in wanted]
        scores = [score for _, score in pairs(content)], [score for _, score in wanted]
        np.testing.assert_allclose(*scores, **FLOAT32_NOISE)
    event = {"user": "ann", "item": "tea", "timestamp": NOON}
    status, content = ask(gateway.port, "POST", "/events", event)
    assert status == 400 and "`feedback` has 0 numbers (event 0)" in content["error"]


@pytest.mark.parametrize("user", ["bob", "zoe"])
def test_a_list_is_that_of_the_time_of_asking(asked_with_feedback, user):
    gateway, client = asked_with_feedback
    history, numbers = [("tea", NOON), ("jam", NOON + 60)], np.array([[0.5, -1.0], [1.0, 2.0]])
    options: dict = {"exclude_seen": False}
    if user == "bob":
        rows = zip(history, numbers.tolist(), strict=True)
        events = [
            {"user": user, "item": item, "timestamp": second, "feedback": feedback}
            for (item, second), feedback in rows
        ]
        assert ask(gateway.port, "POST", "/events", {"events": events})[0] == 200
    else:
        history, numbers = [], None
    found = []
    for at in (NOON + 60, NOON + 90_000):
        status, content = ask(gateway.port, "GET", f"/recommendations?user={user}&at={at}")
        assert status == 200, content
        found.append(pairs(content))
        wanted = client.recommend(history, at=at, feedback=numbers, **options)
        assert [item for item, _ in found[-1]] == [item for item, _ in wanted]
        scores = [score for _, score in found[-1]], [score for _, score in wanted]
        np.testing.assert_allclose(*scores, **FLOAT32_NOISE)
    last = pairs(ask(gateway.port, "GET", f"/recommendations?user={user}")[1])
    assert [item for item, _ in last] == [item for item, _ in found[0]]
    if history:
        assert [score for _, score in found[0]] != [score for _, score in found[1]]
        of_another_clock, long_ago = (
            ask(gateway.port, "GET", f"/recommendations?user={user}&at={NOON + 60 - seconds}")
            for seconds in (300, 301)
        )
        assert pairs(of_another_clock[1]) == found[0]
        assert long_ago[0] == 400
        assert f"`at` was {NOON - 241}, but `history` has an event at" in long_ago[1]["error"]


def test_a_model_that_reads_user_features_is_not_served():
    inputs = {"user_features": ("float32", (-1, 3))}
    metadata = Metadata("shop", 7, "string", 5, 0, 0, {"recommend": {"inputs": inputs}}, {})
    with pytest.raises(RefusedError, match="'shop' version 7 reads 3 user features, but a gateway"):
        require_readable(metadata)
