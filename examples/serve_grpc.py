"""Serves a model over gRPC and asks it by TensorFlow Serving's own stubs.

python examples/serve_grpc.py                            # trains, exports, serves, asks
python examples/serve_grpc.py --small                    # the same with small networks
python examples/serve_grpc.py --address localhost:8500   # asks a server that runs already
                              # … --tls-servers FILE.pem    over TLS

The server is the one of `hrec serve`. A real TensorFlow Serving over the same artefact (see
serving/tf_serving) answers the same requests; `hrec_tf.serving.Client` hides all of this.
"""

import argparse
import tempfile
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from hrec_tf.data import Vocabulary, catalogue, filters, histories_from_log
from hrec_tf.data.lanes import user_parallel_stream
from hrec_tf.export import export_saved_model
from hrec_tf.losses import TOP1, InBatch
from hrec_tf.models import HRNN
from hrec_tf.optimizers import AdagradMomentum
from hrec_tf.recommender import Recommender
from hrec_tf.serving import Server

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--small", action="store_true", help="60 users and small networks")
parser.add_argument("--address", help="host:port of a server that runs already")
parser.add_argument("--tls-servers", type=Path, help="PEM file of who signs its certificate")
options = parser.parse_args()
if options.tls_servers and not options.address:
    parser.error("--tls-servers is for a server that runs already. Add its --address.")
texts = catalogue.entry("online-retail").describe()


def ask(service, history, signature="recommend", **inputs):
    """Sends one request; returns the outputs as arrays."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "recommender", signature
    inputs |= {
        "item_ids": tf.constant([[item for item, _ in history]]),
        "timestamps": tf.constant([[seconds for _, seconds in history]], tf.int64),
        "lengths": tf.constant([len(history)], tf.int32),
    }
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    outputs = service.Predict(request, timeout=5).outputs
    return {name: tf.make_ndarray(value) for name, value in outputs.items()}


def channel_to(address):
    """Plain text, or TLS where the file of `--tls-servers` says whom to believe."""
    if options.tls_servers is None:
        return grpc.insecure_channel(address)
    believed = grpc.ssl_channel_credentials(options.tls_servers.read_bytes())
    return grpc.secure_channel(address, believed)


def show(address):
    """Asks for two customers with the same basket and different histories."""
    with channel_to(address) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        now = 1_323_000_000
        basket = [("22423", now), ("22720", now + 60)]
        week_ago = now - 7 * 24 * 3600
        for before in (
            [],
            [("21212", week_ago), ("84991", week_ago)],
            [("20725", week_ago), ("20727", week_ago)],
        ):
            answer = ask(service, before + basket, exclude_seen=tf.constant([True]))
            print(f"\nbefore: {[texts[item] for item, _ in before]}, now {texts['22423']}, …")
            for item, score in zip(answer["item_ids"][0][:5], answer["scores"][0], strict=False):
                print(f"    {item.decode():8} {score:7.3f}  {texts[item.decode()]}")


if options.address:
    show(options.address)
else:
    entry = catalogue.entry("online-retail")
    log = entry.prepare(entry.read())
    log = filters.first_users(log, 60) if options.small else log
    vocabulary = Vocabulary.from_log(log)
    units = 20 if options.small else 100
    model = HRNN(num_items=vocabulary.num_items, session_units=units, user_units=units, seed=1)
    model.compile(optimizer=AdagradMomentum(0.1), loss=TOP1(), negatives=InBatch())
    stream = user_parallel_stream(
        histories_from_log(log, vocabulary), num_lanes=10 if options.small else 50, seed=1
    )
    losses = model.fit(stream, epochs=2, verbose=0).history["loss"]
    print("loss per epoch:", ", ".join(f"{loss:.4f}" for loss in losses))
    with tempfile.TemporaryDirectory() as base_path:
        export_saved_model(Recommender(model, vocabulary), base_path)
        with Server(base_path) as server:
            print("serving", server.signatures, "on port", server.port)
            show(f"127.0.0.1:{server.port}")
