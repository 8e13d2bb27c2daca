"""TensorFlow Serving's gRPC services over `Models`, with its status codes."""

import functools
import logging
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from hrec_tf.serving import tensors
from hrec_tf.serving.artefact import Outputs
from hrec_tf.serving.models import Models
from hrec_tf.serving.monitoring import Monitoring
from hrec_tf.serving.requests import RefusedError

_LOG = logging.getLogger(__name__)
_MAX_MESSAGE = 1000


def answered(protocol: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Turns what a method of a service raises into the status of its reply, and counts it."""

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: Any) -> Any:
        with self.monitoring.request(protocol, method.__name__) as code:
            try:
                return method(self, request, context)
            except Exception as error:
                refused = as_refused(error)
                code.append(refused.code.name)
                # It travels in a header, which has little room, and may quote what was sent.
                context.abort(refused.code, refused.message[:_MAX_MESSAGE])

    return answer


def as_refused(error: Exception) -> RefusedError:
    """Returns what a client is told of an error; one that nobody foresaw is logged."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, futures.TimeoutError | futures.CancelledError):
        return RefusedError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "The answer was not ready by the deadline of the request.",
        )
    _LOG.error("A request could not be answered.", exc_info=error)
    return RefusedError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


_grpc = functools.partial(answered, "grpc")


def predict(
    models: Models, spec: Any, inputs: Any, output_filter: Any, seconds: float | None
) -> tuple[Any, Outputs]:
    """Runs a signature, together with other requests that wait.

    Args:
        models: all there are.
        spec: ModelSpec of the request.
        inputs: input name -> TensorProto.
        output_filter: names of the wanted outputs; empty for all.
        seconds: until nobody waits for the answer; None for ever.

    Returns:
        The ModelSpec of the answer, and the outputs.

    Raises:
        RefusedError: with the code that TensorFlow Serving answers.
        TimeoutError: the time is over.
    """
    with models.using(spec) as loaded:
        artefact = loaded.artefact
        call = artefact.call(spec.signature_name, inputs, output_filter)
        answer = loaded.runner.submit(call)
        try:
            values = answer.result(timeout=seconds)
        except futures.TimeoutError:
            answer.cancel()
            raise
        return filled_spec(spec, artefact.version, call.signature), artefact.outputs(call, values)


def filled_spec(spec: Any, version: int, signature: str = "") -> Any:
    """Returns the ModelSpec of an answer."""
    filled = predict_pb2.PredictRequest().model_spec
    filled.name, filled.signature_name = spec.name, signature
    filled.version.value = version
    return filled


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers from models.

    Args:
        models: all there are.
        monitoring: counts.
    """

    def __init__(self, models: Models, monitoring: Monitoring):
        self.models, self.monitoring = models, monitoring

    @_grpc
    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802, the protocol's name
        spec, outputs = predict(
            self.models,
            request.model_spec,
            request.inputs,
            request.output_filter,
            context.time_remaining(),
        )
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(spec)
        for alias, (kind, values) in outputs.items():
            tensors.fill(response.outputs[alias], values, kind)
        return response

    @_grpc
    def GetModelMetadata(self, request: Any, _: Any) -> Any:  # noqa: N802, the protocol's name
        if list(request.metadata_field) != ["signature_def"]:
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT,
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


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Tells of versions, and takes another configuration.

    Args:
        models: all there are.
        monitoring: counts.
        allow_reload: whether `HandleReloadConfigRequest` is answered. A configuration names
            folders of this machine, so that whoever may send one chooses what is run here.
    """

    def __init__(self, models: Models, monitoring: Monitoring, *, allow_reload: bool):
        self.models, self.monitoring, self._allow_reload = models, monitoring, allow_reload

    @_grpc
    def GetModelStatus(self, request: Any, _: Any) -> Any:  # noqa: N802, the protocol's name
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, (state, error) in self.models.statuses(request.model_spec).items():
            entry = response.model_version_status.add(version=version, state=state)
            if error:
                entry.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
                entry.status.error_message = error[:_MAX_MESSAGE]
        return response

    @_grpc
    def HandleReloadConfigRequest(self, request: Any, _: Any) -> Any:  # noqa: N802
        if not self._allow_reload:
            raise RefusedError(
                grpc.StatusCode.PERMISSION_DENIED,
                "This server takes no configuration from requests. Start it with --allow-reload, "
                "or write the new version into its base path.",
            )
        response = model_management_pb2.ReloadConfigResponse()
        try:
            self.models.reload(request.config)
        except (OSError, ValueError) as error:
            raise RefusedError(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error
        response.status.error_code = 0
        return response
