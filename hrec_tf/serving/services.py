"""TensorFlow Serving's gRPC services over `Models`, with its status codes.

They run in one asyncio loop: to hand a request from thread to thread costs more than to read it.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from hrec_tf.serving import tensors
from hrec_tf.serving.artefact import Outputs
from hrec_tf.serving.model_config import check_config
from hrec_tf.serving.models import Loaded, Models
from hrec_tf.serving.monitoring import Monitoring
from hrec_tf.serving.requests import Places, RefusedError, for_header

_LOG = logging.getLogger(__name__)
_CODE = grpc.StatusCode
_MAX_MESSAGE = 1000
_CLOCKS_DIFFER = 0.1
"""Seconds by which a client may give up before the server sees the deadline."""


def _reads(kind: Any) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]:
    """Reads a method's requests, gives what it raises the status of a reply, and counts it.

    A request takes its place when it is whole: who sends none, or half of it, has no place.
    """

    def wrap(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(method)
        async def answer(self: Any, message: bytes, context: Any) -> Any:
            with self.monitoring.request("grpc", method.__name__) as code:
                try:
                    with self.places.taken():
                        return await method(self, _read(kind, message), context)
                except asyncio.CancelledError:  # by gRPC: nobody waits any more
                    left = context.time_remaining()
                    is_late = left is not None and left < _CLOCKS_DIFFER
                    status = _CODE.DEADLINE_EXCEEDED if is_late else _CODE.CANCELLED
                    code.append(status.name)
                    raise
                except Exception as error:
                    refused = as_refused(error)
                    code.append(refused.code.name)
                    await context.abort(refused.code, for_header(refused.message))

        return answer

    return wrap


def _read(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise RefusedError(
            _CODE.INTERNAL,
            f"The message is no {kind.DESCRIPTOR.full_name}: {error}. Send one as its definition "
            "says.",
        ) from error


def handler_of(service: Any) -> Any:
    """Returns what gRPC calls for one of the services below.

    The servicers that the definitions are compiled to would leave it to gRPC to read a message,
    and what cannot be read would be UNKNOWN, where TensorFlow Serving answers INTERNAL.
    """
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            getattr(service, method),
            response_serializer=lambda response: response.SerializeToString(),
        )
        for method in service.METHODS
    }
    return grpc.method_handlers_generic_handler(service.NAME, handlers)


def as_refused(error: Exception) -> RefusedError:
    """Returns what a client is told of an error; one that nobody foresaw is logged."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, TimeoutError):
        return RefusedError(
            _CODE.DEADLINE_EXCEEDED,
            "The answer was not ready by the deadline of the request.",
        )
    _LOG.error("A request could not be answered.", exc_info=error)
    return RefusedError(_CODE.INTERNAL, f"{type(error).__name__}: {error}")


async def predict(
    loaded: Loaded, spec: Any, inputs: Any, output_filter: Any
) -> tuple[Any, Outputs]:
    """Runs a signature, together with other requests that wait.

    Args:
        loaded: the version that `spec` names, in use until this ends.
        spec: ModelSpec of the request.
        inputs: input name -> TensorProto.
        output_filter: names of the wanted outputs; empty for all.

    Returns:
        The ModelSpec of the answer, and the outputs.

    Raises:
        RefusedError: with the code that TensorFlow Serving answers.
    """
    artefact = loaded.artefact
    call = artefact.call(spec.signature_name, inputs, output_filter)
    values = await loaded.runner.submit(call)
    return filled_spec(spec, artefact.version, call.signature), artefact.outputs(call, values)


def filled_spec(spec: Any, version: int, signature: str = "") -> Any:
    """Returns the ModelSpec of an answer."""
    filled = predict_pb2.PredictRequest().model_spec
    filled.name, filled.signature_name = spec.name, signature
    filled.version.value = version
    return filled


