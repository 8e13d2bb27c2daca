"""What a server answers to right and wrong requests.

The same suite runs against a TensorFlow Serving, where HREC_TF_SERVING=host:port names one that
serves an export as "recommender". There the codes must agree; the messages are its own.
"""

import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from hrec_tf.export.state_seal import NUMBER
from hrec_tf.serving.client import Client
from hrec_tf.serving.metadata import Metadata
from hrec_tf.serving.server import Server
from tests.serving import toy
from tests.serving.signature_inputs import AT, filled, filled_json

StatusCode = grpc.StatusCode


@pytest.fixture(scope="module")
def known(served):
    """What the client learns of the model: the suite knows neither its items nor its sizes."""
    with Client(served.address) as client:
        metadata = client.metadata()
    unknown = "never seen" if metadata.id_type == "string" else -(2**62)
    history = filled(metadata, "recommend", toy.recommend_inputs(item_ids=[[unknown]]))
    response = served.predict.Predict(toy.request("recommend", history), timeout=20)
    return metadata, tf.make_ndarray(response.outputs["item_ids"])[0].tolist()


@pytest.fixture
def inputs(known):
    metadata, items = known
    history = toy.recommend_inputs(item_ids=[items[:2]])
    given = {
        "recommend": history,
        "score": history | {"candidates": tf.constant(np.array([items[:3]]))},
        "step": {
            "item_ids": tf.constant(np.array(items[:1])),
            "timestamps": tf.constant([5], tf.int64),
        },
    }
    there = [name for name in given if name in metadata.signatures]  # a step is not always
    made = {name: filled(metadata, name, given[name]) for name in there}
    return {"": made["recommend"]} | made


def test_a_model_is_told_all_that_it_takes():
    """Of one that knows the time of asking and reads features, there and over REST."""
    inputs = {"item_ids": ("string", (-1, -1)), "at": ("int64", (-1,))}
    inputs |= {"feedback": ("float32", (-1, -1, 2)), "user_features": ("float32", (-1, 3))}
    metadata = Metadata("", 1, "string", 4, 0, 0, {"score": {"inputs": inputs}}, {})
    history = toy.recommend_inputs(item_ids=[["tea", "jam"]])
    made = filled(metadata, "score", history)
    assert {name: values.shape.as_list() for name, values in made.items()} == {
        "item_ids": [1, 2],
        "at": [1],
        "feedback": [1, 2, 2],
        "user_features": [1, 3],
    }
    assert made["item_ids"] is history["item_ids"] and made["at"].numpy() == [AT]
    dtypes = {"string": "DT_STRING", "int64": "DT_INT64", "float32": "DT_FLOAT"}
    told = {
        name: {
            "dtype": dtypes[kind],
            "tensor_shape": {"dim": [{"size": str(size)} for size in sizes]},
        }
        for name, (kind, sizes) in inputs.items()
    }
    batch = {"item_ids": [["tea", "jam"]], "lengths": [2]}
    assert filled_json(told, batch) == {
        "item_ids": [["tea", "jam"]],
        "at": [AT],
        "feedback": [[[0, 0], [0, 0]]],
        "user_features": [[0, 0, 0]],
    }


def of(signature, inputs):
    if signature not in inputs:
        pytest.skip(f"the model has no {signature}")
    return inputs[signature]


def assert_refused(served, request, code, message):
    with pytest.raises(grpc.RpcError) as caught:
        served.predict.Predict(request, timeout=20)
    assert caught.value.code() is code, caught.value.details()
    if served.is_ours:
        assert message in caught.value.details()
        assert "Traceback" not in caught.value.details()
        assert "{{node" not in caught.value.details()


def test_answer_names_model_version_and_signature(served, known, inputs):
    metadata, items = known
    for signature, wanted in inputs.items():
        response = served.predict.Predict(toy.request(signature, wanted), timeout=20)
        assert response.model_spec.name == "recommender"
        assert response.model_spec.version.value == metadata.version
        assert response.model_spec.signature_name == (signature or "serving_default")
        told = metadata.signatures[signature or "serving_default"]["outputs"]
        assert set(response.outputs) == set(told)
        if signature == "score":
            scores = tf.make_ndarray(response.outputs["scores"])
            assert scores.shape == (1, min(3, len(items)))


