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
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from hrec_tf import checks
from hrec_tf.data.atomic_files import whole_folder
from hrec_tf.serving.artefact import newest_version

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
BATCHING_FLAGS = (
    "--enable_batching=true",
    "--batching_parameters_file=/config/batching_parameters.txt",
)
"""To be added where all requests have one width: of others it runs none together."""
EXAMPLE_SOURCE = "${HREC_SAVED_MODEL:?set it to the absolute path that hrec export wrote}"
HIGHEST_PORT = 65_534
"""REST has the port above."""
_SUFFIX = ".j2"


def write_deployment(
    base_path: str | Path,
    folder: str | Path,
    *,
    model_name: str = "recommender",
    address: str = "127.0.0.1",
    port: int = 8500,
    max_batch_size: int = 32,
) -> list[Path]:
    """Writes the files of a deployment, whole or not at all.

    The newest version gets the labels "stable" and "canary"; the one before, if there is one, is
    served beside it, so that going back is a change of labels.

    Args:
        base_path: of the model, with one folder per version.
        folder: to be made.
        model_name: by which requests name the model.
        address: interface of this machine on which Compose lets callers in.
        port: for gRPC there; REST has the next one. In Kubernetes the ports are 8500 and 8501.
        max_batch_size: most rows of a batch, a power of two.

    Returns:
        The files.

    Raises:
        FileNotFoundError: the base path holds no version.
        ValueError: a folder that is there already, a name that is no name of a folder, a port
            outside 1..65534, or a size that is no power of two.
        OSError: they cannot be written; nothing is left behind.

    Example:
        write_deployment("models/recommender", "deployed", port=8500)
    """
    folder = Path(folder)
    base, newest = Path(base_path), newest_version(base_path)[0]
    if folder.exists():
        raise ValueError(
            f"`folder` was {str(folder)!r}, which exists, and a configuration in use is never "
            "overwritten. Choose another name, or remove it."
        )
    numbers = sorted(int(path.name) for path in base.iterdir() if _is_version(path))
    made = texts(
        # Compose reads $ as the beginning of a variable.
        source=str(base.resolve()).replace("$", "$$"),
        versions=[number for number in numbers if number <= newest][-2:],
        model_name=model_name,
        address=address,
        port=port,
        max_batch_size=max_batch_size,
    )
    with whole_folder(folder) as aside:
        for name, text in made.items():
            path = aside / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return [folder / name for name in made]


def texts(
    *,
    source: str,
    versions: Sequence[int],
    model_name: str,
    address: str,
    port: int,
    max_batch_size: int,
) -> dict[str, str]:
    """Returns path -> text of each file; of the arguments see `write_deployment`.

    Args:
        source: absolute base path as Compose reads it, so that it may be a variable.
        versions: that are served, rising; the last one gets the labels.
    """
    values = {
        "source": json.dumps(source, ensure_ascii=False),
        "versions": versions,
        "model_name": _checked_name(model_name),
        "address": address,
        "port": _checked_port(port),
        "batch_sizes": _powers_of_two(max_batch_size),
        "image_tag": IMAGE_TAG,
        "flags": FLAGS,
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


def _is_version(path: Path) -> bool:
    return path.name.isascii() and path.name.isdecimal() and path.is_dir()


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
