"""`hrec serve`: an exported model, over TensorFlow Serving's protocol."""

import os
from typing import Annotated

import typer

from hrec_tf.cli import console
from hrec_tf.cli import demo as demo_page

PORT = 8500
"""TensorFlow Serving's own."""
MODEL_NAME = "recommender"


def serve(
    base_path: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="Base path of the model: what `hrec export RUN --saved-model DIR` wrote. With "
            "--demo the run itself.",
        ),
    ],
    port: Annotated[int, typer.Option(help="Port for gRPC; 0 for any free one.")] = PORT,
    address: Annotated[
        str, typer.Option(help="Interface; by default only this machine can ask.")
    ] = "127.0.0.1",
    model_name: Annotated[str, typer.Option(help="By which requests name the model.")] = MODEL_NAME,
    demo: Annotated[
        bool, typer.Option("--demo", help="Serve a page on which to try a run, and nothing else.")
    ] = False,
    http_port: Annotated[
        int | None,
        typer.Option(help="Port of that page; 0 for any free one (8080).", show_default=False),
    ] = None,
    print_config: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Serve nothing; write there what deploys TensorFlow Serving over the model.",
        ),
    ] = None,
) -> None:
    """Serves the newest version of an exported model until it is interrupted."""
    if demo:
        ignored = {"port": port != PORT, "model_name": model_name != MODEL_NAME}
        demo_page.serve(base_path, address=address, port=http_port, ignored=ignored)
        return
    if http_port is not None:
        raise ValueError(
            f"`http_port` was {http_port}, but only the page of --demo is served over HTTP. Add "
            "--demo, or leave it out."
        )
    # gRPC would write its own notes beside what is said of a port that is taken.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    console.import_tensorflow()
    if print_config is not None:
        from hrec_tf.cli.deployment import write_deployment

        options = {"model_name": model_name, "address": address, "port": port}
        print(*write_deployment(base_path, print_config, **options), sep="\n")  # type: ignore[arg-type]
        return
    from hrec_tf.serving.server import Server

    server = Server(base_path, model_name, address, port)
    with console.Progress().watch(f"loading {base_path}"):
        server.start()
    asked_to_stop = console.stop_signals()
    print(
        f"Serving {model_name} version {server.version} on {address}:{server.port} (gRPC): "
        f"{', '.join(server.signatures)}",
        flush=True,
    )
    asked_to_stop.wait()
    server.stop()
