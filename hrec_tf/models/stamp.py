"""STAMP: attention over the vectors of the items themselves, without a recurrence."""

import keras
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.layers import AdditiveAttention, ItemEmbedding, at_positions, is_read_at
from hrec_tf.models.prefix_model import PrefixModel
from hrec_tf.schema import ITEM_IDS, POSITIONS


@keras.saving.register_keras_serializable(package="hrec_tf")
class STAMP(PrefixModel):
    """Next item from the last item and from an average of all, both seen as interests.

        x_j = W_emb[i_j];   m_t = x_T;   m_s = mean_j x_j
        w_j = σ(x_j W_1 + m_t W_2 + m_s W_3 [+ b_a]) w_0        no softmax
        m_a = Σ_j w_j x_j [+ m_s]
        h_s = tanh(m_a W_s [+ b_s]);   h_t = tanh(m_t W_t [+ b_t])
        r̂_i = Σ_d h_s[d] h_t[d] x_i[d], or σ of it

    At a target at position p, T stands for p. What stands in brackets, and σ, are variants:

    |                                   | residual | biases | inner_sigmoid |
    |-----------------------------------|----------|--------|---------------|
    | the paper [R]                     | no       | yes    | yes           |
    | its authors' code [C] (default)   | yes      | no     | no            |
    | Song et al.'s code [C]            | no       | yes    | yes           |

    With `inner_sigmoid` the softmax of the loss is over values in (0, 1), so it is almost flat.

    Source: Liu et al., KDD 2018, doi:10.1145/3219819.3219950; uestcnlp/STAMP; gtshs2/HCRNN;
    docs/equations.md G.9. Song et al. begin from N(0, 0.1²) and Glorot's rule: item_stddev=0.1,
    weight_stddev=None; ours then draws W_2 and W_3 as one matrix (our choice). Differs from the
    authors' code: vectors that are read are not cut to a norm of 1 or 1.5.

    Args:
        num_items: N; ids run 1..N.
        item_dim: size of an item's vector, and of all others.
        residual: whether m_s is added to m_a.
        inner_sigmoid: whether scores go through σ.
        biases: whether there are b_a, b_s and b_t.
        item_stddev: W_emb begins from N(0, item_stddev²); by Glorot's rule if None.
        weight_stddev: likewise of the other matrices.
        max_length: events of a prefix that are read at the most, the latest; all if None.
        seed: of initial values.
    """

    def __init__(
        self,
        *,
        num_items: int,
        item_dim: int = 100,
        residual: bool = True,
        inner_sigmoid: bool = False,
        biases: bool = False,
        item_stddev: float | None = 0.002,
        weight_stddev: float | None = 0.05,
        max_length: int | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(num_items=num_items, max_length=max_length, seed=seed, **kwargs)
        self.residual, self.inner_sigmoid, self.biases = residual, inner_sigmoid, biases
        self.item_dim = checks.require_positive_int(
            "item_dim", item_dim, mend="Pass the vectors' size, e.g. 100."
        )
        checks.require_stddev("item_stddev", item_stddev)
        self.weight_stddev = checks.require_stddev("weight_stddev", weight_stddev)
        self.items = ItemEmbedding(
            num_items, item_dim, stddev=item_stddev, seed=self._seed_of(0), name="items"
        )
        self.items.build()
        self.attention = AdditiveAttention(
            item_dim,
            normalise="none",
            use_bias=biases,
            stddev=weight_stddev,
            seed=self._seed_of(1),
            name="attention",
        )
        self.attention.build((None, None, item_dim), (None, None, 2 * item_dim))
        self.of_all = self._interest("of_all", 2)
        self.of_last = self._interest("of_last", 3)
        self.built = True

    def _interest(self, name, part):
        initializer = BlockGlorot(seed=self._seed_of(part))
        if self.weight_stddev is not None:
            initializer = keras.initializers.RandomNormal(
                stddev=self.weight_stddev, seed=self._seed_of(part)
            )
        layer = keras.layers.Dense(
            self.item_dim,
            activation="tanh",
            use_bias=self.biases,
            kernel_initializer=initializer,
            name=name,
        )
        layer.build((None, None, self.item_dim))
        return layer

    def encode(self, events, states, training=False):
        """Returns h_s ⊙ h_t (batch, targets, item_dim), and no states."""
        vectors = self.items(events[ITEM_IDS])
        is_read = is_read_at(events[ITEM_IDS], events[POSITIONS])
        last = at_positions(vectors, events[POSITIONS])
        counted = tf.cast(is_read, vectors.dtype)
        count = tf.reduce_sum(counted, axis=-1, keepdims=True)
        mean = tf.math.divide_no_nan(tf.matmul(counted, vectors), count)
        attended, _ = self.attention(vectors, tf.concat([last, mean], axis=-1), is_read)
        if self.residual:
            attended += mean
        return self.of_all(attended) * self.of_last(last), []

    def score(self, hidden, item_ids=None):
        logits = self.items.products(hidden, item_ids)
        return ops.sigmoid(logits) if self.inner_sigmoid else logits

    def get_config(self):
        return super().get_config() | {
            "item_dim": self.item_dim,
            "residual": self.residual,
            "inner_sigmoid": self.inner_sigmoid,
            "biases": self.biases,
            "item_stddev": self.items.stddev,
            "weight_stddev": self.weight_stddev,
        }
