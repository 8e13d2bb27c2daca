"""What a server tells of its model, read from `GetModelMetadata`."""

import re
from typing import Any, NamedTuple

from hrec_tf.serving import protocol, tensors

_LIST = re.compile(r"recommend(_[0-9]+)?")


class Metadata(NamedTuple):
    """What a server tells of its model.

    Attributes:
        model_name: by which it is asked.
        version: that answers.
        id_type: of raw ids: "string" or "int64".
        k: length of the lists of `recommend`, the shortest that were exported.
        state_size, info_size: widths of a user's state; 0 of a model without a step.
        signatures: name -> {"inputs": ..., "outputs": ...}, each name -> (type, shape); -1 is
            any size.
        lists: length of a list -> name of the signature, rising; a client can cut lists, but not
            lengthen them.
    """

    model_name: str
    version: int
    id_type: str
    k: int
    state_size: int
    info_size: int
    signatures: dict[str, dict[str, dict[str, tuple[str, tuple[int, ...]]]]]
    lists: dict[int, str]

    @property
    def largest_k(self) -> int:
        """Length of the longest lists, which are those of `recommend_filtered` and `step`."""
        return max(self.lists)

    def list_signature(self, k: int) -> str:
        """Returns the name of the signature whose lists are the shortest of at least k items."""
        return next(name for length, name in self.lists.items() if length >= k)


def read_metadata(address: str, model_name: str, response: Any) -> Metadata:
    """Reads a GetModelMetadataResponse.

    Raises:
        ValueError: the model is no recommender as hrec_tf exports it.
    """
    held = protocol.SignatureDefMap.FromString(response.metadata["signature_def"].value)
    signatures = {
        name: {"inputs": _specs(signature.inputs), "outputs": _specs(signature.outputs)}
        for name, signature in held.signature_def.items()
    }
    try:
        recommend = signatures["recommend"]
        id_type, _ = recommend["inputs"]["item_ids"]
        lengths = {
            signature["outputs"]["item_ids"][1][1]: name
            for name, signature in signatures.items()
            if _LIST.fullmatch(name)
        }
        lists = dict(sorted(lengths.items()))
        k, state_size, info_size = recommend["outputs"]["item_ids"][1][1], 0, 0
        if "step" in signatures:
            state_size, info_size = (
                signatures["step"]["inputs"][name][1][1] for name in ("state", "state_info")
            )
        if "score" not in signatures or id_type not in ("string", "int64"):
            raise KeyError("score")
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"{model_name!r} on {address} has the signatures {', '.join(sorted(signatures))}, "
            "but a recommender has recommend, score and mostly step as hrec_tf exports them. Name "
            "the model that `hrec export` wrote."
        ) from error
    version = response.model_spec.version.value
    return Metadata(model_name, version, id_type, k, state_size, info_size, signatures, lists)


def _specs(infos: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        name: (
            tensors.DATA_TYPES[info.dtype].name
            if info.dtype in tensors.DATA_TYPES
            else f"number {info.dtype}",
            tuple(dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in sorted(infos.items())
        if info.dtype
    }
