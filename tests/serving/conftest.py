"""Servers that the tests ask: one over a toy, or the one that HREC_TF_SERVING names."""

import os
from typing import Any, NamedTuple

import grpc
import pytest
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from hrec_tf.serving.client import Client
from hrec_tf.serving.server import Server
from tests.serving import toy

VARIABLE = "HREC_TF_SERVING"
"""host:port of a TensorFlow Serving that serves an export of hrec_tf as "recommender"."""


class Served(NamedTuple):
    address: str
    predict: Any  # stubs of TensorFlow Serving itself
    status: Any
    is_ours: bool


@pytest.fixture(scope="session")
def toy_base(tmp_path_factory):
    base = tmp_path_factory.mktemp("toy")
    toy.write_toy(base)
    return base


@pytest.fixture(scope="session")
def toy_server(toy_base):
    with Server(toy_base, max_batch=50, max_elements=2000, max_history=600) as server:
        yield server


@pytest.fixture(scope="session")
def served(request):
    """What answers the suite of requests."""
    address = os.environ.get(VARIABLE)
    is_ours = address is None
    if address is None:
        address = f"127.0.0.1:{request.getfixturevalue('toy_server').port}"
    with grpc.insecure_channel(address) as channel:
        yield Served(
            address,
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
            is_ours,
        )


@pytest.fixture(scope="session")
def client(toy_server):
    with Client(f"127.0.0.1:{toy_server.port}") as client:
        yield client
