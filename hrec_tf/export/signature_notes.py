"""What the manifest of an export says of its signatures, and what its model card shows of them."""

from collections.abc import Mapping
from typing import Any

_SIGNATURES = {
    "serving_default": "Answers as `recommend`.",
    "recommend": "The best items after a history.",
    "recommend_filtered": "The best items after a history, of those that a row allows.",
    "step": "The best items after one more event, which goes on from the state before.",
    "score": "Scores of given items after a history.",
    "encode": "The hidden state after a history, for an index of the items' vectors.",
}
_LONGER = "The best items after a history, in a longer list."
_INPUTS = {
    "item_ids": "Raw ids of the events in time order; an unknown one is no event.",
    "timestamps": "Unix seconds of the events.",
    "lengths": "How many events of a row are real; padding is at its end.",
    "exclude_seen": "Whether to leave out the items of the row.",
    "allow": "Raw ids that the list may hold.",
    "allow_lengths": "How many of them are real; a row with 0 allows every item.",
    "deny": "Raw ids that the list must not hold.",
    "deny_lengths": "How many of them are real.",
    "candidates": "Raw ids to be scored.",
    "state": "What the answer before returned; zeros for a new user.",
    "state_info": "What the answer before returned; zeros for a new user.",
    "at": "Unix seconds, the time of asking.",
    "feedback": "Feedback of the events, encoded by the features' schema.",
    "user_features": "Features of the users, encoded by the features' schema.",
}
_OUTPUTS = {
    "item_ids": "Raw ids, best first.",
    "scores": "Scores in the same order; the lowest float32 where there is no item.",
    "state": "What the model remembers of the users.",
    "state_info": "What belongs to the state: times, counts, a seal over all of it.",
    "vector": "To be multiplied with the vectors of items; zero without a known event.",
}


def describe(functions: Mapping[str, Any]) -> dict[str, Any]:
    """Returns name -> {"about", "inputs", "outputs"} of signatures, as a manifest keeps it.

    Args:
        functions: name -> concrete function of which the signature is made.
    """
    return {
        name: {
            "about": _SIGNATURES.get(name, _LONGER),
            "inputs": {
                spec.name: _tensor(spec, _INPUTS[spec.name])
                for spec in function.structured_input_signature[0]
            },
            "outputs": {
                output: _tensor(spec, _OUTPUTS[output])
                for output, spec in function.structured_outputs.items()
            },
        }
        for name, function in functions.items()
    }


def list_length(signature: Mapping[str, Any]) -> int:
    """Returns k of a signature whose lists have one, of what `describe` returned."""
    return signature["outputs"]["item_ids"]["shape"][1]


def as_markdown(signatures: Mapping[str, Any]) -> str:
    """Returns the section of a model card."""
    rows = [
        f"| `{name}` | {_named(one['inputs'])} | {_named(one['outputs'])} | {one['about']} |"
        for name, one in signatures.items()
    ]
    head = ["## Signatures", "", "| name | inputs | outputs | |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", _SHAPES]) + "\n"


def _tensor(spec: Any, about: str) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in spec.shape]
    return {"type": spec.dtype.name, "shape": shape, "about": about}


def _named(tensors: Mapping[str, Any]) -> str:
    return ", ".join(
        f"`{name}` {one['type']} {one['shape']}".replace("-1", "·") for name, one in tensors.items()
    )


_SHAPES = "A dot is any size; the first is the batch. `manifest.json` says what each tensor is."
