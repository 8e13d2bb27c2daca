"""The gateway as a server: its doors, the store and the model in one loop."""

import asyncio
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import grpc

from hrec_tf import checks
from hrec_tf.serving.gateway import http, rpc
from hrec_tf.serving.gateway.front import Front, Tokens
from hrec_tf.serving.gateway.metrics import Metrics
from hrec_tf.serving.gateway.users import Users
from hrec_tf.serving.gateway.versions import Versions
from hrec_tf.serving.grpc_options import server_options
from hrec_tf.serving.http_runner import HTTPRunner
from hrec_tf.serving.loop_thread import LoopThread
from hrec_tf.serving.state_store import StoreError, open_store
from hrec_tf.serving.tls import TLS, ClientTLS

_LOG = logging.getLogger(__name__)
_USUAL = "Leave it out for the usual."
_LONGEST_HISTORY = 2048
_GRACE = 10.0
"""Seconds after which requests in progress get no answer."""
_IDLE_SECONDS = 75.0
"""Between two requests of a connection; above what proxies keep one open for, which is 60."""


class Gateway:
    """Takes events and answers lists over HTTP, and over gRPC if asked to; keeps users' state.

    Args:
        model_address: "host:port" of the model server's gRPC port.
        model_name: as the model server calls it.
        store: path of a SQLite file, or "redis://host:port/0".
        address: of the interface; by default this machine alone can ask.
        port: for HTTP; 0 for any free one, see the property.
        grpc_port: for gRPC, likewise; None for no such door.
        token_file: bearer tokens, one a line, of which requests must bring one. It is read again
            when it has changed.
        tls_certificate, tls_key: PEM files, of both doors; both or none.
        model_tls: files with which the model server is asked; None for plain text.
        timeout: seconds that the model may take for an answer.
        max_history: events of a user that are kept. Above it the older half is dropped.
        keep_days: how long a user is kept after the last event.
        max_skew: seconds by which an event may lie in the future.
        max_body: bytes of a request.
        max_requests: that run or wait at once.
        client_timeout: seconds that a client may take to send a body, or to take an answer.

    Raises:
        ValueError: an argument out of its range.
        ImportError: the extra `serving` is not installed.
        OSError: a file that cannot be read.

    Example:
        with Gateway("127.0.0.1:8500", port=8080) as gateway:
            gateway.wait()
    """

    def __init__(
        self,
        model_address: str,
        model_name: str = "recommender",
        *,
        store: str = "gateway.sqlite",
        address: str = "127.0.0.1",
        port: int = 0,
        grpc_port: int | None = None,
        token_file: str | Path | None = None,
        tls_certificate: str | Path | None = None,
        tls_key: str | Path | None = None,
        model_tls: ClientTLS | None = None,
        timeout: float = 5.0,
        max_history: int = 256,
        keep_days: float = 30.0,
        max_skew: float = 300.0,
        max_body: int = 2**18,
        max_requests: int = 256,
        client_timeout: float = 10.0,
    ):
        for name, value in (("port", port), ("grpc_port", grpc_port or 0)):
            mend = "Pass a free port, e.g. 8080, or 0 for any."
            if checks.require_int_at_least(name, value, minimum=0, mend=mend) > 65535:
                raise ValueError(f"`{name}` must be at most 65535, but was {value}. {mend}")
        sizes = {"max_body": max_body, "max_requests": max_requests}
        for name, value in (sizes | {"max_history": max_history}).items():
            checks.require_positive_int(name, value, mend=_USUAL)
        if max_history > _LONGEST_HISTORY:
            raise ValueError(
                f"`max_history` was {max_history}, but at most {_LONGEST_HISTORY} events of a user "
                "are replayed in one request. Pass fewer."
            )
        checks.require_number("max_skew", max_skew, minimum=0, mend=_USUAL)
        checks.require_number("keep_days", keep_days, minimum=1e-6, mend=_USUAL)
        checks.require_number("client_timeout", client_timeout, minimum=0.001, mend=_USUAL)
        if (tls_certificate is None) != (tls_key is None):
            raise ValueError(
                f"`tls_certificate` was {tls_certificate!r} and `tls_key` {tls_key!r}, but one is "
                "nothing without the other. Pass both, or none."
            )
        self._tls = None if tls_key is None else TLS(tls_key, str(tls_certificate))
        tokens = None if token_file is None else Tokens(token_file)
        self.address, self._asked_port, self._asked_grpc_port = address, port, grpc_port
        self._max_body, self._max_requests = max_body, max_requests
        self._client_timeout = client_timeout
        self._versions = Versions(
            model_address, model_name, timeout=timeout, max_history=max_history, tls=model_tls
        )
        self._store = open_store(store, keep_seconds=keep_days * 86_400)
        metrics = Metrics()
        users = Users(
            self._store, self._versions, metrics, max_history=max_history, max_skew=max_skew
        )
        self._front = Front(users, metrics, tokens=tokens, max_requests=max_requests)
        self._ports: tuple[int, int | None] | None = None
        self._runner: Any = None
        self._server: Any = None
        self._loop, self._stopped = LoopThread("gateway"), threading.Event()

    @property
    def port(self) -> int:
        """The port of HTTP, once started."""
        return self._running()[0]

    @property
    def grpc_port(self) -> int | None:
        """The port of gRPC, once started; None without that door."""
        return self._running()[1]

    def start(self) -> Self:
        """Listens, and returns when it does. The model and the store may still be away.

        Raises:
            ValueError: it was started before, or files of TLS are none.
            OSError: a port is taken, or a file of TLS cannot be read.
        """
        if self._tls is not None:
            self._tls.of_http()  # says what is wrong with its files before anything listens
        try:
            self._loop.start()
        except RuntimeError as error:
            raise ValueError(
                "The gateway was started before, but runs once. Make another one."
            ) from error
        try:
            self._ports = self._loop.run(self._listen())
            self._loop.run(self._warn())
        except BaseException:
            self._end()
            raise
        return self

    def wait(self) -> None:
        """Returns when the gateway was stopped."""
        self._running()
        self._stopped.wait()

    def stop(self) -> None:
        """Takes no more requests, and ends when those in progress are answered, or after 10 s."""
        if self._ports is not None:
            self._end()
            self._ports = None

    def __enter__(self) -> Self:
        return self if self._ports is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _running(self) -> tuple[int, int | None]:
        if self._ports is None:
            raise ValueError("The gateway does not run. Call `start` first.")
        return self._ports

    def _end(self) -> None:
        self._loop.run(self._drain())
        self._loop.stop()
        self._stopped.set()

    async def _drain(self) -> None:
        await asyncio.gather(self._runner.cleanup(), self._server.stop(_GRACE))
        await self._versions.close()
        await self._store.close()

    async def _listen(self) -> tuple[int, int | None]:
        """Opens the doors; returns their ports."""
        context = None if self._tls is None else self._tls.of_http()
        credentials = None if self._tls is None else self._tls.of_grpc()
        app = http.make_app(
            self._front,
            max_body=self._max_body,
            max_bodies=self._max_requests,
            client_timeout=self._client_timeout,
        )
        self._runner = HTTPRunner(
            app,
            shutdown_timeout=_GRACE,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=self._client_timeout,
        )
        self._server = grpc.aio.server(options=server_options(self._max_body))
        await self._runner.setup()
        port, grpc_port = self._asked_port, self._asked_grpc_port
        try:
            await http.web.TCPSite(self._runner, self.address, port, ssl_context=context).start()
            if grpc_port is not None:
                host = f"[{self.address}]" if ":" in self.address else self.address
                port = grpc_port
                where = f"{host}:{port}"
                grpc_port = (
                    self._server.add_insecure_port(where)
                    if credentials is None
                    else self._server.add_secure_port(where, credentials)
                )
                self._server.add_generic_rpc_handlers((rpc.make_handler(self._front),))
                await self._server.start()
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"The gateway could not listen on {self.address}:{port} ({error}). The port must "
                "be free, and the address one of this machine. Choose another port."
            ) from error
        return self._runner.addresses[0][1], grpc_port

    async def _warn(self) -> None:
        with suppress(StoreError):  # it may still be away
            if caution := await self._store.caution():
                _LOG.warning("%s", caution)
