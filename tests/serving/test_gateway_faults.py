"""The gateway when Redis, the model or another gateway does what it may: nothing is lost."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from hrec_tf.serving import Client, Gateway, Server
from hrec_tf.serving.gateway.records import pack, unpack
from tests.serving.gateway_parts import (
    NOON,
    Store,
    add,
    ask,
    free_port,
    kept,
    pairs,
    running_redis,
    until_done,
)

pytestmark = pytest.mark.integration

ROWS = ["x" * 200] * 12 + ["tea"]


def times(store, user):
    return [event.timestamp for event in kept(store, user)]


def test_two_gateways_on_one_redis_lose_nothing_of_one_user(toy_server, client, tmp_path):
    port, model = free_port(), f"127.0.0.1:{toy_server.port}"
    address = f"redis://127.0.0.1:{port}/0"
    with (
        running_redis(tmp_path, port),
        Gateway(model, store=address) as one,
        Gateway(model, store=address) as other,
        ThreadPoolExecutor(20) as pool,
    ):
        ports = [one.port, other.port] * 20
        posted = list(
            pool.map(lambda n: add(ports[n], "ann", ("tea", NOON + n, f"e{n}"), k=4), range(40))
        )
        assert [status for status, _ in posted] == [200] * 40
        store = Store(address)
        assert times(store, "ann") == list(range(NOON, NOON + 40))
        store.close()
        content = ask(other.port, "GET", "/recommendations?user=ann")[1]
        assert pairs(content) == client.recommend([("tea", NOON)], exclude_seen=False)


def test_twenty_posts_of_one_user_at_once_lose_nothing(toy_server, tmp_path):
    path = str(tmp_path / "users.sqlite")
    with (
        Gateway(f"127.0.0.1:{toy_server.port}", store=path) as gateway,
        ThreadPoolExecutor(20) as pool,
    ):
        found = list(pool.map(lambda n: add(gateway.port, "ann", ("tea", NOON)), range(20)))
        assert [content["added"] for _, content in found] == [1] * 20
        store = Store(path)
        assert times(store, "ann") == [NOON] * 20
        store.close()


def test_redis_that_is_killed_refuses_events_and_comes_back_with_all(toy_server, client, tmp_path):
    port = free_port()
    with Gateway(f"127.0.0.1:{toy_server.port}", store=f"redis://127.0.0.1:{port}/0") as gateway:
        with running_redis(tmp_path, port):
            until_done(lambda: add(gateway.port, "ann", ("tea", NOON), ("rum", NOON + 60)))
        for status, content in (
            add(gateway.port, "ann", ("gin", NOON + 90, "e")),
            ask(gateway.port, "GET", "/recommendations?user=ann"),
            ask(gateway.port, "DELETE", "/users/ann"),
            ask(gateway.port, "GET", "/health"),
        ):
            assert status == 503 and "Redis does not answer" in content["error"]
        with running_redis(tmp_path, port):
            call = lambda: add(gateway.port, "ann", ("gin", NOON + 90, "e"), k=4, exclude_seen=True)  # noqa: E731
            content = until_done(call)
            assert (content["added"], content["repeated"]) == (1, 0)
            history = [("tea", NOON), ("rum", NOON + 60), ("gin", NOON + 90)]
            assert pairs(content) == client.recommend(history)
            store = Store(f"redis://127.0.0.1:{port}/0")
            assert times(store, "ann") == [NOON, NOON + 60, NOON + 90]
            store.close()


def test_users_that_redis_evicts_are_new_and_the_others_whole(toy_server, client, tmp_path, caplog):
    port = free_port()
    address, full = f"redis://127.0.0.1:{port}/0", ["--maxmemory", "2mb"]
    with (
        running_redis(tmp_path, port, *full, "--maxmemory-policy", "allkeys-lru") as redis,
        Gateway(f"127.0.0.1:{toy_server.port}", store=address) as gateway,
    ):
        assert [said.partition(" with")[0] for said in caplog.messages] == [
            "Redis has `maxmemory-policy` 'allkeys-lru', but"
        ]
        names = [f"user {n}" for n in range(160)]
        rows = [("x" * 200, NOON + n) for n in range(50)]
        for name in names:
            until_done(lambda name=name: add(gateway.port, name, *rows, ("tea", NOON + 60)))
        assert redis.info()["evicted_keys"] > 0
        new, known = (client.recommend(h, exclude_seen=False) for h in ([], ["tea"]))
        store = Store(address)
        lost, sure = 0, 0
        for name in names:
            before = times(store, name)
            content = ask(gateway.port, "GET", f"/recommendations?user={name.replace(' ', '%20')}")
            held = times(store, name)
            assert len(held) in (0, 51)
            lost += not held
            if before == held:  # and not evicted at this moment, as reading too may make it
                sure += 1
                assert pairs(content[1]) == (known if held else new)
        store.close()
        assert 0 < lost < len(names) < sure + 10
        content = until_done(lambda: add(gateway.port, names[0], ("rum", NOON + 99), k=1))
        assert content["items"][0]["item"] == "gin"


def test_a_full_redis_refuses_events_and_keeps_all_that_it_took(
    toy_server, client, tmp_path, caplog
):
    port = free_port()
    address, full = f"redis://127.0.0.1:{port}/0", ["--maxmemory-policy", "noeviction"]
    with (
        running_redis(tmp_path, port, *full) as redis,
        Gateway(f"127.0.0.1:{toy_server.port}", store=address) as gateway,
        ThreadPoolExecutor(4) as pool,
    ):
        assert caplog.messages == []
        store = Store(address)
        assert add(gateway.port, "eve", ("tea", NOON))[0] == 200
        held = store.get("eve")
        assert store.put("eve", pack(unpack(held.record)._replace(version=99)), held)
        redis.config_set("maxmemory", redis.info()["used_memory"] + 300_000)
        requests = [
            [(item, NOON + 60 * n + row, f"{n}.{row}") for row, item in enumerate(ROWS)]
            for n in range(300)
        ]

        def post(n):
            return add(gateway.port, f"u{n % 20}", *requests[n])

        def assert_kept(numbers):
            for user in range(20):
                events = [event for n in numbers if n % 20 == user for event in requests[n]]
                assert [event[:3] for event in kept(store, f"u{user}")] == sorted(
                    events, key=lambda event: event[1]
                )

        answers = list(pool.map(post, range(300)))
        taken = [n for n, (status, _) in enumerate(answers) if status == 200]
        refused = [n for n, (status, _) in enumerate(answers) if status == 503]
        assert len(taken) > 20 < len(refused) and len(taken) + len(refused) == 300
        assert all("Redis does not answer" in answers[n][1]["error"] for n in refused)
        assert_kept(taken)
        # Lists are told, even one that a replay finds and the store has no room for.
        for user in ("u1", "eve"):
            status, content = ask(gateway.port, "GET", f"/recommendations?user={user}")
            assert (status, content["model_version"]) == (200, 1)
            assert pairs(content) == client.recommend(["tea"], exclude_seen=False)
        redis.config_set("maxmemory", 0)
        for numbers, added in ((refused, len(ROWS)), (taken, 0)):
            assert [post(n)[1]["added"] for n in numbers] == [added] * len(numbers)
        assert_kept(range(300))
        store.close()


def test_a_model_that_is_killed_and_started_again(toy_base, tmp_path):
    path = str(tmp_path / "users.sqlite")
    first = Server(toy_base).start()
    port = first.port
    with Gateway(f"127.0.0.1:{port}", store=path) as gateway:
        assert add(gateway.port, "ann", ("tea", NOON, "a"))[0] == 200
        first.stop(grace=0)
        status, content = add(gateway.port, "ann", ("rum", NOON + 60, "b"))
        assert status == 503 and "The model does not answer (UNAVAILABLE)" in content["error"]
        # What is known is still told; what would have to be asked is not.
        status, content = ask(gateway.port, "GET", "/recommendations?user=ann&k=1")
        assert (status, content["items"][0]["item"]) == (200, "jam")
        assert ask(gateway.port, "GET", "/recommendations?user=new")[0] == 503
        assert ask(gateway.port, "GET", "/health")[0] == 503
        with Server(toy_base, port=port), Client(f"127.0.0.1:{port}") as client:
            content = until_done(lambda: add(gateway.port, "ann", ("rum", NOON + 60, "b"), k=4))
            assert content["added"] == 1
            history = [("tea", NOON), ("rum", NOON + 60)]
            assert pairs(content) == client.recommend(history, exclude_seen=False)
    store = Store(path)
    assert times(store, "ann") == [NOON, NOON + 60]
    store.close()
