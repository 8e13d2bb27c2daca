"""Where a gateway keeps its users' records: a SQLite file, or Redis.

A store knows bytes only. Each write says which revision of a user it follows on, and does nothing
where another came first: several gateways share a store and lose nothing.
"""

import secrets
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hrec_tf import checks

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_APPLICATION = 0x68726563  # "hrec"
_PURGE_SECONDS = 60.0
_REDIS_TIMEOUT = 2.0


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
    """A store of records; may be used by several threads."""

    def get(self, user: str) -> Held | None:
        """Returns what is held of a user; None where nothing is, or no longer."""
        ...

    def put(self, user: str, record: bytes, follows: Held | None) -> bool:
        """Writes a record, which lives for the store's time from now on.

        Args:
            user: whose.
            record: the whole of it.
            follows: what `get` returned.

        Returns:
            Whether it was written: False where the user was written or removed since.
        """
        ...

    def remove(self, user: str) -> bool:
        """Removes all that is held of a user; returns whether there was anything."""
        ...

    def ping(self) -> None:
        """Returns if the store answers."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


def open_store(address: str, *, keep_seconds: float) -> StateStore:
    """Opens a store.

    Args:
        address: "redis://host:port/0" (also rediss:// and unix://), or the path of a SQLite file,
            which is made if it is not there.
        keep_seconds: how long a record lives after its last write.

    Raises:
        ValueError: an address or file that is no store.
        ImportError: the client of Redis is not installed.

    Example:
        store = open_store("gateway.sqlite", keep_seconds=30 * 86_400)
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
        keep_seconds: how long a record lives after its last write.

    Raises:
        ValueError: it is another file than a store, or cannot be opened.
    """

    def __init__(self, path: str | Path, *, keep_seconds: float):
        self._keep_seconds, self._next_purge = keep_seconds, 0.0
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(
                path, timeout=5.0, isolation_level=None, check_same_thread=False
            )
            (owner,) = self._database.execute("PRAGMA application_id").fetchone()
            (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise ValueError(
                f"{str(path)!r} cannot be opened ({error}), but must be a SQLite file in a folder "
                "that can be written. Pass another path."
            ) from error
        if owner != _APPLICATION and tables:
            self._database.close()
            raise ValueError(
                f"{str(path)!r} is a SQLite file of another program, but a gateway's own is "
                "needed. Pass the path of a new file."
            )
        for statement in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = NORMAL",
            "PRAGMA secure_delete = ON",
            f"PRAGMA application_id = {_APPLICATION}",
            "CREATE TABLE IF NOT EXISTS users (user TEXT PRIMARY KEY, revision INTEGER NOT NULL, "
            "expires REAL NOT NULL, record BLOB NOT NULL)",
            "CREATE INDEX IF NOT EXISTS users_expires ON users (expires)",
        ):
            self._run(statement)

    def get(self, user: str) -> Held | None:
        rows, _ = self._run(
            "SELECT revision, record FROM users WHERE user = ? AND expires > ?", user, time.time()
        )
        return Held(*rows[0]) if rows else None

    def put(self, user: str, record: bytes, follows: Held | None) -> bool:
        now = time.time()
        self._purge(now)
        revision, expires = _new_revision(), now + self._keep_seconds
        if follows is None:
            _, changed = self._run(
                "INSERT INTO users VALUES (?, ?, ?, ?) ON CONFLICT (user) DO UPDATE SET "
                "revision = excluded.revision, expires = excluded.expires, "
                "record = excluded.record WHERE users.expires <= ?",
                *(user, revision, expires, record, now),
            )
        else:
            _, changed = self._run(
                "UPDATE users SET revision = ?, expires = ?, record = ? "
                "WHERE user = ? AND revision = ? AND expires > ?",
                *(revision, expires, record, user, follows.revision, now),
            )
        return changed == 1

    def remove(self, user: str) -> bool:
        _, changed = self._run("DELETE FROM users WHERE user = ?", user)
        return changed == 1

    def ping(self) -> None:
        self._run("SELECT 1")

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _purge(self, now: float) -> None:
        if now >= self._next_purge:
            self._next_purge = now + _PURGE_SECONDS
            self._run("DELETE FROM users WHERE expires <= ?", now)

    def _run(self, statement: str, *values: Any) -> tuple[list[Any], int]:
        try:
            with self._lock:
                cursor = self._database.execute(statement, values)
                return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as error:
            raise StoreError(f"The SQLite file does not answer: {error}.") from error


class RedisStore:
    """Records in Redis, one hash for each user, under "hrec:user:<user>".

    Args:
        address: as redis-py reads it, e.g. "redis://:password@host:6379/0".
        keep_seconds: how long a record lives after its last write.

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
        redis.call('PEXPIRE', KEYS[1], ARGV[4])
        return 1
    """

    def __init__(self, address: str, *, keep_seconds: float):
        from hrec_tf.serving.extra import require

        redis, retry, backoff = (
            require(name) for name in ("redis", "redis.retry", "redis.backoff")
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
        self._put = self._redis.register_script(self._PUT)
        self._keep_milliseconds = max(int(keep_seconds * 1000), 1)

    def get(self, user: str) -> Held | None:
        revision, record = self._run(self._redis.hmget, _key(user), "revision", "record")
        if revision is None or record is None:
            return None
        return Held(int(revision), record)

    def put(self, user: str, record: bytes, follows: Held | None) -> bool:
        held = "" if follows is None else follows.revision
        arguments = [held, _new_revision(), record, self._keep_milliseconds]
        return self._run(self._put, keys=[_key(user)], args=arguments) == 1

    def remove(self, user: str) -> bool:
        return self._run(self._redis.delete, _key(user)) == 1

    def ping(self) -> None:
        self._run(self._redis.ping)

    def close(self) -> None:
        self._redis.close()

    def _run(self, command: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return command(*arguments, **named)
        except self._error as error:
            # What Redis says may quote a key, which names a user.
            raise StoreError(f"Redis does not answer: {type(error).__name__}.") from error


def _key(user: str) -> str:
    return f"hrec:user:{user}"
