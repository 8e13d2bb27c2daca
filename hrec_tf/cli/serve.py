"""`hrec serve`: exported models over TensorFlow Serving's protocol, or a page to try a run."""

import gc
import os
from importlib import import_module
from typing import Annotated, Any

import typer

from hrec_tf.cli import console
from hrec_tf.cli import demo as demo_page

PORT = 8500
"""TensorFlow Serving's own."""
MODEL_NAME = "recommender"
_LISTENING, _SAFETY, _INSTEAD = "Listening", "Safety", "Something else"
_LIMITS = "Limits of one request; beyond them it is refused"
_TOGETHER = "Requests that come together"


def serve(
    base_path: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR]",
            help="Base path of the model: what `hrec export RUN --saved-model DIR` wrote. With "
            "--demo the run itself.",
        ),
    ] = None,
    model_config: Annotated[
        str | None,
        typer.Option(
            help="In place of DIR: a models.config of TensorFlow Serving, for several models, "
            "version policies and labels."
        ),
    ] = None,
    model_name: Annotated[
        str | None,
        typer.Option(help="By which requests name the model of DIR (recommender)."),
    ] = None,
    poll_seconds: Annotated[
        float, typer.Option(help="Between two looks for new versions; 0 for none.")
    ] = 1.0,
    port: Annotated[
        int, typer.Option(help="Port for gRPC; 0 for any free one.", rich_help_panel=_LISTENING)
    ] = PORT,
    rest_port: Annotated[
        int | None,
        typer.Option(
            help="Port for REST, /metrics and /health, TensorFlow Serving's is 8501; none if not "
            'given. Needs the extra "serving".',
            rich_help_panel=_LISTENING,
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(
            help="Interface; by default only this machine can ask.", rich_help_panel=_LISTENING
        ),
    ] = "127.0.0.1",
    tls_key: Annotated[
        str | None, typer.Option(help="PEM file of the server's key.", rich_help_panel=_SAFETY)
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(help="PEM file of its certificate.", rich_help_panel=_SAFETY)
    ] = None,
    tls_clients: Annotated[
        str | None,
        typer.Option(
            help="PEM file of who signs clients' certificates; others are turned away.",
            rich_help_panel=_SAFETY,
        ),
    ] = None,
    allow_reload: Annotated[
        bool,
        typer.Option(
            "--allow-reload",
            help="Take another configuration, which names folders here, from requests.",
            rich_help_panel=_SAFETY,
        ),
    ] = False,
    max_batch: Annotated[
        int | None, typer.Option(help="Rows (1024).", rich_help_panel=_LIMITS)
    ] = None,
    max_history: Annotated[
        int | None,
        typer.Option(help="Events of a row, with its padding (16384).", rich_help_panel=_LIMITS),
    ] = None,
    max_elements: Annotated[
        int | None,
        typer.Option(help="Elements of all inputs together (1048576).", rich_help_panel=_LIMITS),
    ] = None,
    max_scores: Annotated[
        int | None,
        typer.Option(help="Rows times items of the catalogue (33554432).", rich_help_panel=_LIMITS),
    ] = None,
    max_message_bytes: Annotated[
        int | None,
        typer.Option(help="Of a request and a reply (16777216).", rich_help_panel=_LIMITS),
    ] = None,
    connections: Annotated[
        int | None,
        typer.Option(help="Requests in work at once (128).", rich_help_panel=_TOGETHER),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Batches that are run at once (half as many as there are cores).",
            rich_help_panel=_TOGETHER,
        ),
    ] = None,
    batch_rows: Annotated[
        int | None,
        typer.Option(help="Rows of several requests run together (32).", rich_help_panel=_TOGETHER),
    ] = None,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="Serve a page on which to try a run, and nothing else.",
            rich_help_panel=_INSTEAD,
        ),
    ] = False,
    http_port: Annotated[
        int | None,
        typer.Option(
            help="Port of that page; 0 for any free one (8080).",
            show_default=False,
            rich_help_panel=_INSTEAD,
        ),
    ] = None,
    print_config: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Serve nothing; write there what deploys TensorFlow Serving over the model.",
            rich_help_panel=_INSTEAD,
        ),
    ] = None,
) -> None:
    """Serves exported models until it is interrupted; new versions are taken into service."""
    limits = {
        "max_batch": max_batch,
        "max_history": max_history,
        "max_elements": max_elements,
        "max_scores": max_scores,
        "max_message_bytes": max_message_bytes,
        "connections": connections,
        "workers": workers,
        "batch_rows": batch_rows,
    }
    limits_given = {name: limit for name, limit in limits.items() if limit is not None}
    of_server = {
        "model_config": model_config is not None,
        "poll_seconds": poll_seconds != 1.0,
        "rest_port": rest_port is not None,
        "tls_key": tls_key is not None,
        "tls_certificate": tls_certificate is not None,
        "tls_clients": tls_clients is not None,
        "allow_reload": allow_reload,
        "print_config": demo and print_config is not None,
        **dict.fromkeys(limits_given, True),
    }
    if demo:
        of_grpc = {"port": port != PORT, "model_name": model_name is not None}
        where = _where(base_path, None, None)
        demo_page.serve(where, address=address, port=http_port, ignored=of_grpc | of_server)
        return
    if http_port is not None:
        raise ValueError(
            f"`http_port` was {http_port}, but only the page of --demo is served over HTTP. Add "
            "--demo, or leave it out."
        )
    # gRPC would write its own notes beside what is said of a port that is taken.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if print_config is not None:
        options: dict[str, Any] = {"address": address, "port": port}
        _refuse_ignored(of_server, "--print-config, which serves nothing")
        _print_config(base_path, print_config, model_name or MODEL_NAME, options)
        return
    where = _where(base_path, model_config, model_name)
    encrypts = _is_whole(tls_key, tls_certificate, tls_clients)
    console.import_tensorflow(with_keras=False)
    from hrec_tf.serving.model_config import read_config
    from hrec_tf.serving.server import Server
    from hrec_tf.serving.tls import TLS

    server = Server(
        where if model_config is None else read_config(where),
        model_name or MODEL_NAME,
        address,
        port,
        rest_port=rest_port,
        tls=TLS(tls_key or "", tls_certificate or "", tls_clients) if encrypts else None,
        allow_reload=allow_reload,
        poll_seconds=poll_seconds,
        **limits_given,
    )
    if rest_port is not None:
        console.require(lambda: import_module("hrec_tf.serving.rest"))
    with console.Progress().watch(f"loading {where}"):
        server.start()
    # What was imported and loaded stays: to look through all of it would take 0.4 s each time.
    gc.collect()
    gc.freeze()
    asked_to_stop = console.stop_signals()
    rest = "" if rest_port is None else f" and {address}:{server.rest_port} (REST)"
    print(
        f"Serving {server.model_name} version {server.version} on {address}:{server.port} (gRPC)"
        f"{rest}: {', '.join(server.signatures)}",
        flush=True,
    )
    console.wait_for(asked_to_stop)
    server.stop()


