"""TensorFlow Serving's REST interface over `Models`, with metrics and a page of health.

    POST /v1/models/NAME[/versions/N|/labels/L]:predict   {"instances": [...]} or {"inputs": {...}}
    GET  /v1/models/NAME[/versions/N|/labels/L]            states of versions
    GET  /v1/models/NAME[/versions/N|/labels/L]/metadata   signatures
    GET  /metrics, /monitoring/prometheus/metrics          counters, as Prometheus reads them
    GET  /health                                           200 while it answers

Source: tensorflow.org/tfx/serving/api_rest. Text that is no UTF-8 is {"b64": "..."} there and here.
"""

import asyncio
import base64
import binascii
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import grpc
import numpy as np
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from hrec_tf.serving import tensors
from hrec_tf.serving.artefact import DEFAULT_SIGNATURE, Artefact
from hrec_tf.serving.bodies import Bodies
from hrec_tf.serving.extra import require
from hrec_tf.serving.http_runner import HTTPRunner, sender
from hrec_tf.serving.models import Models
from hrec_tf.serving.monitoring import Monitoring
from hrec_tf.serving.requests import Places, RefusedError
from hrec_tf.serving.services import as_refused, filled_spec, predict, states
from hrec_tf.serving.tls import TLS

web: Any = require("aiohttp.web", by="REST")

