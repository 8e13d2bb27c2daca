"""SavedModel: the artefact that TensorFlow Serving loads."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from hrec_tf import checks, manifest
from hrec_tf.data.atomic_files import whole_folder
from hrec_tf.export.signatures import Signatures
from hrec_tf.export.warmup import write_warmup
from hrec_tf.recommender import Recommender

KIND = "saved_model"
HIGHEST_VERSION = 2**63 - 1
VOCABULARY, MODEL_CARD, FEATURES = "vocabulary.txt", "model_card.md", "features.toml"


def export_saved_model(
    recommender: Recommender,
    path: str | Path,
    *,
    version: int | None = None,
    k: int = 20,
    card: str | None = None,
    check: Callable[[Path], Any] | None = None,
) -> Path:
    """Writes `path/<version>/`, whole or not at all, as TensorFlow Serving wants it.

    The folder holds the graph, the weights, the vocabulary (`assets/`), warm-up requests, the
    model card and, if the recommender has them, the schemas of its features (`assets.extra/`),
    and `manifest.json` with a checksum of each file.
    `hrec_tf.export.signatures` lists the signatures.

    Args:
        recommender: what is exported.
        path: base path of the model; made if it is not there.
        version: number of the new version; the next free one if None.
        k: length of the recommended lists.
        card: text of the model card.
        check: called with the folder before it takes its place, where servers look. What it
            raises leaves nothing, e.g. `lambda folder: check_parity(recommender,
            saved_model=folder)`.

    Returns:
        The folder of the version.

    Raises:
        ValueError: a version that is there already or beyond int64, or `k` outside 1..num_items.
        OSError: it cannot be written; nothing is left behind.
    """
    base = Path(path)
    k = checked_k(k, recommender)
    target = base / str(_free_version(base, version))
    # Its name is no number at first, so that TensorFlow Serving does not look at it.
    with whole_folder(target) as aside:
        _write(recommender, aside, k)
        extra = aside / "assets.extra"
        extra.mkdir()
        write_warmup(extra, recommender)
        if recommender.schemas.to_dict():
            recommender.schemas.save(extra / FEATURES)
        if card is not None:
            (extra / MODEL_CARD).write_text(card, encoding="utf-8")
        about = about_of(recommender, k)
        signatures = list(recommender.inference.signatures)
        manifest.write(aside, kind=KIND, about=about | {"signatures": signatures})
        if check is not None:
            check(aside)
    return target


def _write(recommender: Recommender, folder: Path, k: int) -> None:
    # In a folder of its own: the file's name becomes the asset's.
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary_file = Path(scratch) / VOCABULARY
        recommender.vocabulary.save(vocabulary_file)
        module = Signatures(
            recommender.inference,
            vocabulary_file,
            id_type=recommender.vocabulary.id_type,
            k=k,
        )
        # Nobody trains an artefact.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), module.functions(), options)


def about_of(recommender: Recommender, k: int) -> dict[str, Any]:
    """Returns what the manifest of an export says of it."""
    return {
        "model": type(recommender.model).__name__,
        "model_number": recommender.inference.model_number,
        "num_items": recommender.vocabulary.num_items,
        "id_type": recommender.vocabulary.id_type,
        "vocabulary": recommender.vocabulary.fingerprint,
        "idle_minutes": recommender.idle_minutes,
        "state_size": recommender.inference.state_size,
        "context": dict(recommender.inference.context),
        "k": k,
    }


def checked_k(k: int, recommender: Recommender) -> int:
    """Returns the length of lists, or raises where the catalogue is shorter."""
    checks.require_positive_int("k", k, mend="Pass the length of the lists, e.g. 20.")
    if k > recommender.vocabulary.num_items:
        raise ValueError(
            f"`k` was {k}, but the catalogue has {recommender.vocabulary.num_items} items. Pass "
            "a smaller number."
        )
    return k


def _free_version(base: Path, version: int | None) -> int:
    taken = [int(folder.name) for folder in base.glob("*") if folder.name.isdecimal()]
    if version is None:
        free = max(taken, default=0) + 1
        if free > HIGHEST_VERSION:
            raise ValueError(
                f"{str(base)!r} holds version {free - 1}, after which no number is left: servers "
                f"know versions up to {HIGHEST_VERSION}. Pass a free `version`, or remove that one."
            )
        return free
    checks.require_positive_int("version", version, mend="Leave it out for the next free one.")
    if version > HIGHEST_VERSION:
        raise ValueError(
            f"`version` was {version}, but servers know versions up to {HIGHEST_VERSION}: int64. "
            "Pass a smaller number, or leave it out for the next free one."
        )
    if version in taken:
        raise ValueError(
            f"`version` was {version}, which {str(base)!r} holds already, and versions are never "
            f"overwritten. Pass {max(taken) + 1}, or leave it out."
        )
    return version
