"""Stores of records: SQLite and Redis keep the same promises."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial

import pytest

from hrec_tf.serving.state_store import Held, RedisStore, StoreError, open_store
from tests.serving.gateway_parts import Store, free_port, running_redis

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
    store = Store(address, MONTH)
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
    brief = Store(address, 0.3)
    assert brief.put("eve", b"one", None)
    held = brief.get("eve")
    time.sleep(0.4)
    assert brief.get("eve") is None
    assert not brief.put("eve", b"lost", held)
    assert brief.put("eve", b"two", None)
    assert brief.put("eve", b"three", brief.get("eve"))
    assert brief.get("eve").record == b"three"
    brief.close()


def test_a_write_that_does_not_renew_lets_the_record_end_when_it_would_have(address):
    brief = Store(address, 0.6)
    first = brief.put("eve", b"one", None, renews=False)  # there was none before
    time.sleep(0.4)
    again = brief.put("eve", b"replayed", first, renews=False)
    assert brief.get("eve") == again and again.record == b"replayed"
    time.sleep(0.3)
    assert brief.get("eve") is None
    brief.close()


def test_writers_of_two_connections_lose_nothing(address):
    def count_up(store):
        for _ in range(40):
            while True:
                held = store.get("counter")
                number = int(held.record) if held else 0
                if store.put("counter", str(number + 1).encode(), held):
                    break

    stores = [Store(address, MONTH) for _ in range(2)]
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
    store = Store(redis_address, MONTH)

    def put(revision, record):
        sent = "EVAL", RedisStore._PUT, 1, "hrec:user:again", "", revision, record, 60_000
        return store._loop.run(store._store._asked.ask(sent))

    assert [put(5, b"one"), put(5, b"one")] == [1, 1]
    assert store.get("again") == Held(5, b"one")
    assert put(6, b"two") == 0
    store.close()


def test_what_waits_for_sqlite_is_one_transaction(tmp_path):
    async def ask():
        store = open_store(str(tmp_path / "users.sqlite"), keep_seconds=MONTH)
        said = []
        store._database.set_trace_callback(said.append)
        names = [f"user {n}" for n in range(20)]
        first = asyncio.create_task(store.put("first", b"one", None))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the first has gone to the file alone
        written = await asyncio.gather(*(store.put(name, name.encode(), None) for name in names))
        assert all(written) and await first
        assert said.count("COMMIT") == 2
        held = await asyncio.gather(*map(store.get, names))
        assert [one.record for one in held] == [name.encode() for name in names]
        assert held == written
        assert said.count("COMMIT") == 3
        with pytest.raises(StoreError, match="no such table"):
            await asyncio.gather(store.put("ann", b"lost", None), _broken(store))
        assert await store.get("ann") is None  # all of a transaction or nothing
        await store.close()

    async def _broken(store):
        await store._asked.ask(lambda: store._database.execute("SELECT * FROM missing"))

    asyncio.run(ask())


@pytest.mark.integration
def test_what_sqlite_has_acknowledged_outlives_a_kill(tmp_path):
    path = tmp_path / "users.sqlite"
    code = """
import asyncio, itertools, sys
from hrec_tf.serving.state_store import open_store

async def write(store, writer):
    for number in itertools.count():
        assert await store.put(f"{writer} {number}", b"one", None)
        print(f"{writer} {number}", flush=True)

async def main():
    store = open_store(sys.argv[1], keep_seconds=1000)
    await asyncio.gather(*(write(store, writer) for writer in range(8)))

asyncio.run(main())
"""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = [process.stdout.readline().strip() for _ in range(300)]
        process.kill()
        told += process.stdout.read().splitlines()[:-1]  # the last one may be half a line
    held = Store(str(path))
    assert len(told) >= 300
    assert all(held.get(user) == Held(held.get(user).revision, b"one") for user in told)
    held.close()


def test_sqlite_forgets_what_has_ended_and_keeps_the_rest_of_the_file(tmp_path):
    path = tmp_path / "users.sqlite"
    brief = Store(str(path), 0.01)
    brief.put("eve", b"secret of eve", None)
    brief.close()
    time.sleep(0.05)
    store = Store(str(path), MONTH)
    store.put("ann", b"of ann", None)
    store.close()
    again = Store(str(path), MONTH)
    assert again.get("ann").record == b"of ann"
    again.close()
    assert sqlite3.connect(path).execute("SELECT user FROM users").fetchall() == [("ann",)]
    assert b"secret of eve" not in path.read_bytes()


def names_of_those_with(content, folder):
    return [file.name for file in sorted(folder.iterdir()) if content in file.read_bytes()]


def test_what_sqlite_forgets_is_in_none_of_its_files(tmp_path):
    """Nor in the WAL of a store that is open."""
    path, secret = tmp_path / "users.sqlite", b"a secret of eve"
    holding = partial(names_of_those_with, secret, tmp_path)
    store = Store(str(path), MONTH)
    store.put("ann", b"of ann", None)
    store.put("eve", secret * 1000, None)
    assert holding() == ["users.sqlite-wal"]
    store.remove("eve")
    assert holding() == []
    brief = Store(str(path), 0.01)
    brief.put("eve", secret * 1000, None)
    time.sleep(0.05)
    store._store._next_purge = 0.0  # as a minute later
    store.put("bob", b"of bob", None)
    assert holding() == [] and store.get("ann").record == b"of ann"
    store.close()
    brief.close()


def test_who_reads_the_wal_holds_nobody_up_and_it_is_emptied_later(tmp_path):
    path, secret = tmp_path / "users.sqlite", b"a secret of eve"
    store = Store(str(path), MONTH)
    store.put("eve", secret * 1000, None)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM users").fetchone() == (1,)
        begin = time.monotonic()
        assert store.remove("eve")
        assert time.monotonic() - begin < 2  # and not the 5 s for which a writer waits
        assert names_of_those_with(secret, tmp_path) == ["users.sqlite"]  # still
    assert store.get("eve") is None
    assert names_of_those_with(secret, tmp_path) == []
    store.close()


def test_a_write_counts_although_the_wal_cannot_be_emptied_after_it(tmp_path, caplog):
    store = Store(str(tmp_path / "users.sqlite"), MONTH)
    held = store.put("ann", b"of ann", None)
    database = store._store._database

    class Full:
        """A database whose disk is full for checkpoints alone."""

        def execute(self, statement, *values):
            if "wal_checkpoint" in statement:
                raise sqlite3.OperationalError("disk I/O error")
            return database.execute(statement, *values)

        def __enter__(self):
            return database.__enter__()

        def __exit__(self, *error):
            return database.__exit__(*error)

    store._store._database = Full()
    assert store.put("bob", b"of bob", None) and store.remove("ann")
    assert store.get("ann") is None and held is not None
    assert "was not emptied: disk I/O error" in caplog.messages[-1]
    store._store._database = database
    store.close()


def test_opening_a_file_twice_keeps_what_this_process_has_locked(tmp_path):
    """Closing any descriptor of a file ends all locks of a process on it, as POSIX has it."""
    path = str(tmp_path / "users.sqlite")
    first = Store(path, MONTH)
    first.put("one", b"1", None)
    second = Store(path, MONTH)
    code = """
