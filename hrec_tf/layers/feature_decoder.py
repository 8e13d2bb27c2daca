"""Scores of items from what was learnt of each and from its features: the decoder of HRNN-meta."""

import itertools

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.layers.item_embedding import ItemEmbedding
from hrec_tf.layers.item_scores import ItemScores


@keras.saving.register_keras_serializable(package="hrec_tf")
class FeatureDecoder(keras.layers.Layer):
    """A mixture, by λ, of an item's own scores and of those that its features give.

        φ_j(h)  = w_j · h + b_j
        φ~_j(h) = (1 - λ) φ_j(h) + λ (w(f_j) · h + b(f_j))

    w(f) and b(f) are one linear map of the features, or with `hidden` a network of ReLU layers.
    In training λ is passed, one for all items: an own one for each would make the scores of one
    softmax incomparable. Else it is `eval_mix`, and 1 for a cold item, of which w_j and b_j were
    never trained.

    Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", section 3;
    docs/equations.md D.4. Inferred: the form of w and b, and λ outside training.

    Args:
        num_items: N; ids run 1..N.
        dim: size of h.
        num_features: F.
        hidden: sizes of the ReLU layers between the features and w.
        eval_mix: λ outside training.
        table: an `ItemEmbedding` that holds w, for tied embeddings; a table of its own if None.
        seed: of initial values.

    Call:
        hidden_state: float (..., dim).
        item_ids: None for the whole catalogue, or int (..., candidates), as of `ItemScores`.
        mix: λ, a number or a tensor that broadcasts against (..., 1); None outside training.
        Returns float (..., num_items), item id i in column i - 1, or (..., rows, candidates).
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        num_features: int,
        *,
        hidden: tuple[int, ...] = (),
        eval_mix: float = 0.5,
        table: ItemEmbedding | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_items, self.dim, self.seed = num_items, dim, seed
        self.num_features = checks.require_positive_int(
            "num_features", num_features, mend="Pass the width of the item features."
        )
        self.hidden = tuple(
            checks.require_positive_int("hidden", size, mend="Pass sizes, e.g. (64,).")
            for size in hidden
        )
        self.eval_mix = require_share("eval_mix", eval_mix)
        part = {"seed": seed} if table is None else {"table": table}
        self.own = ItemScores(num_items, dim, name="own", **part)

    def build(self, input_shape=None):
        if not self.own.built:
            self.own.build()
        # Their rows are cast where they are read, and not the whole tables.
        known = {"initializer": "zeros", "trainable": False, "autocast": False}
        shape = (self.num_items + 1, self.num_features)
        self.features = self.add_weight(name="features", shape=shape, **known)
        self.is_cold = self.add_weight(name="is_cold", shape=(self.num_items + 1, 1), **known)
        sizes = (self.num_features, *self.hidden, self.dim + 1)
        self.maps = []
        for layer, (rows, columns) in enumerate(itertools.pairwise(sizes)):
            seed = None if self.seed is None else self.seed + 1 + layer
            kernel = self.add_weight(
                name=f"kernel_{layer}",
                shape=(rows, columns),
                initializer=BlockGlorot(seed=seed),
            )
            bias = self.add_weight(name=f"bias_{layer}", shape=(columns,), initializer="zeros")
            self.maps.append((kernel, bias))

    def set_features(self, values, *, is_cold=None) -> None:
        """Sets what is known of the items.

        Args:
            values: float (num_items + 1, num_features), item id i in row i, as
                `FeatureTable.values`.
            is_cold: bool (num_items,), items without a training event, item id i at i - 1; none
                if None.

        Raises:
            ValueError: another shape, or a value that is not finite.
        """
        values = np.asarray(values, np.float32)
        if values.shape != (self.num_items + 1, self.num_features):
            raise ValueError(
                f"`values` has shape {values.shape}, but must be "
                f"{(self.num_items + 1, self.num_features)}: a row for each item, and row 0. Pass "
                "`FeatureTable.values` of the vocabulary."
            )
        unsound = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(unsound):
            raise ValueError(
                f"`values` holds {values[unsound[0]]} (item id {unsound[0]}), but features are "
                "finite. Encode them by a `FeatureSchema`."
            )
        cold = np.zeros(self.num_items) if is_cold is None else np.asarray(is_cold, np.float32)
        if cold.shape != (self.num_items,):
            raise ValueError(
                f"`is_cold` has shape {cold.shape}, but there are {self.num_items} items. Pass one "
                "bool for each."
            )
        self.features.assign(values)
        self.is_cold.assign(np.r_[0.0, cold][:, None].astype(np.float32))

    def by_features(self, item_ids=None):
        """Returns w(f) (..., dim) and b(f) (..., 1) of items 1..N, or of `item_ids` (...)."""
        values = _rows(self.features, item_ids)
        for layer, (kernel, bias) in enumerate(self.maps):
            values = ops.relu(values) if layer else values
            kernel = ops.convert_to_tensor(kernel)
            values = ops.matmul(ops.cast(values, kernel.dtype), kernel) + bias
        return values[..., :-1], values[..., -1:]

    def call(self, hidden_state, item_ids=None, mix=None):
        vectors, biases = self.by_features(item_ids)
        if item_ids is None:
            rows = ops.reshape(hidden_state, (-1, self.dim))
            products = tf.matmul(rows, vectors, transpose_b=True) + biases[:, 0]
            featured = ops.reshape(products, (*ops.shape(hidden_state)[:-1], self.num_items))
        else:
            products = tf.matmul(hidden_state, vectors, transpose_b=True)
            featured = products + ops.expand_dims(biases[..., 0], -2)
        if mix is None:
            cold = ops.cast(_rows(self.is_cold, item_ids)[..., 0], hidden_state.dtype)
            mix = ops.maximum(cold, self.eval_mix)
            mix = mix if item_ids is None else ops.expand_dims(mix, -2)
        return (1.0 - mix) * self.own(hidden_state, item_ids) + mix * featured

    def get_config(self):
        if self.own.is_tied:
            raise ValueError(
                f"{self.name!r} shares its table with another layer, which a configuration of its "
                "own cannot say. Rebuild both in the model that ties them."
            )
        return super().get_config() | {
            "num_items": self.num_items,
            "dim": self.dim,
            "num_features": self.num_features,
            "hidden": list(self.hidden),
            "eval_mix": self.eval_mix,
            "seed": self.seed,
        }


def _rows(table, item_ids):
    """Returns the rows of items 1..N, or of `item_ids`."""
    return table.value[1:] if item_ids is None else tf.gather(table.value, item_ids)


def require_share(name: str, value: object) -> float:
    """Returns a share as a float, or raises if it is outside [0, 1]."""
    share = checks.require_number(name, value, minimum=0, mend="Pass a share in [0, 1].")
    if share > 1:
        raise ValueError(f"`{name}` was {value!r}, but is a share. Pass a number in [0, 1].")
    return share