def test_the_same_request_gives_the_same_reply_bit_for_bit(served, inputs):
    request = toy.request("recommend", inputs["recommend"])
    first, second = (served.predict.Predict(request, timeout=20) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


def test_output_filter_is_honoured(served, inputs):
    request = toy.request("", inputs[""], output_filter=["scores"])
    assert set(served.predict.Predict(request, timeout=20).outputs) == {"scores"}


def test_the_version_may_be_named(served, known, inputs):
    request = toy.request("score", inputs["score"], version=known[0].version)
    assert served.predict.Predict(request, timeout=20).outputs


def test_values_may_come_as_bytes_or_once_for_all(served, inputs):
    """Both are TensorProto's own short forms; other clients use them."""
    usual = served.predict.Predict(toy.request("", inputs[""]), timeout=20)
    short = toy.request("", inputs[""])
    times = short.inputs["timestamps"]
    assert times.tensor_content
    del short.inputs["exclude_seen"].bool_val[:]
    short.inputs["exclude_seen"].bool_val.append(True)
    times.int64_val.extend(np.frombuffer(times.tensor_content, np.int64).tolist())
    times.ClearField("tensor_content")
    again = served.predict.Predict(short, timeout=20)
    for name in usual.outputs:
        first, second = (tf.make_ndarray(reply.outputs[name]) for reply in (usual, again))
        np.testing.assert_array_equal(first, second)


def test_a_batch_without_rows_has_an_empty_answer(served, known):
    metadata, items = known
    nothing = tf.zeros((0,), tf.int32)
    inputs = filled(metadata, "recommend", toy.recommend_inputs(item_ids=[items[:1]]))
    inputs = {name: values[:0] for name, values in inputs.items()} | {"lengths": nothing}
    response = served.predict.Predict(toy.request("", inputs), timeout=20)
    assert tf.make_ndarray(response.outputs["scores"]).shape == (0, metadata.k)


SPEC_REFUSALS = [
    ({"model": "other"}, StatusCode.NOT_FOUND, "Servable not found for request: other. This"),
    ({"model": ""}, StatusCode.INVALID_ARGUMENT, "`model_spec` has no name. Name the model"),
    ({"version": 10**6}, StatusCode.NOT_FOUND, "recommender version 1000000. This server has"),
    (
        {"signature": "recomend"},
        StatusCode.FAILED_PRECONDITION,
        'Serving signature key "recomend" not found. The model has recommend, score, '
        "serving_default, step. Did you mean 'recommend'?",
    ),
    (
        {"output_filter": ["score"]},
        StatusCode.INVALID_ARGUMENT,
        "`output_filter` names 'score', but signature 'recommend' has the outputs item_ids, "
        "scores, state, state_info. Did you mean 'scores'?",
    ),
    (
        {"output_filter": ["scores", "scores"]},
        StatusCode.INVALID_ARGUMENT,
        "`output_filter` names 'scores' twice",
    ),
]


@pytest.mark.parametrize(("changes", "code", "message"), SPEC_REFUSALS)
def test_what_is_not_there_is_refused(served, inputs, changes, code, message):
    arguments = {"signature": "recommend", "inputs": inputs["recommend"]} | changes
    assert_refused(served, toy.request(**arguments), code, message)


def test_a_version_label_is_refused(served, inputs):
    request = toy.request("recommend", inputs["recommend"])
    request.model_spec.version_label = "nobody"  # has it, nor does a configuration of ours
    message = "Unrecognized servable version label: nobody. Labels of this model: none. Name one"
    assert_refused(served, request, StatusCode.INVALID_ARGUMENT, message)
    request.model_spec.name = "other"
    message = "label: nobody. Labels of this model: none, since this server has recommender. Name"
    assert_refused(served, request, StatusCode.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("signature", "name", "values", "message"),
    [
        (
            "recommend",
            "lengths",
            None,
            "Signature 'recommend' takes the inputs exclude_seen, item_ids, lengths, timestamps. "
            "Missing: lengths. Not known: none.",
        ),
        ("recommend", "times", [1], "Missing: none. Not known: times."),
        (
            "recommend",
            "timestamps",
            np.zeros((1, 2), np.int32),
            "Input `timestamps` has type int32, but int64 [any, any] is expected.",
        ),
        (
            "recommend",
            "item_ids",
            np.zeros((1, 2), np.float32),
            "Input `item_ids` has type float32, but string [any, any] is expected.",
        ),
        (
            "recommend",
            "exclude_seen",
            np.zeros(1, np.float64),
            "Input `exclude_seen` has type number 2, but bool [any] is expected.",
        ),
        (
            "recommend",
            "lengths",
            np.zeros((1, 1), np.int32),
            "Input `lengths` has shape [1, 1], but int32 [any] is expected.",
        ),
        (
            "step",
            "state",
            np.zeros((1, 999), np.float32),
            "Input `state` has shape [1, 999], but float32 [any, 2] is expected.",
        ),
        (
            "recommend",
            "timestamps",
            np.array([[9, 5]]),
            "`timestamps` must not go back inside a row",
        ),
    ],
)
def test_wrong_inputs_are_refused(served, inputs, signature, name, values, message):
    wanted = {k: v for k, v in of(signature, inputs).items() if k != name}
    if values is not None:
        wanted[name] = values
    assert_refused(served, toy.request(signature, wanted), StatusCode.INVALID_ARGUMENT, message)


def test_a_state_of_another_model_is_refused(served, known, inputs):
    info = np.zeros((1, known[0].info_size), np.int64)
    info[:, 0], info[:, NUMBER] = 5, 4711
    asked = toy.request("step", of("step", inputs) | {"state_info": info})
    message = "`state` comes from another model"
    assert_refused(served, asked, StatusCode.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("signature", "name", "values", "message"),
    [
        (
            "recommend",
            "lengths",
            np.zeros(3, np.int32),
            "Input `exclude_seen` has batch 1, but `lengths` has batch 3. Send the same number",
        ),
    ],
)
def test_rows_must_agree(served, inputs, signature, name, values, message):
    if not served.is_ours:
        pytest.skip("a check of our own")
    wanted = inputs[signature] | {name: values}
    assert_refused(served, toy.request(signature, wanted), StatusCode.INVALID_ARGUMENT, message)


def cut_short(tensor):
    tensor.tensor_content = tensor.tensor_content[:-1]


def without_values(tensor):
    tensor.ClearField("tensor_content")
    tensor.tensor_shape.dim[0].size = -1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            cut_short,
            "Input `timestamps` is no tensor: `tensor_content` has 15 bytes, but shape [1, 2] "
            "needs 16.",
        ),
        (without_values, "Input `timestamps` is no tensor: its shape [-1, 2] is not known in full"),
    ],
)
def test_a_tensor_that_does_not_parse_is_refused(served, inputs, spoil, message):
    request = toy.request("recommend", inputs["recommend"])
    spoil(request.inputs["timestamps"])
    assert_refused(served, request, StatusCode.INVALID_ARGUMENT, message)