import asyncio, sys
from hrec_tf.serving.state_store import open_store

async def write():
    store = open_store(sys.argv[1], keep_seconds=1000)
    assert await store.put("another process", b"2", None)
    await store.close()

asyncio.run(write())
"""
    subprocess.run([sys.executable, "-c", code, path], check=True)
    assert first.put("three", b"3", None)
    read = "import sqlite3, sys; [print(*row) for row in sqlite3.connect(sys.argv[1]).execute("
    read = [sys.executable, "-c", f"{read}'SELECT user FROM users ORDER BY user')]", path]
    process = subprocess.run(read, check=True, capture_output=True, text=True)
    assert process.stdout.splitlines() == ["another process", "one", "three"]
    first.close()
    second.close()


def test_two_that_open_a_new_file_at_once_both_get_it(tmp_path, monkeypatch):
    path, refused = str(tmp_path / "users.sqlite"), []

    class Interrupted(sqlite3.Connection):
        """Between two questions of which another process tries to make its table."""

        def execute(self, statement, *values):
            found = super().execute(statement, *values)
            if statement == "PRAGMA application_id":
                with sqlite3.connect(path, timeout=0.0) as other:
                    try:
                        other.execute("CREATE TABLE users (user TEXT)")
                    except sqlite3.OperationalError as error:
                        refused.append(str(error))
            return found

    connect = partial(sqlite3.connect, factory=Interrupted)
    monkeypatch.setattr("hrec_tf.serving.state_store.sqlite3.connect", connect)
    Store(path, MONTH).close()
    assert refused == ["database is locked"]


def test_a_full_disk_refuses_events_and_keeps_what_there_is(tmp_path):
    store = Store(str(tmp_path / "users.sqlite"), MONTH)
    held = store.put("ann", b"of ann", None)
    (pages,) = store._store._database.execute("PRAGMA page_count").fetchone()
    store._store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="does not answer: database or disk is full"):
        store.put("bob", b"x" * 100_000, None)
    assert store.get("ann") == held and store.get("bob") is None
    store._store._database.execute("PRAGMA max_page_count = 1000000")
    assert store.put("bob", b"x" * 100_000, None) and store.put("ann", b"more", held)
    store.close()


def test_a_store_that_is_away_says_so_without_names(tmp_path):
    store = Store(f"redis://127.0.0.1:{free_port()}/0", MONTH)
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
    path = str(tmp_path / "users.sqlite")
    broken = Store(path, MONTH)
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE users")
    with pytest.raises(StoreError, match="The SQLite file does not answer: no such table"):
        broken.put("ann", b"one", Held(1, b""))
    broken.ping()
    broken.close()


def test_a_file_of_users_is_its_owner_s_alone(tmp_path):
    path = tmp_path / "users.sqlite"
    asyncio.run(written_once(str(path)))
    assert {entry.stat().st_mode & 0o077 for entry in tmp_path.iterdir()} == {0}


def test_a_record_may_be_kept_for_ever(redis_address):
    assert asyncio.run(written_once(redis_address, keep_seconds=1e300)) == b"record"


async def written_once(address, keep_seconds=60.0):
    store = open_store(address, keep_seconds=keep_seconds)
    assert await store.put("eva", b"record", None)
    held = await store.get("eva")
    await store.close()
    return held.record


def test_a_file_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "users.sqlite"
    Store(str(path)).close()
    connect = partial(sqlite3.connect, uri=True)  # who may write all files may not write this one
    monkeypatch.setattr("hrec_tf.serving.state_store.sqlite3.connect", connect)
    with pytest.raises(ValueError, match="attempt to write a readonly database"):
        open_store(f"file:{path}?mode=ro", keep_seconds=1)


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
