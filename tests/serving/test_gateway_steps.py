"""Steps that go to the model together: each gets its own answer, or its own error."""

import asyncio
import sqlite3
import time
from contextlib import closing

import numpy as np
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from hrec_tf.serving import Client, Gateway, Server, ServingError
from hrec_tf.serving.async_client import AsyncClient
from hrec_tf.serving.gateway.records import Event
from hrec_tf.serving.gateway.steps import Steps
from tests.serving import toy
from tests.serving.gateway_parts import NOON, add, ask, pairs


def test_steps_that_go_together_get_what_each_gets_alone(toy_server, monkeypatch):
    client, sizes, steps = AsyncClient(f"127.0.0.1:{toy_server.port}"), [], Steps()
    together = client.step_batch

    def counted(events, *rest, **named):
        sizes.append(len(events))
        return together(events, *rest, **named)

    monkeypatch.setattr(client, "step_batch", counted)

    async def ask():
        _, state = await client.step("tea", NOON)
        other = state._replace(info=state.info + np.eye(4, dtype=np.int64)[3])

        async def best(row, state):
            found, after = await steps.step(client, Event(toy.TEXT[row % 6], NOON + row), state)
            return found[0].item, int(after.info[0])

        expected = [(toy.TEXT[(row + 1) % 6], NOON + row) for row in range(20)]
        assert await asyncio.gather(*(best(row, state) for row in range(20))) == expected
        assert sizes == [20]
        asked = [best(row, other if row == 15 else state) for row in range(20)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = found.pop(15)
        assert isinstance(refused, ServingError)
        assert "`state` comes from another model" in str(refused)
        assert found == [*expected[:15], *expected[16:]]
        await client.close()

    asyncio.run(ask())


def test_steps_of_two_versions_go_each_to_its_own(tmp_path, toy_server):
    ours = AsyncClient(f"127.0.0.1:{toy_server.port}")
    away = AsyncClient("127.0.0.1:1", timeout=0.5, retries=0)

    async def ask():
        steps = Steps()
        asked = [
            steps.step(client, Event(item, NOON), None)
            for client, item in ((ours, "tea"), (away, "jam"), (ours, "rum"))
        ]
        one, error, other = await asyncio.gather(*asked, return_exceptions=True)
        assert [one[0][0].item, other[0][0].item] == ["jam", "gin"]
        assert isinstance(error, ServingError)
        assert error.code == "UNAVAILABLE"
        await ours.close()
        await away.close()

    asyncio.run(ask())


def test_a_version_that_has_just_gone_is_asked_for_once(tmp_path):
    """What the gateway knows of the server's versions is up to two seconds old."""
    base = tmp_path / "base"
    toy.write_toy(base, version=1)
    with Server(base, poll_seconds=0) as server:
        address, store = f"127.0.0.1:{server.port}", str(tmp_path / "users.sqlite")
        with Gateway(address, store=store) as gateway:
            gateway._versions._refresh_seconds = 600.0
            assert add(gateway.port, "ann", ("tea", NOON), k=2)[1]["model_version"] == 1
            toy.write_toy(base, version=2)
            server.poll()
            assert server.version == 2
            status, content = ask(gateway.port, "GET", "/recommendations?user=bob")
            assert (status, content["model_version"]) == (200, 2)


def test_only_events_renew_the_time_for_which_a_user_is_kept(tmp_path):
    """Lists are asked for, and repeats sent, after another version came: both are replayed."""
    base, path = tmp_path / "base", tmp_path / "users.sqlite"

    def held():
        with closing(sqlite3.connect(path)) as users:
            return users.execute("SELECT revision, expires FROM users").fetchone()

    toy.write_toy(base, version=1)
    with (
        Server(base, poll_seconds=0) as server,
        Gateway(f"127.0.0.1:{server.port}", store=str(path)) as gateway,
    ):
        add(gateway.port, "ann", ("tea", NOON, "e"), k=2)
        before = held()
        deeds = (
            lambda: ask(gateway.port, "GET", "/recommendations?user=ann"),
            lambda: add(gateway.port, "ann", ("tea", NOON, "e"), k=2),
        )
        for version, deed in enumerate(deeds, 2):
            toy.write_toy(base, version=version)
            server.poll()
            gateway._versions._next_refresh = 0.0  # as two seconds later
            assert deed()[1]["model_version"] == version
            revision, expires = held()
            assert revision != before[0] and expires == before[1]
        add(gateway.port, "ann", ("rum", NOON + 1))
        assert held()[1] > before[1]


def test_a_list_longer_than_an_old_version_makes_comes_from_the_newest(tmp_path):
    """A user's state is of version 1, whose lists have two items, when four are asked for."""
    base = tmp_path / "base"
    toy.write_toy(base, version=1, k=2)
    text = f"model_config_list {{ config {{ name: 'recommender' base_path: '{base}' "
    config = text_format.Parse(text + "model_version_policy { all {} } } }", ModelServerConfig())
    with Server(config, poll_seconds=0) as server:
        address, store = f"127.0.0.1:{server.port}", str(tmp_path / "users.sqlite")
        with Gateway(address, store=store) as gateway:
            assert add(gateway.port, "ann", ("tea", NOON), k=2)[1]["model_version"] == 1
            toy.write_toy(base, version=2, k=5)
            server.poll()
            until = time.monotonic() + 20
            path = "/recommendations?user=ann&exclude_seen=false&k="
            while (content := ask(gateway.port, "GET", f"{path}4")[1]).get("model_version") != 2:
                assert time.monotonic() < until
                time.sleep(0.1)
            with Client(address, version=2) as newest:
                assert pairs(content) == newest.recommend([("tea", NOON)], 4, exclude_seen=False)
            # What its own version can list comes from it, with the state that is kept.
            content = ask(gateway.port, "GET", f"{path}2")[1]
            assert content["model_version"] == 1
            assert [one["item"] for one in content["items"]] == ["jam", "tea"]
