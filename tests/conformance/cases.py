"""Every model that the library offers, one row each, as small as it can be tested."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.data.lanes import lane_stream
from hrec_tf.models import HRNN, GRU4Rec, LSTM4Rec, NextItemModel, RNNConcat

NUM_ITEMS = 12


@dataclass(frozen=True, eq=False)
class Case:
    """A model's class and the arguments that set it apart."""

    name: str
    model: Callable[..., NextItemModel]
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 3) -> NextItemModel:
        return self.model(num_items=NUM_ITEMS, seed=seed, **self.arguments)

    def stream(self, histories: Histories, **arguments: Any) -> tf.data.Dataset:
        """The stream that the model is trained on."""
        feed_last_item = self.arguments.get("feed_last_item", False)
        return lane_stream(
            histories, layout=self.model.layout, feed_last_item=feed_last_item, **arguments
        )


HRNN_SIZES = {"session_units": 5, "user_units": 4}

CASES = [
    Case("GRU4Rec one-hot", GRU4Rec, {"units": (5,)}),
    Case("GRU4Rec embedding", GRU4Rec, {"units": (5,), "inputs": "embedding", "item_dim": 4}),
    Case("GRU4Rec constrained", GRU4Rec, {"units": (5,), "inputs": "constrained"}),
    Case(
        "GRU4Rec of two layers",
        GRU4Rec,
        {
            "units": (5, 4),
            "inputs": "embedding",
            "reset_after": True,
            "embed_dropout": 0.1,
            "hidden_dropout": 0.1,
        },
    ),
    Case("LSTM4Rec", LSTM4Rec, {"units": (5,)}),
    Case("RNN Concat", RNNConcat, {"units": (5,)}),
    Case("HRNN Init", HRNN, HRNN_SIZES),
    Case(
        "HRNN All",
        HRNN,
        HRNN_SIZES
        | {
            "user_gates": "rzh",
            "first_session_init": "tanh_bias",
            "session_dropout": 0.1,
            "user_dropout": 0.1,
            "init_dropout": 0.1,
        },
    ),
    Case("HRNN with an embedding", HRNN, HRNN_SIZES | {"item_dim": 5, "user_gates": "rz"}),
    Case("HRNN with c in the scores", HRNN, HRNN_SIZES | {"user_to_output": True}),
    Case("HRNN fed every event", HRNN, HRNN_SIZES | {"feed_last_item": True}),
]
