"""The activation between raw scores and a pairwise loss."""

from typing import Any

import tensorflow as tf

from hrec_tf.checks import require_choice, require_number
from hrec_tf.losses.sampled_loss import SampledLoss

ACTIVATIONS = ("tanh", "linear", "relu", "elu")


class ActivatedLoss(SampledLoss):
    """A loss on `act(score)`.

        tanh, linear, relu: as named;   elu(x) = x if x > 0 else alpha (e^x - 1)

    GRU4Rec's `elu_param=a` is `activation="elu", elu_alpha=a`, and its `elu_param=0` is "linear".

    Args:
        activation: "tanh", "linear", "relu" or "elu".
        elu_alpha: alpha, for "elu" alone.
        normalise: see `reduce_rows`.
    """

    def __init__(self, *, activation: str, elu_alpha: float | None, normalise: str):
        super().__init__(normalise=normalise)
        self.activation = require_choice("activation", activation, ACTIVATIONS)
        if activation != "elu" and elu_alpha is not None:
            raise ValueError(
                f"`elu_alpha` was {elu_alpha!r}, but is used only by activation='elu', and "
                f"`activation` was {activation!r}. Leave it out, or pass activation='elu'."
            )
        if activation == "elu":
            mend = "Pass GRU4Rec's `elu_param`, e.g. 0.5; for its 0 pass activation='linear'."
            elu_alpha = require_number("elu_alpha", elu_alpha, minimum=0.0, mend=mend)
        self.elu_alpha = elu_alpha

    def activate(self, scores: tf.Tensor) -> tf.Tensor:
        """Applies the final activation, element by element."""
        if self.activation == "tanh":
            return tf.tanh(scores)
        if self.activation == "relu":
            return tf.nn.relu(scores)
        if self.activation == "elu":
            # The inner minimum keeps the branch that is not taken from overflowing.
            below = self.elu_alpha * tf.math.expm1(tf.minimum(scores, 0.0))
            return tf.where(scores > 0, scores, below)
        return scores

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = {"activation": self.activation, "elu_alpha": self.elu_alpha}
        return super().get_config() | config
