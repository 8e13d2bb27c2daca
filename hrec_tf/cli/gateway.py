"""`hrec gateway`: events in and lists out over HTTP, with the state of users kept in between."""

import gc
import os
from typing import Annotated

import typer

from hrec_tf.cli import console
from hrec_tf.cli.serve import MODEL_NAME

PORT = 8080
STORE = "gateway.sqlite"


def gateway(
    model: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="host:port of the model: of `hrec serve`, or the gRPC port of TensorFlow Serving.",
        ),
    ],
    store: Annotated[
        str,
        typer.Option(
            envvar="HREC_STORE",
            help="Where users are kept: a SQLite file, or redis://host:port/0.",
        ),
    ] = STORE,
    port: Annotated[int, typer.Option(help="Port for HTTP; 0 for any free one.")] = PORT,
    grpc_port: Annotated[
        int | None, typer.Option(help="Port for gRPC; without it, HTTP alone.")
    ] = None,
    address: Annotated[
        str, typer.Option(help="Interface; by default only this machine can ask.")
    ] = "127.0.0.1",
    model_name: Annotated[str, typer.Option(help="As the server calls the model.")] = MODEL_NAME,
    token_file: Annotated[
        str | None, typer.Option(help="Bearer tokens, one a line; requests must bring one.")
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(help="PEM file; with --tls-key, both ports speak TLS alone.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(help="PEM file of its key.")] = None,
    model_tls_servers: Annotated[
        str | None,
        typer.Option(
            help="PEM file of who signs the model server's certificate; it is asked over TLS."
        ),
    ] = None,
    model_tls_key: Annotated[
        str | None,
        typer.Option(help="PEM file of the gateway's key for a model server that asks for one."),
    ] = None,
    model_tls_certificate: Annotated[
        str | None, typer.Option(help="PEM file of that key's certificate.")
    ] = None,
    max_history: Annotated[
        int, typer.Option(help="Events of a user that are kept; above it the older half goes.")
    ] = 256,
    keep_days: Annotated[
        float, typer.Option(help="Days after the last event that a user is kept.")
    ] = 30.0,
    max_skew: Annotated[
        float, typer.Option(help="Seconds by which an event may lie in the future.")
    ] = 300.0,
    max_body: Annotated[int, typer.Option(help="Bytes of a request.")] = 2**18,
    max_requests: Annotated[
        int, typer.Option(help="Requests that run or wait at once; more are told to come again.")
    ] = 256,
    timeout: Annotated[float, typer.Option(help="Seconds that the model may take.")] = 5.0,
    client_timeout: Annotated[
        float, typer.Option(help="Seconds for a client to send a body, or to take an answer.")
    ] = 10.0,
) -> None:
    """Takes events and answers lists until it is interrupted; keeps the state of users."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from hrec_tf.serving.gateway.service import Gateway
    except ImportError as error:
        raise ValueError(str(error)) from error
    from hrec_tf.serving.tls import ClientTLS

    model_tls = ClientTLS(model_tls_servers, model_tls_key, model_tls_certificate)
    running = Gateway(
        model,
        model_name,
        store=store,
        address=address,
        port=port,
        grpc_port=grpc_port,
        token_file=token_file,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        model_tls=None if model_tls == ClientTLS() else model_tls,
        timeout=timeout,
        max_history=max_history,
        keep_days=keep_days,
        max_skew=max_skew,
        max_body=max_body,
        max_requests=max_requests,
        client_timeout=client_timeout,
    )
    asked_to_stop = console.stop_signals()
    with running.start():
        gc.collect()
        gc.freeze()  # what was imported stays, and need not be looked through
        doors = f"{address}:{running.port} (HTTP{'' if tls_key is None else 'S'})"
        if running.grpc_port is not None:
            doors += f" and {address}:{running.grpc_port} (gRPC)"
        print(f"Gateway of {model_name} at {model} on {doors}", flush=True)
        console.wait_for(asked_to_stop)
