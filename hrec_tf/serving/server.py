"""A server of TensorFlow Serving's protocol in this process, for machines without its container.

gRPC (`hrec_tf.serving.services`), and on a port of its own REST (`hrec_tf.serving.rest`), with the
status codes of TensorFlow Serving: what is right here is right there, and there it is faster.
"""

import asyncio
import functools
import logging
import os
import threading
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from hrec_tf import checks
from hrec_tf.serving.artefact import Artefact
from hrec_tf.serving.grpc_options import server_options
from hrec_tf.serving.loop_thread import LoopThread
from hrec_tf.serving.micro_batches import MicroBatches
from hrec_tf.serving.model_config import one_model
from hrec_tf.serving.models import Models
from hrec_tf.serving.monitoring import Monitoring
from hrec_tf.serving.requests import Limits, Places
from hrec_tf.serving.services import ModelService, PredictionService, handler_of
from hrec_tf.serving.tls import TLS

_LOG = logging.getLogger(__name__)
_NAMES = PredictionService.NAME, ModelService.NAME
HEALTH_SERVICES = ("", *_NAMES, *(name.rpartition(".")[2] for name in _NAMES))
"""Of which health tells; TensorFlow Serving's knows the short names, for which probes ask."""


class Server:
    """Serves the newest version under a base path, or what a configuration names.

    A new version is taken into service when its folder is there, loaded and warmed up before it
    replaces the old one. One that is not whole or whose warm-up fails is reported by
    `GetModelStatus` and in the log, and the old one goes on.

    Args:
        base_path: folder with one folder per version, as `hrec export` writes it; or a
            ModelServerConfig, see `hrec_tf.serving.model_config.read_config`, for several models,
            version policies and labels.
        model_name: by which requests name the model of a base path.
        address: of the interface; by default this machine alone can ask.
        port: 0 for any free one, see the property.
        rest_port: for REST, metrics and a page of health, likewise; None for none. Needs the
            extra "serving".
        tls: files with which both encrypt; None for plain text.
        allow_reload: take another configuration from `HandleReloadConfigRequest`.
        poll_seconds: between two looks at the base paths; 0 never looks again.
        workers: batches that are run at once, each by several cores; half as many as there are
            cores if None.
        batch_rows: rows that are run together at the most.
        connections: requests that are in work at once, most of them waiting for the model; to
            more the answer is RESOURCE_EXHAUSTED. REST has as many places of its own, and as many
            bodies may be on their way. By gRPC eight times as many may be on their way, but only
            as many as take 4 GB if each is as large as it may be, though at least twice as many; a
            quarter of these by one connection.
        max_message_bytes: of a request and of a reply. With `connections` it bounds what requests
            that come slowly take: by the usual 4 GB (gRPC) and 2 GB (REST), which a machine that
            is asked by strangers may not have.
        max_batch: rows of a request.
        max_elements: of a request's tensors together.
        max_scores: rows of a request times items of the catalogue. A score takes about 12 bytes
            while a request is answered, so that the usual is 0.4 GB for each of the `workers`,
            and 335 rows with 100 000 items.
        max_history: events of a row, with its padding. INVALID_ARGUMENT is answered to what is
            beyond any of the four.

    Raises:
        ValueError: an argument out of its range.

    Example:
        with Server("exported", port=8500, rest_port=8501) as server:
            server.wait()
    """

    def __init__(
        self,
        base_path: Any,
        model_name: str = "recommender",
        address: str = "127.0.0.1",
        port: int = 0,
        *,
        rest_port: int | None = None,
        tls: TLS | None = None,
        allow_reload: bool = False,
        poll_seconds: float = 1.0,
        workers: int | None = None,
        batch_rows: int = 32,
        connections: int = 128,
        max_message_bytes: int = 16 * 2**20,
        max_batch: int = 1024,
        max_elements: int = 2**20,
        max_scores: int = 2**25,
        max_history: int = 2**14,
    ):
        if not model_name:
            raise ValueError(
                "`model_name` was empty, but requests name the model. Pass for example "
                "'recommender'."
            )
        for name, value in {"port": port, "rest_port": rest_port or 0}.items():
            if checks.require_int_at_least(name, value, minimum=0, mend=_PORT) > 65535:
                raise ValueError(f"`{name}` must be at most 65535, but was {value}. {_PORT}")
        limits = Limits(max_batch, max_elements, max_scores, max_history)
        of_service = {
            "workers": max(1, (os.cpu_count() or 1) // 2) if workers is None else workers,
            "batch_rows": batch_rows,
            "connections": connections,
            "max_message_bytes": max_message_bytes,
        }
        for name, value in (of_service | limits._asdict()).items():
            checks.require_positive_int(name, value, mend="Leave it out for the usual.")
        checks.require_number(
            "poll_seconds", poll_seconds, minimum=0, mend="Pass seconds, e.g. 1, or 0 for never."
        )
        is_path = isinstance(base_path, str | Path)
        config = one_model(model_name, base_path) if is_path else base_path
        self.address, self.tls = address, tls
        self._ports: dict[str, int | None] = {"port": port, "rest_port": rest_port}
        self._connections, self._max_message_bytes = connections, max_message_bytes
        self._allow_reload, self._poll_seconds = allow_reload, poll_seconds
        self._batches: list[MicroBatches] = []
        make = functools.partial(
            self._batches_of, workers=of_service["workers"], max_rows=batch_rows
        )
        self._models = Models(config, limits, make)
        self.monitoring = Monitoring(self._models.versions, self._waiting)
        self._health = health.aio.HealthServicer()
        self._loop = LoopThread("serving")
        self._grpc: Any = None
        self._rest: Any = None
        self._poller: threading.Thread | None = None
        self._stopped = threading.Event()

    @property
    def model_name(self) -> str:
        """Name of the model, or of the first of several."""
        return self._models.names[0]

    @property
    def port(self) -> int:
        """The port it listens on for gRPC, once started."""
        return self._known_port("port")

    @property
    def rest_port(self) -> int:
        """The port it listens on for REST, once started."""
        return self._known_port("rest_port")

    @property
    def version(self) -> int:
        """Number of the newest version that it serves, once started."""
        return self._newest().version

    @property
    def signatures(self) -> list[str]:
        """Names of the signatures that the newest version answers, once started."""
        return list(self._newest().signatures)

    def start(self) -> Self:
        """Loads and warms up the models, then answers; returns when it does.

        Raises:
            FileNotFoundError: no version under a base path, or one that is not whole.
            ValueError: an artefact that was changed, files of TLS that are none, or a server that
                was started before.
            OSError: a port is taken.
            ImportError: `rest_port` without the extra "serving".
        """
        if self._grpc is not None:
            raise ValueError("The server was started before, but runs once. Make another one.")
        if self.tls is not None:
            self.tls.of_http()  # says what is wrong with its files before models are loaded
        self._models.start()
        self._loop.start()
        try:
            # The ports come last: who can connect gets answers.
            server = self._loop.run(self._bound())
            try:
                self._loop.run(self._open(server))
            except BaseException:
                self._loop.run(self._drain(server, 0))
                raise
        except BaseException:
            self._loop.stop()
            self._models.close()
            raise
        self._grpc = server
        if self._poll_seconds:
            self._poller = threading.Thread(target=self._poll, name="versions", daemon=True)
            self._poller.start()
        return self

    def poll(self) -> None:
        """Looks for new versions now; `poll_seconds` does so by itself."""
        self._newest()
        self._models.poll()

    def wait(self) -> None:
        """Returns when the server was stopped."""
        self._newest()
        self._stopped.wait()

    def stop(self, grace: float = 5.0) -> None:
        """Takes no more requests, and ends when those in progress are answered.

        Args:
            grace: seconds after which they get no answer. What the model has begun is still
                waited for: it cannot be broken off.
        """
        if self._grpc is None or self._stopped.is_set():
            return
        self._loop.run(self._drain(self._grpc, grace))
        self._stopped.set()
        self._models.close()
        if self._poller is not None:
            self._poller.join()
        self._loop.stop()

    def __enter__(self) -> Self:
        return self if self._grpc is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _known_port(self, name: str) -> int:
        number = self._ports[name]
        if self._grpc is None or number is None:
            raise ValueError(f"`{name}` is known once the server runs. Call `start` first.")
        return number

    def _newest(self) -> Artefact:
        if self._grpc is None or self._stopped.is_set():
            raise ValueError("The server does not run. Call `start` first.")
        return self._models.newest(self.model_name)

    def _batches_of(self, artefact: Artefact, **arguments: Any) -> MicroBatches:
        made = MicroBatches(artefact, seen=self.monitoring.batch, **arguments)
        self._batches = [one for one in self._batches if not one.is_closed] + [made]
        return made

    def _waiting(self) -> int:
        return sum(batches.waiting for batches in self._batches)

    def _poll(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            try:
                self._models.poll()
            except Exception:
                _LOG.exception("The base paths could not be looked at.")

    async def _open(self, server: Any) -> None:
        port = self._ports["rest_port"]
        if port is not None:
            from hrec_tf.serving.rest import RestServer

            rest = RestServer(self._models, self.monitoring, self.address, self.tls)
            limits = self._max_message_bytes, self._connections
            self._ports["rest_port"] = await rest.start(port, *limits)
            self._rest = rest
        for service in HEALTH_SERVICES:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        await server.start()

    async def _drain(self, server: Any, grace: float) -> None:
        await self._health.enter_graceful_shutdown()
        ending = [server.stop(grace)]
        if self._rest is not None:
            ending.append(self._rest.stop(grace))
        await asyncio.gather(*ending)

    async def _bound(self) -> Any:
        """A gRPC server that has its port, but answers nothing yet."""
        # Requests that have not come whole count here, and have no place yet; nor has health.
        coming = max(
            2 * self._connections,
            min(8 * self._connections, _COMING_BYTES // self._max_message_bytes),
        )
        server = grpc.aio.server(
            maximum_concurrent_rpcs=coming,
            options=[
                *server_options(self._max_message_bytes),
                ("grpc.max_concurrent_streams", max(coming // 4, 1)),  # of one connection
                ("grpc.max_send_message_length", self._max_message_bytes),
            ],
        )
        given = self._models, self.monitoring, Places(self._connections)
        services = (
            PredictionService(*given, max_message_bytes=self._max_message_bytes),
            ModelService(*given, allow_reload=self._allow_reload),
        )
        server.add_generic_rpc_handlers(tuple(map(handler_of, services)))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        host = f"[{self.address}]" if ":" in self.address else self.address
        where = f"{host}:{self._ports['port']}"
        try:
            if self.tls is None:
                self._ports["port"] = server.add_insecure_port(where)
            else:
                self._ports["port"] = server.add_secure_port(where, self.tls.of_grpc())
        except RuntimeError as error:
            raise OSError(
                f"The server could not listen on {where}. The port must be free, and the address "
                "one of this machine. Stop who listens there, or choose another port."
            ) from error
        return server


_COMING_BYTES = 2**32
"""Of all messages that may be on their way by gRPC, if each is as large as it may be."""
_PORT = "Pass a free port, e.g. 8500, or 0 for any."
