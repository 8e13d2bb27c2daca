"""Inputs that fit a served model's signatures: one is told `at`, another features besides."""

import numpy as np
import tensorflow as tf

AT = 2_000_000_000
"""Seconds behind all events of the tests: nobody may be asked of before the last one."""


def filled(metadata, signature, inputs):
    """Those inputs of a signature that are given, and for all others what says nothing.

    Args:
        metadata: of the model, from the client.
        signature: its name.
        inputs: name -> values, `item_ids` among them; those that it does not take are left out.
    """
    rows_and_events = inputs["item_ids"].shape
    made = {}
    for name, (kind, sizes) in metadata.signatures[signature]["inputs"].items():
        shape = _shape(sizes, rows_and_events)
        made[name] = inputs.get(name, tf.constant(_nothing(name, kind), kind, shape))
    return made


def filled_json(told, batch):
    """The same of a batch as REST takes it.

    Args:
        told: the signature's `inputs`, as REST tells its metadata.
        batch: name -> lists of rows.
    """
    rows_and_events = np.shape(batch["item_ids"])
    made = {}
    for name, info in told.items():
        sizes = [int(dim["size"]) for dim in info["tensor_shape"]["dim"]]
        kind = info["dtype"].removeprefix("DT_").lower()
        nothing = np.full(_shape(sizes, rows_and_events), _nothing(name, kind))
        made[name] = batch.get(name, nothing.tolist())
    return made


def _shape(sizes, rows_and_events):
    """Sizes whose first is the rows and, where any is allowed behind it, the second the events."""
    inner = zip(sizes[1:], (*rows_and_events[1:], 1, 1), strict=False)
    return [rows_and_events[0], *(size if size > 0 else events for size, events in inner)]


def _nothing(name, kind):
    return AT if name == "at" else {"string": "", "bool": False}.get(kind, 0)
