"""The messages of the client are the bytes that TensorFlow Serving knows."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import any_pb2, wrappers_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    status_pb2,
)

from hrec_tf.serving import protocol, tensors

ORIGINALS = {
    "Dim": tensor_shape_pb2.TensorShapeProto.Dim,
    "TensorShapeProto": tensor_shape_pb2.TensorShapeProto,
    "TensorProto": tensor_pb2.TensorProto,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "Int64Value": wrappers_pb2.Int64Value,
    "Any": any_pb2.Any,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "StatusProto": status_pb2.StatusProto,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
}


def described(field):
    """Everything about a field that its bytes depend on."""
    kind = field.TYPE_INT32 if field.type == field.TYPE_ENUM else field.type
    inner = field.message_type and (field.message_type.name, field.message_type.fields[0].name)
    return field.name, field.number, kind, field.is_repeated, inner


@pytest.mark.parametrize("name", protocol._MESSAGES)
def test_fields_are_those_of_the_original(name):
    original = ORIGINALS[name].DESCRIPTOR.fields_by_name
    ours = protocol._CLASSES[name].DESCRIPTOR
    assert set(ours.fields_by_name) == set(protocol._MESSAGES[name])
    for field in ours.fields:
        expected = described(original[field.name])
        if expected[4]:  # a message may have lost its first field, but not its name
            assert described(field)[4][0] == expected[4][0]
            assert described(field)[:4] == expected[:4]
        else:
            assert described(field) == expected


def test_states_have_the_names_of_the_original():
    states = get_model_status_pb2.ModelVersionStatus.State
    assert {states.Value(name): name for name in states.keys()} == protocol.MODEL_STATES  # noqa: SIM118


ARRAYS = [
    (np.array([[1.5, -2.0], [np.inf, 0.0]], np.float32), tensors.FLOAT),
    (np.array([1, -2, 2**31 - 1], np.int32), tensors.INT32),
    (np.array([[b"tea"], [b""], ["ø".encode()]], object), tensors.STRING),
    (np.array([-(2**63), 2**63 - 1]), tensors.INT64),
    (np.array([True, False]), tensors.BOOL),
    (np.zeros((0, 3), np.int64), tensors.INT64),
    (np.array(7, np.int64), tensors.INT64),
]


@pytest.mark.parametrize(("values", "kind"), ARRAYS)
def test_tensors_are_those_of_tensorflow(values, kind):
    ours = protocol.TensorProto()
    tensors.fill(ours, values, kind)
    theirs = tensor_pb2.TensorProto.FromString(ours.SerializeToString())
    read = tf.make_ndarray(theirs)
    assert (read.dtype, read.shape) == (values.dtype, values.shape)
    np.testing.assert_array_equal(read, values)
    back = protocol.TensorProto.FromString(tf.make_tensor_proto(values).SerializeToString())
    assert back.dtype == kind.number
    np.testing.assert_array_equal(tensors.to_array(back), values)


def test_fewer_values_than_elements_repeat_the_last():
    short = tensor_pb2.TensorProto(dtype=tensors.INT64.number, int64_val=[4, 7])
    short.tensor_shape.dim.add(size=2)
    short.tensor_shape.dim.add(size=3)
    assert tensors.to_array(short).tolist() == [[4, 7, 7], [7, 7, 7]]
    np.testing.assert_array_equal(tensors.to_array(short), tf.make_ndarray(short))


@settings(deadline=None, max_examples=50)
@given(data=st.binary(max_size=40))
def test_any_bytes_are_a_tensor_or_a_value_error(data):
    """pitfalls: what comes over the wire is never trusted."""
    proto = protocol.TensorProto()
    try:
        proto.ParseFromString(data)
    except Exception:
        return
    proto.dtype = tensors.INT64.number
    try:
        shape = tensors.shape_of(proto)
        if np.prod(shape, dtype=float) < 1e4:
            assert tensors.to_array(proto).shape == shape
    except ValueError as error:
        assert "shape" in str(error)