def test_text_in_a_form_that_is_not_read_is_refused(served, known, inputs):
    if not served.is_ours:
        pytest.skip("TensorFlow Serving reads it")
    request = toy.request("recommend", inputs["recommend"])
    request.inputs["item_ids"].tensor_content = b"\x01\x01ab"
    message = "Input `item_ids` is no tensor: its text is in `tensor_content`"
    assert_refused(served, request, StatusCode.INVALID_ARGUMENT, message)
    request = toy.request("recommend", inputs["recommend"])
    request.inputs["item_ids"].string_val.append(b"gin")
    message = "`string_val` has 3 values, but shape [1, 2] needs 2"
    assert_refused(served, request, StatusCode.INVALID_ARGUMENT, message)


def test_metadata_holds_the_signatures(served, known):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "recommender"
    response = served.predict.GetModelMetadata(request, timeout=20)
    assert response.model_spec.version.value == known[0].version
    held = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(held)
    signatures = held.signature_def
    assert {"recommend", "serving_default", "score"} <= set(signatures)
    assert signatures["recommend"].method_name == "tensorflow/serving/predict"
    for name, told in known[0].signatures.items():
        assert set(signatures[name].inputs) == set(told["inputs"])
    assert {"item_ids", "timestamps", "lengths", "candidates"} <= set(signatures["score"].inputs)
    assert signatures["score"].inputs["timestamps"].dtype == tf.int64.as_datatype_enum


