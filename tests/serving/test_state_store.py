"""Stores of records: SQLite and Redis keep the same promises."""

import sqlite3
import threading
import time

import pytest

from hrec_tf.serving.state_store import Held, StoreError, open_store
from tests.serving.gateway_parts import free_port, running_redis

MONTH = 30 * 86_400


@pytest.fixture(scope="module")
def redis_address(tmp_path_factory):
    port = free_port()
    with running_redis(tmp_path_factory.mktemp("redis"), port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(params=["sqlite", "redis"])
def address(request, tmp_path):
    if request.param == "redis":
        return request.getfixturevalue("redis_address")
    return str(tmp_path / "users.sqlite")


@pytest.fixture
def store(address):
    store = open_store(address, keep_seconds=MONTH)
    yield store
    store.close()


def test_a_write_follows_on_what_was_read_or_does_nothing(store):
    assert store.get("ann") is None
    assert store.put("ann", b"one\0", None)
    first = store.get("ann")
    assert first.record == b"one\0"
    assert not store.put("ann", b"lost", None)
    assert store.put("ann", b"two", first)
    assert not store.put("ann", b"lost", first)
    assert store.get("ann").record == b"two"
    assert not store.put("bob", b"lost", first)
    store.ping()


def test_what_is_removed_does_not_come_back(store):
    assert store.put("ø'; --", b"one", None)
    held = store.get("ø'; --")
    assert store.remove("ø'; --") and not store.remove("ø'; --")
    assert store.get("ø'; --") is None
    assert not store.put("ø'; --", b"lost", held)
    assert store.put("ø'; --", b"new", None)
    store.remove("ø'; --")


def test_records_end_after_their_time(address):
    brief = open_store(address, keep_seconds=0.3)
    assert brief.put("eve", b"one", None)
    held = brief.get("eve")
    time.sleep(0.4)
    assert brief.get("eve") is None
    assert not brief.put("eve", b"lost", held)
    assert brief.put("eve", b"two", None)
    assert brief.put("eve", b"three", brief.get("eve"))
    assert brief.get("eve").record == b"three"
    brief.close()


def test_writers_of_two_connections_lose_nothing(address):
    def count_up(store):
        for _ in range(40):
            while True:
                held = store.get("counter")
                number = int(held.record) if held else 0
                if store.put("counter", str(number + 1).encode(), held):
                    break

    stores = [open_store(address, keep_seconds=MONTH) for _ in range(2)]
    threads = [threading.Thread(target=count_up, args=(stores[n % 2],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert int(stores[0].get("counter").record) == 160
    for store in stores:
        store.remove("counter")
        store.close()


def test_a_write_to_redis_that_is_sent_again_is_the_same_write(redis_address):
    """As when a connection breaks after the write, and before its reply."""
    store = open_store(redis_address, keep_seconds=MONTH)
    sent = {"keys": ["hrec:user:again"], "args": ["", 5, b"one", 60_000]}
    assert [store._put(**sent), store._put(**sent)] == [1, 1]
    assert store.get("again") == Held(5, b"one")
    assert store._put(keys=sent["keys"], args=["", 6, b"two", 60_000]) == 0
    store.close()


def test_sqlite_forgets_what_has_ended_and_keeps_the_rest_of_the_file(tmp_path):
    path = tmp_path / "users.sqlite"
    brief = open_store(str(path), keep_seconds=0.01)
    brief.put("eve", b"secret of eve", None)
    brief.close()
    time.sleep(0.05)
    store = open_store(str(path), keep_seconds=MONTH)
    store.put("ann", b"of ann", None)
    store.close()
    again = open_store(str(path), keep_seconds=MONTH)
    assert again.get("ann").record == b"of ann"
    again.close()
    assert sqlite3.connect(path).execute("SELECT user FROM users").fetchall() == [("ann",)]
    assert b"secret of eve" not in path.read_bytes()


def test_a_store_that_is_away_says_so_without_names(tmp_path):
    store = open_store(f"redis://127.0.0.1:{free_port()}/0", keep_seconds=MONTH)
    for call in (
        store.ping,
        lambda: store.get("ann"),
        lambda: store.put("ann", b"one", None),
        lambda: store.remove("ann"),
    ):
        with pytest.raises(StoreError, match=r"Redis does not answer: ConnectionError.") as caught:
            call()
        assert "ann" not in str(caught.value)
    store.close()
    closed = open_store(str(tmp_path / "users.sqlite"), keep_seconds=MONTH)
    closed.close()
    with pytest.raises(StoreError, match="The SQLite file does not answer"):
        closed.put("ann", b"one", Held(1, b""))


def test_files_and_addresses_that_are_no_store_are_refused(tmp_path):
    other = tmp_path / "other.sqlite"
    sqlite3.connect(other).execute("CREATE TABLE things (name TEXT)")
    with pytest.raises(ValueError, match=r"is a SQLite file of another program, but a gateway's"):
        open_store(str(other), keep_seconds=1)
    (tmp_path / "text").write_text("no database" * 100)
    for path in ("text", "missing/users.sqlite"):
        with pytest.raises(ValueError, match="cannot be opened"):
            open_store(str(tmp_path / path), keep_seconds=1)
    for address in ("", "postgres://here", "redis://here:port"):
        with pytest.raises(ValueError, match="`store` "):
            open_store(address, keep_seconds=1)
    with pytest.raises(ValueError, match="`keep_seconds` must be a finite number"):
        open_store(str(other), keep_seconds=0)
