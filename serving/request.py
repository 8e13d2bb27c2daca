"""Asks a served recommender, over gRPC or REST.

python serving/request.py tea@1700000000 jam@1700000060
python serving/request.py --rest http://127.0.0.1:8501 tea@1700000000
python serving/request.py --grpc models.example.com:8500 --tls-servers authority.pem

An event is item@seconds, oldest first; without one, a new user is asked for. gRPC goes to
`hrec serve` or TensorFlow Serving, REST to TensorFlow Serving.
"""

import argparse
import json
import sys
import urllib.request

from hrec_tf.serving import Client, ClientTLS, ServingError

MODEL = "recommender"
UNFILLED = -3.4e38
"""Scores below it are the lowest float32, however JSON rounds it: a place without an item."""


def read_event(text):
    """Returns item and seconds of "item@seconds"."""
    item, sign, seconds = text.rpartition("@")
    if not (item and sign and seconds.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no event. Write item@seconds, e.g. tea@1700000000."
        )
    return item, int(seconds)


def body(history, inputs):
    """What REST is sent: the inputs of the signature, one row for the one user."""
    said = {
        "item_ids": [[item for item, _ in history]],
        "timestamps": [[seconds for _, seconds in history]],
        "lengths": [len(history)],
        "exclude_seen": [True],
    }
    if "at" in inputs:  # a model that is told when it is asked: just after the last event
        said["at"] = [history[-1][1] if history else 0]
    return {"signature_name": "recommend", "inputs": said}


def call(url, tls, data=None):
    """Returns the JSON that a URL answers; with data, to a POST of it."""
    body = data and json.dumps(data).encode()
    with urllib.request.urlopen(url, body, timeout=10, context=tls.of_http()) as reply:
        return json.load(reply)


def over_rest(url, history, model_name, tls):
    """Returns (item, score) pairs, best first."""
    model = f"{url}/v1/models/{model_name}"
    signatures = call(f"{model}/metadata", tls)["metadata"]["signature_def"]["signature_def"]
    inputs = signatures["recommend"]["inputs"]
    if inputs["item_ids"]["dtype"] == "DT_INT64":
        history = [(int(item), seconds) for item, seconds in history]
    return filled(call(f"{model}:predict", tls, body(history, inputs))["outputs"])


def filled(outputs):
    """Returns (item, score) pairs of the places that hold an item; no id tells, -1 may be one."""
    pairs = zip(outputs["item_ids"][0], outputs["scores"][0], strict=True)
    return [(item, score) for item, score in pairs if score > UNFILLED]


def over_grpc(address, history, model_name, tls):
    """Returns (item, score) pairs, best first."""
    with Client(address, model_name, tls=None if tls == ClientTLS() else tls) as client:
        if client.metadata().id_type == "int64":
            history = [(int(item), seconds) for item, seconds in history]
        return client.recommend(history)


def main():
    """Reads the command line, asks, and prints the list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("event", nargs="*", type=read_event, help="item@seconds, oldest first")
    parser.add_argument("--grpc", default="127.0.0.1:8500", help="host:port (%(default)s)")
    parser.add_argument("--rest", help="ask there instead, e.g. http://127.0.0.1:8501")
    parser.add_argument("--model-name", default=MODEL, help="as the server has it (%(default)s)")
    parser.add_argument("--tls-servers", help="PEM file of who signs the server's certificate")
    parser.add_argument("--tls-key", help="PEM file of a key, for a server that asks for one")
    parser.add_argument("--tls-certificate", help="PEM file of that key's certificate")
    options = parser.parse_args()
    tls = ClientTLS(options.tls_servers, options.tls_key, options.tls_certificate)
    if tls != ClientTLS() and (options.rest or "").startswith("http:"):
        parser.error(f"--tls-… has no use for {options.rest}. Write https://, or leave it out.")
    ask, address = (over_rest, options.rest) if options.rest else (over_grpc, options.grpc)
    try:
        found = ask(address, options.event, options.model_name, tls)
    except (ServingError, ValueError, TypeError, OSError) as error:
        sys.exit(f"Error: {error}")
    for item, score in found:
        print(f"{score:9.4f}  {item}")


if __name__ == "__main__":
    main()