@pytest.mark.parametrize(
    ("name", "fields", "code", "message"),
    [
        ("other", ["signature_def"], StatusCode.NOT_FOUND, "Servable not found for request: other"),
        (
            "recommender",
            ["weights"],
            StatusCode.INVALID_ARGUMENT,
            "`metadata_field` was ['weights'], but only signature_def is known",
        ),
        ("recommender", [], StatusCode.INVALID_ARGUMENT, "`metadata_field` was [], but only"),
    ],
)
def test_other_metadata_is_refused(served, name, fields, code, message):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    with pytest.raises(grpc.RpcError) as caught:
        served.predict.GetModelMetadata(request, timeout=20)
    assert caught.value.code() is code
    if served.is_ours:
        assert message in caught.value.details()


def test_status_is_available(served, known):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "recommender"
    states = served.status.GetModelStatus(request, timeout=20).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert known[0].version == max(one.version for one in states if one.state == available)
    # A label says nothing here, be it one that nobody has.
    request.model_spec.version_label = "nobody"
    assert served.status.GetModelStatus(request, timeout=20).model_version_status == states
    request.model_spec.ClearField("version_label")
    for name, version in (("other", None), ("recommender", 10**6)):
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        with pytest.raises(grpc.RpcError) as caught:
            served.status.GetModelStatus(request, timeout=20)
        assert caught.value.code() is StatusCode.NOT_FOUND


def code_of(ask, request):
    with pytest.raises(grpc.RpcError) as caught:
        ask(request, timeout=20)
    return caught.value.code()


def test_a_request_without_its_model_is_refused(served):
    status = get_model_status_pb2.GetModelStatusRequest()
    assert code_of(served.status.GetModelStatus, status) is StatusCode.INVALID_ARGUMENT
    status.model_spec.name = ""  # a model without a name is one that is not there
    status.model_spec.SetInParent()
    assert code_of(served.status.GetModelStatus, status) is StatusCode.NOT_FOUND
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    assert code_of(served.predict.GetModelMetadata, metadata) is StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def reload(served, toy_base):
    """The method of a server that takes other configurations."""
    if not served.is_ours:
        yield served.status.HandleReloadConfigRequest
        return
    with (
        Server(toy_base, allow_reload=True, poll_seconds=0) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
        assert server.version == 1


def models(*more):
    each = 'config {{ name: "recommender" base_path: "/models/recommender" {} }}'
    return f"model_config_list {{ {' '.join(map(each.format, more))} }}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        'custom_model_config { type_url: "none" }',
        models(*['model_platform: "tensorflow"'] * 2),
        models("model_type: OTHER"),
        models('model_platform: "other"'),
    ],
    ids=["empty", "custom", "a name twice", "another type", "another platform"],
)
def test_a_configuration_that_no_server_takes_is_refused(reload, text):
    """Before anything is changed, by TensorFlow Serving, too."""
    config = text_format.Parse(text, ModelServerConfig())
    request = model_management_pb2.ReloadConfigRequest(config=config)
    assert code_of(reload, request) is StatusCode.INVALID_ARGUMENT


def test_an_answer_beyond_the_limit_is_refused_and_counted_as_such(toy_base):
    """gRPC sends none, either, but what it does is not counted."""
    most = 1000
    with (
        Server(toy_base, max_message_bytes=most) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = toy.request("", toy.recommend_inputs(item_ids=[["tea"]]))
        assert stub.Predict(request, timeout=20).ByteSize() < most
        for tensor in request.inputs.values():
            tensor.tensor_shape.dim[0].size = 40  # one value stands for all rows
        with pytest.raises(grpc.RpcError, match="bytes, but at most 1000 are sent") as caught:
            stub.Predict(request, timeout=20)
        assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
        counted, until = b'code="RESOURCE_EXHAUSTED",method="Predict"', time.monotonic() + 10
        while counted not in server.monitoring.text():  # which follows the reply
            assert time.monotonic() < until
            time.sleep(0.01)


def test_what_is_not_offered_is_said_so(served):
    if not served.is_ours:
        pytest.skip("TensorFlow Serving offers it")
    with pytest.raises(grpc.RpcError) as caught:
        served.predict.Classify(classification_pb2.ClassificationRequest(), timeout=20)
    assert caught.value.code() is StatusCode.UNIMPLEMENTED
