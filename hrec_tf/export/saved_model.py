"""SavedModel: the artefact that TensorFlow Serving loads."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from hrec_tf import checks, manifest
from hrec_tf.data.atomic_files import whole_folder
from hrec_tf.export import signature_notes
from hrec_tf.export.signatures import Signatures
from hrec_tf.export.warmup import write_warmup
from hrec_tf.recommender import Recommender

KIND = "saved_model"
_OF_FILES = (
    tf.errors.OutOfRangeError,  # as it tells of a file that may not grow
    tf.errors.ResourceExhaustedError,
    tf.errors.PermissionDeniedError,
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)
"""What TensorFlow raises where a file cannot be written."""
HIGHEST_VERSION = 2**63 - 1
VOCABULARY, MODEL_CARD, FEATURES = "vocabulary.txt", "model_card.md", "features.toml"
TABLES = ("float32", "bfloat16")
MAX_LISTS = 16
"""Lengths of lists in one export: each is a signature, with warm-up requests of its own."""


def export_saved_model(
    recommender: Recommender,
    path: str | Path,
    *,
    version: int | None = None,
    k: int | Sequence[int] = 20,
    xla: bool = False,
    tables: str = "float32",
    card: str | None = None,
    check: Callable[[Path], Any] | None = None,
) -> Path:
    """Writes `path/<version>/`, whole or not at all, as TensorFlow Serving wants it.

    The folder holds the graph, the weights, the vocabulary (`assets/`), warm-up requests, the
    model card and, if the recommender has them, the schemas of its features (`assets.extra/`),
    and `manifest.json` with a checksum of each file and what there is to know of each signature.
    `hrec_tf.export.signatures` lists the signatures.

    Args:
        recommender: what is exported.
        path: base path of the model; made if it is not there.
        version: number of the new version; the next free one if None.
        k: length of the recommended lists; or several, of which the smallest is that of
            `recommend`, and each other one has a signature such as `recommend_50`.
        xla: compile the signatures by XLA. Their first answers then take seconds: serve with
            warm-up, and with `--xla_cpu_compilation_enabled` or `--xla_gpu_compilation_enabled`.
        tables: "bfloat16" keeps tables with a row for each item in half the bytes; scores differ
            by what `hrec_tf.export.parity.TOLERANCES` allows.
        card: text of the model card, at whose end the signatures are listed.
        check: called with the folder before it takes its place, where servers look. What it
            raises leaves nothing, e.g. `lambda folder: check_parity(recommender,
            saved_model=folder)`.

    Returns:
        The folder of the version.

    Raises:
        ValueError: a version that is there already or beyond int64, `k` outside 1..num_items,
            or other `tables`.
        OSError: it cannot be written; nothing is left behind.
    """
    base, ks = Path(path), _checked_ks(k, recommender)
    checks.require_choice("tables", tables, TABLES)
    target = base / str(_free_version(base, version))
    # Its name is no number at first, so that TensorFlow Serving does not look at it.
    with whole_folder(target) as aside:
        extra = aside / "assets.extra"
        with written_by_tensorflow(target):
            signatures = _write(recommender, aside, ks=ks, xla=xla, tables=tables)
            extra.mkdir()
            write_warmup(extra, signatures, recommender.vocabulary.raw_ids[0], every_shape=xla)
        if recommender.schemas.to_dict():
            recommender.schemas.save(extra / FEATURES)
        if card is not None:
            listed = signature_notes.as_markdown(signatures)
            (extra / MODEL_CARD).write_text(f"{card}\n{listed}", encoding="utf-8")
        form = {"xla": bool(xla), "tables": tables, "signatures": signatures}
        manifest.write(aside, kind=KIND, about=about_of(recommender, ks[0]) | form)
        if check is not None:
            check(aside)
    return target


@contextmanager
def written_by_tensorflow(target: Path) -> Iterator[None]:
    """Turns TensorFlow's errors of files, which are no OSError, into one."""
    try:
        yield
    except _OF_FILES as error:
        said, _, _ = error.message.partition("\n")
        raise not_written(target, said) from error


def not_written(target: Path, said: str) -> OSError:
    """Returns the error of an export that found no room, or no access."""
    return OSError(
        f"{str(target)!r} could not be written ({said}), but its folder must have room and be "
        "writable. Make room, or choose another folder."
    )


def _write(recommender: Recommender, folder: Path, **options: Any) -> dict[str, Any]:
    """Writes the SavedModel, and returns what the manifest says of its signatures."""
    # In a folder of its own: the file's name becomes the asset's.
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary_file = Path(scratch) / VOCABULARY
        recommender.vocabulary.save(vocabulary_file)
        id_type = recommender.vocabulary.id_type
        module = Signatures(recommender.inference, vocabulary_file, id_type=id_type, **options)
        functions = module.functions()
        # Nobody trains an artefact.
        saving = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), functions, saving)
    return signature_notes.describe(functions)


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


def _checked_ks(k: int | Sequence[int], recommender: Recommender) -> list[int]:
    """Returns the lengths of lists, rising."""
    if not isinstance(k, Sequence) or isinstance(k, str):
        return [checked_k(k, recommender)]
    ks = sorted(checked_k(one, recommender) for one in k)
    if not 1 <= len(ks) <= MAX_LISTS or len(set(ks)) < len(ks):
        raise ValueError(
            f"`k` was {list(k)}, but must hold 1 to {MAX_LISTS} different lengths: each is a "
            "signature. Pass for example [10, 50, 200]."
        )
    return ks


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
