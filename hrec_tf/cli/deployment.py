"""`hrec serve DIR --print-config FOLDER`: the files of a deployment, whole or not at all."""

from pathlib import Path

from hrec_tf import manifest
from hrec_tf.data.atomic_files import whole_folder
from hrec_tf.serving.artefact import newest_version, versions_of
from hrec_tf.serving.deployment import texts


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
        ValueError: a version that was changed since its export.
        OSError: they cannot be written; nothing is left behind.

    Example:
        write_deployment("models/recommender", "deployed", port=8500)
    """
    folder = Path(folder)
    newest_version(base_path)  # raises where there is none
    if folder.exists():
        raise ValueError(
            f"`folder` was {str(folder)!r}, which exists, and a configuration in use is never "
            "overwritten. Choose another name, or remove it."
        )
    versions = versions_of(base_path)
    served = list(versions)[-2:]
    made = texts(
        # Compose reads $ as the beginning of a variable.
        source=str(Path(base_path).resolve()).replace("$", "$$"),
        versions=served,
        model_name=model_name,
        address=address,
        port=port,
        max_batch_size=max_batch_size,
        xla=any(_is_for_xla(versions[number]) for number in served),
    )
    with whole_folder(folder) as aside:
        for name, text in made.items():
            path = aside / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return [folder / name for name in made]


def _is_for_xla(folder: Path) -> bool:
    """Whether `hrec export --xla` wrote a version; what others wrote has no manifest."""
    if not (folder / manifest.FILE).is_file():
        return False
    return bool(manifest.check(folder, kind="saved_model").get("xla"))
