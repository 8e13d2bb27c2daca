"""What a server answers to right and wrong requests.

The same suite runs against a TensorFlow Serving, where HREC_TF_SERVING=host:port names one that
serves an export as "recommender". There the codes must agree; the messages are its own.
"""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
)

from hrec_tf.serving.client import Client
from tests.serving import toy

StatusCode = grpc.StatusCode
ALL_OUTPUTS = {"item_ids", "scores", "state", "state_info"}


@pytest.fixture(scope="module")
def known(served):
    """What the client learns of the model: the suite knows neither its items nor its sizes."""
    with Client(served.address) as client:
        metadata = client.metadata()
        items = [item for item, _ in client.recommend()]
    return metadata, items


@pytest.fixture
def inputs(known):
    metadata, items = known
    state = np.zeros((1, metadata.state_size), np.float32)
    step = {
        "item_ids": tf.constant(np.array(items[:1])),
        "timestamps": tf.constant([5], tf.int64),
        "state": tf.constant(state),
        "state_info": tf.zeros((1, metadata.info_size), tf.int64),
    }
    history = toy.recommend_inputs(item_ids=[items[:2]])
    score = {name: values for name, values in history.items() if name != "exclude_seen"}
    score["candidates"] = tf.constant(np.array([items[:3]]))
    return {"": history, "recommend": history, "step": step, "score": score}


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
        assert set(response.outputs) == ({"scores"} if signature == "score" else ALL_OUTPUTS)
    assert tf.make_ndarray(response.outputs["scores"]).shape == (1, min(3, len(items)))


def test_the_same_request_gives_the_same_reply_bit_for_bit(served, inputs):
    request = toy.request("recommend", inputs["recommend"])
    first, second = (served.predict.Predict(request, timeout=20) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


def test_output_filter_is_honoured(served, inputs):
    request = toy.request("", inputs[""], output_filter=["scores", "state_info"])
    response = served.predict.Predict(request, timeout=20)
    assert set(response.outputs) == {"scores", "state_info"}


def test_the_version_may_be_named(served, known, inputs):
    request = toy.request("step", inputs["step"], version=known[0].version)
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
    inputs = toy.recommend_inputs(item_ids=[items[:1]])
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
        (
            "step",
            "state_info",
            np.array([[5, 1, 0, 4711]]),
            "`state` comes from another model",
        ),
    ],
)
def test_wrong_inputs_are_refused(served, inputs, signature, name, values, message):
    wanted = {k: v for k, v in inputs[signature].items() if k != name}
    if values is not None:
        wanted[name] = values
    assert_refused(served, toy.request(signature, wanted), StatusCode.INVALID_ARGUMENT, message)


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
    assert {"recommend", "serving_default", "step", "score"} <= set(signatures)
    assert signatures["recommend"].method_name == "tensorflow/serving/predict"
    assert set(signatures["score"].inputs) == {"item_ids", "timestamps", "lengths", "candidates"}
    assert signatures["step"].inputs["timestamps"].dtype == tf.int64.as_datatype_enum


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
    (entry,) = served.status.GetModelStatus(request, timeout=20).model_version_status
    assert entry.version == known[0].version
    assert entry.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    for name, version in (("other", None), ("recommender", 10**6)):
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        with pytest.raises(grpc.RpcError) as caught:
            served.status.GetModelStatus(request, timeout=20)
        assert caught.value.code() is StatusCode.NOT_FOUND


def test_what_is_not_offered_is_said_so(served):
    if not served.is_ours:
        pytest.skip("TensorFlow Serving offers it")
    with pytest.raises(grpc.RpcError) as caught:
        served.predict.Classify(classification_pb2.ClassificationRequest(), timeout=20)
    assert caught.value.code() is StatusCode.UNIMPLEMENTED
