"""A server of TensorFlow Serving's protocol in this process, for machines without its container.

`Predict`, `GetModelMetadata` and `GetModelStatus` over gRPC, with the status codes of TensorFlow
Serving. One model, its newest version, no batching across requests: what is right here is right
there, and there it is faster.
"""

import logging
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any, Self

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from hrec_tf import checks
from hrec_tf.serving import tensors
from hrec_tf.serving.artefact import Artefact, newest_version
from hrec_tf.serving.requests import Limits, RefusedError

_LOG = logging.getLogger(__name__)
_INVALID, _NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
_QUEUED_PER_WORKER = 32
_MAX_MESSAGE = 1000


class Server:
    """Serves the newest version under a base path.

    Args:
        base_path: folder with one folder per version, as `hrec export` writes it.
        model_name: by which requests name the model.
        address: of the interface; by default this machine alone can ask.
        port: 0 for any free one, see the property.
        workers: requests that are answered at once. 32 times as many may wait; to more the
            answer is RESOURCE_EXHAUSTED.
        max_message_bytes: of a request and of a reply.
        max_batch: rows of a request.
        max_elements: of a request's tensors together.
        max_scores: rows of a request times items of the catalogue. A score takes about 12 bytes
            while a request is answered, so that the usual is 0.4 GB for each of the `workers`,
            and 335 rows with 100 000 items. INVALID_ARGUMENT is answered to what is beyond any of
            the three.

    Raises:
        ValueError: an argument out of its range.

    Example:
        with Server("exported", port=8500) as server:
            server.wait()
    """

    def __init__(
        self,
        base_path: str | Path,
        model_name: str = "recommender",
        address: str = "127.0.0.1",
        port: int = 0,
        *,
        workers: int = 8,
        max_message_bytes: int = 16 * 2**20,
        max_batch: int = 1024,
        max_elements: int = 2**20,
        max_scores: int = 2**25,
    ):
        if not model_name:
            raise ValueError(
                "`model_name` was empty, but requests name the model. Pass for example "
                "'recommender'."
            )
        if checks.require_int_at_least("port", port, minimum=0, mend=_PORT) > 65535:
            raise ValueError(f"`port` must be at most 65535, but was {port}. {_PORT}")
        limits = Limits(max_batch, max_elements, max_scores)
        of_service = {"workers": workers, "max_message_bytes": max_message_bytes}
        for name, value in (of_service | limits._asdict()).items():
            checks.require_positive_int(name, value, mend="Leave it out for the usual.")
        self.base_path, self.model_name, self.address = Path(base_path), model_name, address
        self._asked_port, self._workers = port, workers
        self._max_message_bytes = max_message_bytes
        self._limits = limits
        self._artefact: Artefact | None = None
        self._pool = futures.ThreadPoolExecutor(workers, thread_name_prefix="serving")
        self._grpc: Any = None
        self._port: int | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        if self._port is None:
            raise ValueError("`port` is known once the server runs. Call `start` first.")
        return self._port

    @property
    def version(self) -> int:
        """Number of the version that it serves, once started."""
        return self._running().version

    @property
    def signatures(self) -> list[str]:
        """Names of the signatures that it answers, once started."""
        return list(self._running().signatures)

    def start(self) -> Self:
        """Loads and warms up the model, then answers; returns when it does.

        Raises:
            FileNotFoundError: no version under the base path, or one that is not whole.
            ValueError: an artefact that was changed, or a server that was started before.
            OSError: the port is taken.
        """
        if self._grpc is not None:
            raise ValueError("The server was started before, but runs once. Make another one.")
        version, folder = newest_version(self.base_path)
        artefact = Artefact(folder, version, limits=self._limits)
        try:
            artefact.warm_up()
            # The port comes last: who can connect gets answers.
            server = self._bound(artefact)
        except BaseException:
            artefact.close()
            raise
        server.start()
        self._artefact, self._grpc = artefact, server
        return self

    def wait(self) -> None:
        """Returns when the server was stopped."""
        self._running()
        self._grpc.wait_for_termination()

    def stop(self, grace: float = 5.0) -> None:
        """Takes no more requests, and ends when those in progress are answered.

        Args:
            grace: seconds after which they get no answer. What the model has begun is still
                waited for: it cannot be broken off.
        """
        if self._artefact is None:
            return
        self._grpc.stop(grace).wait()
        # Past the grace gRPC forgets its handlers, which still use the model.
        self._pool.shutdown(cancel_futures=True)
        self._artefact.close()
        self._artefact = self._port = None

    def __enter__(self) -> Self:
        return self if self._grpc is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _running(self) -> Artefact:
        if self._artefact is None:
            raise ValueError("The server does not run. Call `start` first.")
        return self._artefact

    def _bound(self, artefact: Artefact) -> Any:
        """A gRPC server that has its port, but answers nothing yet."""
        server = grpc.server(
            self._pool,
            maximum_concurrent_rpcs=self._workers * (1 + _QUEUED_PER_WORKER),
            options=[
                ("grpc.max_receive_message_length", self._max_message_bytes),
                ("grpc.max_send_message_length", self._max_message_bytes),
                # Else two servers share one port without a word, and requests go to either.
                ("grpc.so_reuseport", 0),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(self.model_name, artefact), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            _ModelService(self.model_name, artefact), server
        )
        host = f"[{self.address}]" if ":" in self.address else self.address
        where = f"{host}:{self._asked_port}"
        try:
            self._port = server.add_insecure_port(where)
        except RuntimeError as error:
            raise OSError(
                f"The server could not listen on {where}. The port must be free, and the address "
                "one of this machine. Stop who listens there, or choose another port."
            ) from error
        return server


_PORT = "Pass a free port, e.g. 8500, or 0 for any."


def _answered(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turns what a method raises into the status of its reply."""

    def answer(self: Any, request: Any, context: Any) -> Any:
        try:
            return method(self, request)
        except RefusedError as error:
            code, message = error.code, error.message
        except Exception as error:
            _LOG.exception("A request could not be answered.")
            code, message = grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"
        # It travels in a header, which has little room, and may quote what was sent.
        context.abort(code, message[:_MAX_MESSAGE])

    return answer


class _Service:
    """What both services know: one version of one model."""

    def __init__(self, model_name: str, artefact: Artefact):
        self._name, self._artefact = model_name, artefact

    def _check_spec(self, spec: Any) -> None:
        if not spec.name:
            raise RefusedError(
                _INVALID,
                f"`model_spec` has no name. Name the model: {self._name!r}.",
            )
        if spec.WhichOneof("version_choice") == "version_label":
            raise RefusedError(
                _INVALID,
                f"Unrecognized servable version label: {spec.version_label}. Name a version by "
                f"its number, {self._artefact.version}, or none.",
            )
        wanted = spec.version.value if spec.HasField("version") else None
        if spec.name != self._name or wanted not in (None, self._artefact.version):
            asked = spec.name if wanted is None else f"{spec.name} version {wanted}"
            raise RefusedError(
                _NOT_FOUND,
                f"Servable not found for request: {asked}. This server has {self._name} version "
                f"{self._artefact.version}.",
            )

    def _fill_spec(self, spec: Any, signature: str = "") -> None:
        spec.name, spec.signature_name = self._name, signature
        spec.version.value = self._artefact.version


class _PredictionService(_Service, prediction_service_pb2_grpc.PredictionServiceServicer):
    @_answered
    def Predict(self, request: Any) -> Any:  # noqa: N802, the protocol's name
        self._check_spec(request.model_spec)
        name, outputs = self._artefact.predict(
            request.model_spec.signature_name, request.inputs, request.output_filter
        )
        response = predict_pb2.PredictResponse()
        self._fill_spec(response.model_spec, name)
        for alias, (kind, values) in outputs.items():
            tensors.fill(response.outputs[alias], values, kind)
        return response

    @_answered
    def GetModelMetadata(self, request: Any) -> Any:  # noqa: N802, the protocol's name
        self._check_spec(request.model_spec)
        if list(request.metadata_field) != ["signature_def"]:
            raise RefusedError(
                _INVALID,
                f"`metadata_field` was {list(request.metadata_field)}, but only signature_def is "
                'known. Send ["signature_def"].',
            )
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        self._fill_spec(response.model_spec)
        held = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self._artefact.signatures.items():
            held.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(held)
        return response


class _ModelService(_Service, model_service_pb2_grpc.ModelServiceServicer):
    @_answered
    def GetModelStatus(self, request: Any) -> Any:  # noqa: N802, the protocol's name
        self._check_spec(request.model_spec)
        response = get_model_status_pb2.GetModelStatusResponse()
        # There is no port before the model is loaded and warm: whoever can ask gets this.
        response.model_version_status.add(
            version=self._artefact.version,
            state=get_model_status_pb2.ModelVersionStatus.State.AVAILABLE,
        )
        return response
