"""Where a gateway keeps its users' records: a SQLite file, or Redis.

A store knows bytes only. Each write says which revision of a user it follows on, and does nothing
where another came first: several gateways share a store and lose nothing. What is asked while the
store is at work goes to it together, in one transaction or one round trip.
"""

import asyncio
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hrec_tf import checks
from hrec_tf.serving.together import Together

_LOG = logging.getLogger(__name__)
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_APPLICATION = 0x68726563  # "hrec"
_PURGE_SECONDS, _BUSY_SECONDS = 60.0, 5.0
_REDIS_TIMEOUT = 2.0
_MOST_TOGETHER = 64
_LONGEST = 1e12
"""Seconds that a record may live in Redis."""


class StoreError(RuntimeError):
    """The store could not be asked: nothing was read, and a write may or may not have happened."""


class Held(NamedTuple):
    """What a store has of a user.

    Attributes:
        revision: random, another after each write.
        record: as it was put.
    """

    revision: int
    record: bytes


class StateStore(Protocol):
    """A store of records, asked from one loop."""

    async def get(self, user: str) -> Held | None:
        """Returns what is held of a user; None where nothing is, or no longer."""
        ...

    async def put(
        self, user: str, record: bytes, follows: Held | None, *, renews: bool = True
    ) -> Held | None:
        """Writes a record.

        Args:
            user: whose.
            record: the whole of it.
            follows: what `get` or the `put` before returned.
            renews: it lives for the store's time from now on; else as long as the one before.

        Returns:
            What is held now; None where nothing was written, as the user was written or removed
            since.
        """
        ...

    async def remove(self, user: str) -> bool:
        """Removes all that is held of a user; returns whether there was anything."""
        ...

    async def ping(self) -> None:
        """Returns if the store answers."""
        ...

    async def caution(self) -> str | None:
        """Returns what is to be said of its settings; None where there is nothing."""
        ...

    async def close(self) -> None:
        """Ends the connection."""
        ...


def open_store(address: str, *, keep_seconds: float) -> StateStore:
    """Opens a store.

    Args:
        address: "redis://host:port/0" (also rediss:// and unix://), or the path of a SQLite file,
            which is made if it is not there.
        keep_seconds: how long a record lives after the last write that renews it.

    Raises:
        ValueError: an address or file that is no store.
        ImportError: the client of Redis is not installed.

    Example:
        store = open_store("gateway.sqlite", keep_seconds=30 * 86_400)
        held = await store.get("u1")
    """
    if not isinstance(address, str) or not address:
        raise ValueError(
            f"`store` was {address!r}, but must be a path or a redis:// address. Pass for example "
            "'gateway.sqlite'."
        )
    mend = "Pass seconds, e.g. 2592000 for 30 days."
    keep = checks.require_number("keep_seconds", keep_seconds, minimum=0.001, mend=mend)
    if address.startswith(REDIS_SCHEMES):
        return RedisStore(address, keep_seconds=keep)
    if "://" in address:
        raise ValueError(
            f"`store` was {address!r}, but must be the path of a SQLite file or begin with "
            f"{', '.join(REDIS_SCHEMES)}. Pass for example 'redis://127.0.0.1:6379/0'."
        )
    return SQLiteStore(address, keep_seconds=keep)


def _new_revision() -> int:
    return secrets.randbits(62)