def states(models: Models, spec: Any) -> Any:
    """Returns the GetModelStatusResponse of a ModelSpec."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, (state, error) in models.statuses(spec).items():
        entry = response.model_version_status.add(version=version, state=state)
        entry.status.error_code = (_CODE.UNKNOWN if error else _CODE.OK).value[0]
        entry.status.error_message = error[:_MAX_MESSAGE]
    return response


class PredictionService:
    """Answers from models.

    Args:
        models: all there are.
        monitoring: counts.
        places: of requests that are in work at once.
        max_message_bytes: that gRPC sends in one reply.
    """

    NAME = "tensorflow.serving.PredictionService"
    METHODS = ("Predict", "GetModelMetadata")

    def __init__(
        self,
        models: Models,
        monitoring: Monitoring,
        places: Places,
        *,
        max_message_bytes: int,
    ):
        self.models, self.monitoring, self.places = models, monitoring, places
        self._max_message_bytes = max_message_bytes

    @_reads(predict_pb2.PredictRequest)
    async def Predict(self, request: Any, _: Any) -> Any:  # noqa: N802, the protocol's name
        with self.models.using(request.model_spec) as loaded:
            spec, outputs = await predict(
                loaded, request.model_spec, request.inputs, request.output_filter
            )
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(spec)
        for alias, (kind, values) in outputs.items():
            tensors.fill(response.outputs[alias], values, kind)
        most, size = self._max_message_bytes, response.ByteSize()
        if size > most:  # gRPC would not send it, and it would count as OK
            raise RefusedError(
                _CODE.RESOURCE_EXHAUSTED,
                f"The answer has {size} bytes, but at most {most} are sent in one reply "
                "(`max_message_bytes`). Ask for fewer rows at once, or name the outputs that you "
                "need in `output_filter`.",
            )
        return response

    @_reads(get_model_metadata_pb2.GetModelMetadataRequest)
    async def GetModelMetadata(self, request: Any, _: Any) -> Any:  # noqa: N802, the protocol's name
        if list(request.metadata_field) != ["signature_def"]:
            raise RefusedError(
                _CODE.INVALID_ARGUMENT,
                f"`metadata_field` was {list(request.metadata_field)}, but only signature_def is "
                'known. Send ["signature_def"].',
            )
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.models.using(request.model_spec) as loaded:
            spec = filled_spec(request.model_spec, loaded.artefact.version)
            held = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in loaded.artefact.signatures.items():
                held.signature_def[name].CopyFrom(signature)
        response.model_spec.CopyFrom(spec)
        response.metadata["signature_def"].Pack(held)
        return response


class ModelService:
    """Tells of versions, and takes another configuration.

    Args:
        models: all there are.
        monitoring: counts.
        places: of requests that are in work at once.
        allow_reload: whether `HandleReloadConfigRequest` is answered. A configuration names
            folders of this machine, so that whoever may send one chooses what is run here.
    """

    NAME = "tensorflow.serving.ModelService"
    METHODS = ("GetModelStatus", "HandleReloadConfigRequest")

    def __init__(
        self, models: Models, monitoring: Monitoring, places: Places, *, allow_reload: bool
    ):
        self.models, self.monitoring, self.places = models, monitoring, places
        self._allow_reload = allow_reload

    @_reads(get_model_status_pb2.GetModelStatusRequest)
    async def GetModelStatus(self, request: Any, _: Any) -> Any:  # noqa: N802, the protocol's name
        if not request.HasField("model_spec"):
            names = ", ".join(repr(name) for name in self.models.names)
            raise RefusedError(
                _CODE.INVALID_ARGUMENT,
                f"The request has no `model_spec`, which says of what the states are. Name the "
                f"model: {names}.",
            )
        return states(self.models, request.model_spec)

    @_reads(model_management_pb2.ReloadConfigRequest)
    async def HandleReloadConfigRequest(self, request: Any, _: Any) -> Any:  # noqa: N802
        if not self._allow_reload:
            raise RefusedError(
                _CODE.PERMISSION_DENIED,
                "This server takes no configuration from requests. Start it with --allow-reload, "
                "or write the new version into its base path.",
            )
        response = model_management_pb2.ReloadConfigResponse()
        try:
            check_config(request.config)
        except ValueError as error:
            raise RefusedError(_CODE.INVALID_ARGUMENT, str(error)) from error
        try:
            await asyncio.to_thread(self.models.reload, request.config)
        except (OSError, ValueError) as error:
            raise RefusedError(_CODE.FAILED_PRECONDITION, str(error)) from error
        response.status.error_code = 0
        return response