def _print_config(
    base_path: str | None, folder: str, model_name: str, options: dict[str, Any]
) -> None:
    where = _where(base_path, None, None)
    console.import_tensorflow(with_keras=False)
    from hrec_tf.cli.deployment import write_deployment

    print(*write_deployment(where, folder, model_name=model_name, **options), sep="\n")


def _refuse_ignored(given: dict[str, bool], beside: str) -> None:
    for name in (name for name, is_given in given.items() if is_given):
        raise ValueError(
            f"`{name}` was given with {beside}, and would be ignored. Leave one of them out."
        )


def _where(base_path: str | None, model_config: str | None, model_name: str | None) -> str:
    if base_path is not None and model_config is None:
        return base_path
    if base_path is None and model_config is not None:
        if model_name is None:
            return model_config
        raise ValueError(
            f"`--model-name` was {model_name!r}, but {model_config!r} names its models itself. "
            "Leave it out."
        )
    came = "neither was given" if base_path is None else "both were given"
    raise ValueError(
        f"What is to be served is a DIR or a `--model-config`, but {came}. Pass one of them."
    )


def _is_whole(key: str | None, certificate: str | None, clients: str | None) -> bool:
    """Whether the server encrypts; raises where a file is missing."""
    if key is None and certificate is None and clients is None:
        return False
    if key is None or certificate is None:
        raise ValueError(
            f"`--tls-key` was {key!r} and `--tls-certificate` {certificate!r}, but a server that "
            "encrypts needs both. Pass both, or none of the three."
        )
    return True