class SQLiteStore:
    """Records in one SQLite file, which several processes of one machine may share.

    A write is there when it returns, unless the machine itself loses power.

    Args:
        path: of the file; made if it is not there.
        keep_seconds: how long a record lives after the last write that renews it.

    Raises:
        ValueError: it is another file than a store, or cannot be opened.
    """

    def __init__(self, path: str | Path, *, keep_seconds: float):
        self._keep_seconds, self._next_purge = keep_seconds, 0.0
        self._is_in_wal = True  # something that was removed, perhaps before a crash
        self._database = _open_database(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._asked: Together[Callable[[], Any], Any] = Together(
            self._answers_of, most=_MOST_TOGETHER
        )

    async def get(self, user: str) -> Held | None:
        return await self._asked.ask(partial(self._get, user))

    async def put(
        self, user: str, record: bytes, follows: Held | None, *, renews: bool = True
    ) -> Held | None:
        return await self._asked.ask(partial(self._put, user, record, follows, renews))

    async def remove(self, user: str) -> bool:
        return await self._asked.ask(partial(self._remove, user))

    async def ping(self) -> None:
        await self._asked.ask(partial(self._database.execute, "SELECT 1"))

    async def caution(self) -> None:
        return None

    async def close(self) -> None:
        self._thread.shutdown()
        self._database.close()

    async def _answers_of(self, asked: list[Callable[[], Any]]) -> list[Any]:
        """Does what was asked, and returns when it is in the file."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._transaction, asked)

    def _transaction(self, asked: list[Callable[[], Any]]) -> list[Any]:
        try:
            with self._database:
                # Who reads first and writes then would fail where another process wrote between.
                self._database.execute("BEGIN IMMEDIATE")
                answers = [ask() for ask in asked]
        except sqlite3.Error as error:
            raise StoreError(f"The SQLite file does not answer: {error}.") from error
        if self._is_in_wal:
            self._empty_wal()
        return answers

    def _empty_wal(self) -> None:
        """Lets the WAL no longer hold what was removed; tried again where others read it now."""
        try:
            self._database.execute("PRAGMA busy_timeout = 0")
            is_busy, *_ = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._is_in_wal = bool(is_busy)
        except sqlite3.Error as error:  # what was asked is done in any case
            _LOG.warning("The WAL of the SQLite file was not emptied: %s.", error)
        finally:
            self._database.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")

    def _get(self, user: str) -> Held | None:
        found = self._database.execute(
            "SELECT revision, record FROM users WHERE user = ? AND expires > ?", (user, time.time())
        ).fetchone()
        return found and Held(*found)

    def _put(self, user: str, record: bytes, follows: Held | None, renews: bool) -> Held | None:
        now = time.time()
        if now >= self._next_purge:
            self._next_purge = now + _PURGE_SECONDS
            self._delete("expires <= ?", now)
        after, expires = Held(_new_revision(), record), now + self._keep_seconds
        if follows is None:
            cursor = self._database.execute(
                "INSERT INTO users VALUES (?, ?, ?, ?) ON CONFLICT (user) DO UPDATE SET "
                "revision = excluded.revision, expires = excluded.expires, "
                "record = excluded.record WHERE users.expires <= ?",
                (user, after.revision, expires, record, now),
            )
        else:
            cursor = self._database.execute(
                "UPDATE users SET revision = ?, expires = iif(?, ?, expires), record = ? "
                "WHERE user = ? AND revision = ? AND expires > ?",
                (after.revision, renews, expires, record, user, follows.revision, now),
            )
        return after if cursor.rowcount == 1 else None

    def _remove(self, user: str) -> bool:
        return self._delete("user = ?", user) == 1

    def _delete(self, where: str, value: Any) -> int:
        deleted = self._database.execute(f"DELETE FROM users WHERE {where}", (value,)).rowcount
        self._is_in_wal |= deleted > 0
        return deleted


def _open_database(path: str | Path) -> sqlite3.Connection:
    try:
        if not str(path).startswith((":memory:", "file:")):
            # A new one for its owner alone, as are then the files beside it. One that is there is
            # not opened: closing it would end the locks that this process may hold on it.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        database = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _make_table(database, path)
        except BaseException:
            database.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise ValueError(
            f"{str(path)!r} cannot be opened ({error}), but must be a SQLite file in a folder "
            "that can be written. Pass another path."
        ) from error
    return database


def _make_table(database: sqlite3.Connection, path: str | Path) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")  # another process may be opening it
        (owner,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if owner != _APPLICATION and tables:
            raise ValueError(
                f"{str(path)!r} is a SQLite file of another program, but a gateway's own is "
                "needed. Pass the path of a new file."
            )
        for statement in (
            f"PRAGMA application_id = {_APPLICATION}",
            "CREATE TABLE IF NOT EXISTS users (user TEXT PRIMARY KEY, revision INTEGER NOT NULL, "
            "expires REAL NOT NULL, record BLOB NOT NULL)",
            "CREATE INDEX IF NOT EXISTS users_expires ON users (expires)",
        ):
            database.execute(statement)
    for setting in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
        database.execute(f"PRAGMA {setting}")


class RedisStore:
    """Records in Redis, one hash for each user, under "hrec:user:<user>".

    Args:
        address: as redis-py reads it, e.g. "redis://:password@host:6379/0".
        keep_seconds: how long a record lives after the last write that renews it.

    Raises:
        ValueError: an address that is none.
        ImportError: redis-py is not installed.
    """

    # A write that is sent again, because its reply was lost, finds its own revision.
    _PUT = """
        local held = redis.call('HGET', KEYS[1], 'revision') or ''
        if held == ARGV[2] then return 1 end
        if held ~= ARGV[1] then return 0 end
        redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'record', ARGV[3])
        if ARGV[4] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
        return 1
    """

    def __init__(self, address: str, *, keep_seconds: float):
        from hrec_tf.serving.extra import require

        redis, retry, backoff = (
            require(name) for name in ("redis.asyncio", "redis.asyncio.retry", "redis.backoff")
        )
        self._error = redis.RedisError
        try:
            self._redis = redis.Redis.from_url(
                address,
                socket_timeout=_REDIS_TIMEOUT,
                socket_connect_timeout=_REDIS_TIMEOUT,
                retry=retry.Retry(backoff.NoBackoff(), 1),
            )
        except ValueError as error:
            raise ValueError(
                f"`store` is no address of Redis ({error}). Expected redis://host:port/0. Pass for "
                "example 'redis://127.0.0.1:6379/0'."
            ) from error
        # Redis refuses times that it cannot add to the present one.
        self._keep_milliseconds = max(int(min(keep_seconds, _LONGEST) * 1000), 1)
        self._asked: Together[tuple[Any, ...], Any] = Together(
            self._answers_of, most=_MOST_TOGETHER
        )

    async def get(self, user: str) -> Held | None:
        revision, record = await self._asked.ask(("HMGET", _key(user), "revision", "record"))
        if revision is None or record is None:
            return None
        return Held(int(revision), record)

    async def put(
        self, user: str, record: bytes, follows: Held | None, *, renews: bool = True
    ) -> Held | None:
        held = "" if follows is None else follows.revision
        after = Held(_new_revision(), record)
        written = await self._asked.ask(
            # The whole script, as Redis forgets it when it is started again.
            (
                "EVAL",
                self._PUT,
                1,
                _key(user),
                held,
                after.revision,
                record,
                self._keep_milliseconds if renews or follows is None else "",
            )
        )
        return after if written == 1 else None

    async def remove(self, user: str) -> bool:
        return await self._asked.ask(("DEL", _key(user))) == 1

    async def ping(self) -> None:
        await self._asked.ask(("PING",))

    async def caution(self) -> str | None:
        about = await self._asked.ask(("INFO", "memory"))
        policy = about.get("maxmemory_policy", "noeviction")
        if policy == "noeviction":
            return None
        return (
            f"Redis has `maxmemory-policy` {policy!r}, but with any other than noeviction it "
            "forgets users when its memory is full. Set noeviction."
        )

    async def close(self) -> None:
        await self._redis.aclose()

    async def _answers_of(self, asked: list[tuple[Any, ...]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in asked:
            pipeline.execute_command(*command)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except self._error as error:
            raise _redis_is_away(error) from error
        return [_redis_is_away(one) if isinstance(one, self._error) else one for one in answers]


def _redis_is_away(error: Exception) -> StoreError:
    # What Redis says may quote a key, which names a user.
    return StoreError(f"Redis does not answer: {type(error).__name__}.")


def _key(user: str) -> str:
    return f"hrec:user:{user}"
