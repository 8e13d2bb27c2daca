"""The files with which TensorFlow Serving is deployed over an export, filled in.

Compose files, manifests for Kubernetes, and the three files that the server itself reads. What
stands in `serving/tf_serving/` of the repository was written by this module, with the values of an
example; its README.md says how the files are used.
"""

import json
import re
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import Environment, StrictUndefined

from hrec_tf import checks

IMAGE_TAG = "2.20.0"
FLAGS = (
    "--model_config_file=/config/models.config",
    "--model_config_file_poll_wait_seconds=10",
    "--allow_version_labels_for_unavailable_models=true",
    "--file_system_poll_wait_seconds=10",
    "--monitoring_config_file=/config/monitoring.config",
    "--enable_model_warmup=true",
    "--enable_grpc_healthcheck_service=true",
)
"""Of `tensorflow_model_server`. Labels are set before the first versions are loaded."""
XLA_FLAGS = ("--xla_cpu_compilation_enabled=true", "--xla_gpu_compilation_enabled=true")
"""Without which a model that was exported for XLA does not run; either image knows both."""
BATCHING_FLAGS = (
    "--enable_batching=true",
    "--batching_parameters_file=/config/batching_parameters.txt",
)
"""To be added where all requests have one width: of others it runs none together."""
EXAMPLE_SOURCE = "${HREC_SAVED_MODEL:?set it to the absolute path that hrec export wrote}"
HIGHEST_PORT = 65_534
"""REST has the port above."""
_SUFFIX = ".j2"


def texts(
    *,
    source: str,
    versions: Sequence[int],
    model_name: str,
    address: str,
    port: int,
    max_batch_size: int,
    xla: bool = False,
) -> dict[str, str]:
    """Returns path -> text of each file; see also `hrec_tf.cli.deployment`.

    Args:
        source: absolute base path as Compose reads it, so that it may be a variable.
        versions: that are served, rising; the last one gets the labels.
        model_name: by which requests name the model.
        address, port: of this machine, where Compose lets callers in; REST has the next port.
        max_batch_size: most rows of a batch, a power of two.
        xla: whether a version was exported for XLA.

    Raises:
        ValueError: a name that is no name of a folder, a port outside 1..65534, or a size that is
            no power of two.
    """
    values = {
        "source": json.dumps(source, ensure_ascii=False),
        "versions": versions,
        "model_name": _checked_name(model_name),
        "address": address,
        "port": _checked_port(port),
        "batch_sizes": _powers_of_two(max_batch_size),
        "image_tag": IMAGE_TAG,
        "flags": (*FLAGS, *XLA_FLAGS) if xla else FLAGS,
        "batching_flags": BATCHING_FLAGS,
    }
    templates = resources.files("hrec_tf.serving").joinpath("tf_serving")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return {
        name: environment.from_string(template.read_text("utf-8")).render(**values)
        for name, template in sorted(_files(templates, ""))
    }


def _files(folder: Traversable, above: str) -> list[tuple[str, Traversable]]:
    """The templates under a folder, by the path of what is made of them."""
    found: list[Any] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files(entry, f"{above}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            found.append((f"{above}{entry.name.removesuffix(_SUFFIX)}", entry))
    return found


def _checked_name(model_name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", model_name):
        raise ValueError(
            f"`model_name` was {model_name!r}, but names the folder of the model and a part of its "
            'URL: letters, digits, "_" and "-". Pass for example "recommender".'
        )
    return model_name


def _checked_port(port: int) -> int:
    checks.require_positive_int("port", port, mend="Pass the port for gRPC, e.g. 8500.")
    if port > HIGHEST_PORT:
        raise ValueError(
            f"`port` was {port}, but REST has the port above, and the highest is "
            f"{HIGHEST_PORT + 1}. Pass a lower one, e.g. 8500."
        )
    return port


def _powers_of_two(largest: int) -> list[int]:
    mend = "Pass a power of two, e.g. 32."
    checks.require_positive_int("max_batch_size", largest, mend=mend)
    if largest & (largest - 1):
        raise ValueError(
            f"`max_batch_size` was {largest}, but batches are filled up to powers of two, of which "
            f"it must be one. {mend}"
        )
    return [1 << power for power in range(largest.bit_length())]