HTTP_STATUS = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""Of the name of a gRPC status; 500 of all others."""
SECONDS = 60.0
"""That a request may take to come in, an answer to be ready, and to be taken."""
LINGER = 10.0
"""Seconds in which what was refused may still come, so that who sends it reads why."""
_METHODS = {"GET", "POST"}
_LARGE = 2**16
"""Bytes of a body that is read, and its answer written, beside the loop."""


class RestServer:
    """Speaks HTTP in the loop of the models.

    Args:
        models: all there are.
        monitoring: counts.
        address: of the interface.
        tls: files with which it encrypts, or None.
    """

    def __init__(self, models: Models, monitoring: Monitoring, address: str, tls: TLS | None):
        self._models, self._monitoring = models, monitoring
        self._address, self._ssl = address, None if tls is None else tls.of_http()
        self._runner: Any = None
        # What a large body is parsed to takes 30 times its bytes: one at a time has that.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="bodies")

    async def start(self, port: int, max_bytes: int, connections: int) -> int:
        """Listens, and returns the port.

        Args:
            port: 0 for any free one.
            max_bytes: of a body.
            connections: requests that are in work at once; to more the answer is 429. As many
                more may be coming: to who takes longest, the answer is 408.

        Raises:
            OSError: the port is taken.
        """
        self._places, self._bodies = Places(connections), Bodies(connections)
        try:
            return await self._open(port, max_bytes)
        except BaseException:
            await self.stop(0)
            raise

    async def stop(self, grace: float) -> None:
        """Takes no more requests, and ends when those in progress are answered, or past `grace`."""
        if self._runner is not None:
            await self._runner.end(grace)
        self._reader.shutdown(wait=False, cancel_futures=True)

    async def _open(self, port: int, max_bytes: int) -> int:
        app = web.Application(client_max_size=max_bytes, middlewares=[sender(SECONDS)])
        app.add_routes(
            [
                web.route("*", "/v1/models/{path:.+}", self._model),
                web.get("/metrics", self._metrics),
                web.get("/monitoring/prometheus/metrics", self._metrics),
                web.get("/health", self._health),
            ]
        )
        self._runner = HTTPRunner(app, keepalive_timeout=SECONDS, lingering_time=LINGER)
        await self._runner.setup()
        try:
            site = web.TCPSite(
                self._runner, self._address, port, ssl_context=self._ssl, reuse_port=False
            )
            await site.start()
        except OSError as error:
            raise OSError(
                f"The server could not listen on {self._address}:{port} for REST. The port must "
                "be free, and the address one of this machine. Choose another port."
            ) from error
        return self._runner.addresses[0][1]

    async def _metrics(self, _: Any) -> Any:
        return web.Response(
            body=self._monitoring.text(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    async def _health(self, _: Any) -> Any:
        return web.json_response({"status": "SERVING", "models": self._models.versions()})

    async def _model(self, request: Any) -> Any:
        # Anything may stand in the place of a method, and each one counted takes memory.
        method = request.method if request.method in _METHODS else "other"
        body, failure = b"", None
        try:
            body = await self._body(request)
        except _BodyError as error:
            failure = error
        with self._monitoring.request("rest", method) as code:
            try:
                if failure is not None:
                    raise failure
                status, answer = 200, await self._in_work(request, body)
            except Exception as error:
                refused = as_refused(error)
                code.append(refused.code.name)
                status = HTTP_STATUS.get(refused.code.name, 500)
                if isinstance(refused, _BodyError):
                    status = refused.status
                answer = json.dumps({"error": refused.message}).encode()
        return web.Response(body=answer, status=status, content_type="application/json")

    async def _body(self, request: Any) -> bytes:
        try:
            return await self._bodies.read(request, SECONDS)
        except TimeoutError as error:
            late = f"took too long: {SECONDS:g} s at most, less where many come. Send it at once"
            raise _BodyError(408, "DEADLINE_EXCEEDED", late) from error
        except web.HTTPRequestEntityTooLarge as error:
            too_large = f"is too large: {error.text}. Send less at once"
            raise _BodyError(413, "RESOURCE_EXHAUSTED", too_large) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            broken = f"broke off ({type(error).__name__}), but must be whole. Send it again"
            raise _BodyError(400, "INVALID_ARGUMENT", broken) from error

    async def _in_work(self, request: Any, body: bytes) -> bytes:
        with self._places.taken():
            return await self._asked(request.method, request.match_info["path"], body)

    async def _asked(self, method: str, path: str, body: bytes) -> bytes:
        spec, verb = _read_path(path)
        if (method, verb) == ("POST", "predict"):
            return await self._predict(spec, body)
        return json.dumps(self._told(method, verb, path, spec)).encode()

    def _told(self, method: str, verb: str, path: str, spec: Any) -> Any:
        """What is known without asking a model."""
        if (method, verb) == ("GET", ""):
            return _plain(states(self._models, spec))
        if (method, verb) == ("GET", "metadata"):
            with self._models.using(spec) as loaded:
                held = get_model_metadata_pb2.SignatureDefMap()
                for name, signature in loaded.artefact.signatures.items():
                    held.signature_def[name].CopyFrom(signature)
                return {
                    "model_spec": _plain(filled_spec(spec, loaded.artefact.version)),
                    "metadata": {"signature_def": _plain(held)},
                }
        raise RefusedError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"{method} was sent to {path!r}, but there are GET of a model and of its metadata, and "
            "POST of a model with :predict. Send one of these.",
        )

    async def _predict(self, spec: Any, body: bytes) -> bytes:
        is_large, loop = len(body) >= _LARGE, asyncio.get_running_loop()
        # One version reads the inputs and answers them, whatever comes in between.
        with self._models.using(spec) as loaded:
            async with asyncio.timeout(SECONDS):
                if is_large:
                    reading = loop.run_in_executor(self._reader, _read, body, loaded.artefact)
                    asked = await reading
                else:
                    asked = _read(body, loaded.artefact)
                spec.signature_name = asked.signature_name
                _, outputs = await predict(loaded, spec, asked.inputs, ())
        if is_large:
            return await asyncio.to_thread(_answer_of, outputs, asked.is_by_row)
        return _answer_of(outputs, asked.is_by_row)


class _Asked(NamedTuple):
    """What a body asks for.

    Attributes:
        signature_name: empty for the usual.
        inputs: input name -> TensorProto.
        is_by_row: whether it lists rows, as then the answer does.
    """

    signature_name: str
    inputs: Any
    is_by_row: bool


class _BodyError(RefusedError):
    """A body that was not read, with a status that HTTP alone has."""

    def __init__(self, status: int, code: str, text: str):
        super().__init__(grpc.StatusCode[code], f"The body {text}.")
        self.status = status


def _read_path(path: str) -> tuple[Any, str]:
    """The ModelSpec and what is asked of it: "", "metadata" or the verb behind the colon."""
    spec = predict_pb2.PredictRequest().model_spec
    path, _, verb = path.partition(":")
    parts = path.split("/")
    spec.name, rest = parts[0], parts[1:]
    if rest[:1] == ["versions"] and len(rest) > 1 and rest[1].isascii() and rest[1].isdecimal():
        number = int(rest[1])
        if number < 2**63:
            spec.version.value, rest = number, rest[2:]
    elif rest[:1] == ["labels"] and len(rest) > 1:
        spec.version_label, rest = rest[1], rest[2:]
    if rest == ["metadata"] and not verb:
        return spec, "metadata"
    if rest:
        raise RefusedError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"The path {path!r} is not known. Ask for NAME, NAME/versions/N or NAME/labels/L.",
        )
    return spec, verb


def _read(body: bytes, artefact: Artefact) -> _Asked:
    asked = _read_body(body)
    name = asked.get("signature_name", "")
    inputs = _read_inputs(asked, artefact.signature(name or DEFAULT_SIGNATURE))
    return _Asked(name, inputs, "instances" in asked)


def _read_inputs(asked: dict[str, Any], signature: Any) -> Any:
    """Input name -> TensorProto."""
    is_by_row = "instances" in asked
    columns = _columns(asked["instances"], signature) if is_by_row else asked["inputs"]
    inputs = predict_pb2.PredictRequest().inputs
    for name, values in _named(columns, signature).items():
        kind = tensors.DATA_TYPES[signature.inputs[name].dtype]
        tensors.fill(inputs[name], _array(name, values, kind), kind)
    return inputs


def _read_body(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"The body is no JSON: {error}.") from error
    if not isinstance(asked, dict) or ("instances" in asked) == ("inputs" in asked):
        raise _invalid("The body must be an object with either `instances` or `inputs`.")
    unknown = set(asked) - {"instances", "inputs", "signature_name"}
    if unknown or not _is_text(asked.get("signature_name", "")):
        raise _invalid(
            f"The body has {', '.join(sorted(unknown)) or 'a `signature_name` that is no text'}, "
            "but may hold `signature_name` and one of `instances` and `inputs`."
        )
    return asked


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half a pair of surrogates, which JSON may hold
        return False


def _columns(instances: Any, signature: Any) -> Any:
    """Input name -> values of all rows, of a list with an object for each row."""
    if not isinstance(instances, list) or not instances:
        raise _invalid("`instances` must be a list of at least one row.")
    if len(signature.inputs) == 1 and not isinstance(instances[0], dict):
        return {next(iter(signature.inputs)): instances}
    if not all(isinstance(row, dict) and row.keys() == instances[0].keys() for row in instances):
        raise _invalid("`instances` must be objects that all have the same inputs.")
    return {name: [row[name] for row in instances] for name in instances[0]}


def _named(columns: Any, signature: Any) -> dict[str, Any]:
    if len(signature.inputs) == 1 and not isinstance(columns, dict):
        columns = {next(iter(signature.inputs)): columns}
    if not isinstance(columns, dict) or set(columns) != set(signature.inputs):
        came = ", ".join(sorted(columns)) if isinstance(columns, dict) else "no object"
        raise _invalid(
            f"The signature takes the inputs {', '.join(sorted(signature.inputs))}, but came with "
            f"{came}. Send each of them."
        )
    return columns


def _array(name: str, values: Any, kind: tensors.DataType) -> np.ndarray:
    try:
        if kind is tensors.STRING:
            return _texts(values)
        found = np.array(values)
        if (
            found.size
            and found.dtype.kind not in {"b": "b", "i": "iu", "f": "iuf"}[np.dtype(kind.numpy).kind]
        ):
            raise ValueError(f"it holds values of type {found.dtype}")
        if kind is not tensors.BOOL and _has_bool(values):
            raise ValueError("it holds a bool among numbers")
        with np.errstate(over="ignore"):
            held = found.astype(kind.numpy)
        if held.dtype.kind == "i" and not np.array_equal(held, found):
            raise ValueError(f"it holds numbers beyond {kind.name}")
    except (ValueError, TypeError, OverflowError) as error:
        raise _invalid(f"Input `{name}` is no tensor of {kind.name}: {error}.") from error
    return held


def _has_bool(values: Any) -> bool:
    """Whether nested lists hold one, which NumPy would take for a number."""
    kinds = set(map(type, values)) if isinstance(values, list) else {type(values)}
    return bool in kinds or (list in kinds and any(map(_has_bool, values)))


def _texts(values: Any) -> np.ndarray:
    """An object array of bytes, of nested lists of text or {"b64": ...}."""

    def as_bytes(value: Any) -> bytes:
        if isinstance(value, str):
            return value.encode("utf-8")
        if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
            try:
                return base64.b64decode(value["b64"], validate=True)
            except binascii.Error as error:
                raise ValueError(f"{value!r} is no base64") from error
        raise ValueError(f"{value!r} is no text")

    shape, inner = [], values
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    flat = [values]
    for size in shape:
        if not all(isinstance(row, list) and len(row) == size for row in flat):
            raise ValueError("its rows are not of one length")
        flat = [value for row in flat for value in row]
    held = np.empty(len(flat), object)
    held[:] = [as_bytes(value) for value in flat]
    return held.reshape(shape)


def _answer_of(outputs: Any, is_by_row: bool) -> bytes:
    """As TensorFlow Serving writes it: one output goes without its name."""
    return json.dumps(_shaped(outputs, is_by_row)).encode()


def _shaped(outputs: Any, is_by_row: bool) -> Any:
    lists = {name: _lists(values) for name, (_, values) in outputs.items()}
    if is_by_row:
        rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
        if len(lists) == 1:
            return {"predictions": next(iter(lists.values()))}
        return {"predictions": rows}
    return {"outputs": next(iter(lists.values())) if len(lists) == 1 else lists}


def _lists(values: np.ndarray) -> Any:
    if values.dtype != object:
        return values.tolist()
    return (
        np.array([_text(value) for value in values.ravel()], object).reshape(values.shape).tolist()
    )


def _text(value: bytes) -> Any:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode("ascii")}


def _plain(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _invalid(text: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, text)
