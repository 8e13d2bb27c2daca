"""Causal self-attention over streams: a Transformer that sees the last events of its user."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from hrec_tf import checks
from hrec_tf.cells.initializers import BlockGlorot
from hrec_tf.cells.protocol import dense, keep_mask
from hrec_tf.layers.additive_attention import NOT_READ
from hrec_tf.layers.steps import Window

TOGETHER = 16
"""Steps that attend at once: few keys beside those they see, and sums of one length in any window,
so that padding moves no bit of them."""
NO_EVENT = -1
"""In place of a user's number."""


@keras.saving.register_keras_serializable(package="hrec_tf")
class CausalAttention(keras.layers.Layer):
    """Pre-norm Transformer blocks over the last events of a user, in place of a `Recurrence`.

        x  = inputs W + b
        x <- x + drop(attend(norm(x)) W_O)                          in each block
        x <- x + drop(relu(norm(x) W_1 + b_1) W_2 + b_2)
        y  = norm(x)

        attend(x)_t = Σ_j α_tj x_j W_V;   α_tj = softmax_j(x_t W_Q · x_j W_K / sqrt(d) + p_{t-j})

    in each of `num_heads` heads of d = units / num_heads, over events j of the same user with
    0 <= t - j < context. A head learns a number p for each distance.

    Source: Vaswani et al. 2017, arXiv:1706.03762; docs/equations.md D.3 (Ma & Narayanaswamy say
    no more than that a causal Transformer may be used). Inferred: norms before the blocks, as in
    Xiong et al. 2020, arXiv:2002.04745. Ours: p in place of positions, which a stream has no
    first one of; the bound on what is seen; a user's start in the window, padding, states.

    Args:
        units: size of x.
        num_blocks: blocks; each sees `context` events of the one below.
        num_heads: heads of a block.
        context: events that are seen by an event, itself among them.
        dropout: rate on what a block adds to x.
        seed: of initial values and dropout.

    Call:
        inputs, initial_state, reset, is_event: as of `Recurrence`. A state holds
            (x_j W_K, x_j W_V, whether there is an event j) of a block's last context - 1 events.
        Returns `(outputs (batch, steps, units), states)`. At padding, the output is that of the
        last event before it in the window, or zeros.
    """

    def __init__(
        self,
        units: int,
        *,
        num_blocks: int = 2,
        num_heads: int = 2,
        context: int = 64,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.require_positive_int("units", units, mend="Pass a size, e.g. 100.")
        self.num_blocks = checks.require_positive_int(
            "num_blocks", num_blocks, mend="Pass the number of blocks, e.g. 2."
        )
        self.num_heads = checks.require_positive_int(
            "num_heads", num_heads, mend="Pass the number of heads, e.g. 2."
        )
        if units % num_heads:
            raise ValueError(
                f"`units` was {units} with {num_heads} heads, but each head has an equal share. "
                "Pass a multiple of `num_heads`."
            )
        self.context = checks.require_positive_int(
            "context", context, mend="Pass the number of events that are seen, e.g. 64."
        )
        self.dropout = checks.require_rate("dropout", dropout)
        self.seed = seed
        self.blocks = [
            _Block(units, num_heads, context, self.dropout, self._seed(1 + 5 * block))
            for block in range(num_blocks)
        ]
        self.last_norm = _Norm(name="last_norm")

    def _seed(self, part: int) -> int | None:
        return None if self.seed is None else self.seed + part

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.units),
            initializer=BlockGlorot(seed=self._seed(0)),
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        for block in self.blocks:
            block.build((None, None, self.units))
        self.last_norm.build((None, None, self.units))

    @property
    def state_sizes(self) -> list[int]:
        """Sizes of the states, one for each block."""
        return [(self.context - 1) * (2 * self.units + 1)] * self.num_blocks

    def initial_states(self, batch_size) -> list[tf.Tensor]:
        """Returns zeros (batch_size, size) for each state: a new user."""
        return [tf.zeros((batch_size, size), self.compute_dtype) for size in self.state_sizes]

    def call(self, inputs, initial_state=None, reset=None, is_event=None, training=False):
        window = Window(inputs, reset, is_event)
        states = self.initial_states(window.batch) if initial_state is None else initial_state
        hidden, new_states = dense(window.pack(inputs), self.kernel, self.bias), []
        for block, state in zip(self.blocks, states, strict=True):
            hidden, new_state = block(hidden, state, window=window, training=training)
            new_states.append(new_state)
        return window.unpack(self.last_norm(hidden)), new_states

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "num_blocks": self.num_blocks,
            "num_heads": self.num_heads,
            "context": self.context,
            "dropout": self.dropout,
            "seed": self.seed,
        }


class _Block(keras.layers.Layer):
    """What one block adds to x, and the keys and values it carries; see `CausalAttention`."""

    def __init__(self, units, num_heads, context, dropout, seed):
        super().__init__()
        self.units, self.num_heads, self.context = units, num_heads, context
        self.dropout, self.seed = dropout, seed
        self.norms = [_Norm(name="attention_norm"), _Norm(name="feed_forward_norm")]
        self.seed_generator = keras.random.SeedGenerator(self._seed(4))

    def _seed(self, part):
        return None if self.seed is None else self.seed + part

    def build(self, input_shape):
        kernels = {
            "query_key_value": (self.units, 3 * self.units),
            "output": (self.units, self.units),
            "expand": (self.units, 4 * self.units),
            "contract": (4 * self.units, self.units),
        }
        for part, (name, shape) in enumerate(kernels.items()):
            draw = BlockGlorot(blocks=3 if part == 0 else 1, seed=self._seed(part))
            setattr(
                self, f"{name}_kernel", self.add_weight(name=name, shape=shape, initializer=draw)
            )
        zeros = {
            "expand_bias": (4 * self.units,),
            "contract_bias": (self.units,),
            "relative": (self.num_heads, self.context),
        }
        for name, size in zeros.items():
            setattr(self, name, self.add_weight(name=name, shape=size, initializer="zeros"))
        for norm in self.norms:
            norm.build(input_shape)

    def call(self, hidden, state, window, training=False):
        attended, state = self._attend(self.norms[0](hidden), state, window)
        hidden = hidden + self._drop(dense(attended, self.output_kernel), training)
        inner = tf.nn.relu(dense(self.norms[1](hidden), self.expand_kernel, self.expand_bias))
        added = dense(inner, self.contract_kernel, self.contract_bias)
        return hidden + self._drop(added, training), state

    def _drop(self, added, training):
        if not (training and self.dropout):
            return added
        return added * keep_mask(added, self.units, self.dropout, self.seed_generator)

    def _attend(self, inputs, state, window):
        projected = dense(inputs, self.query_key_value_kernel)
        queries, keys_values = tf.split(projected, [self.units, 2 * self.units], axis=-1)
        is_there = tf.ones_like(queries[..., :1])
        before = self.context - 1
        rows, users = window.follow(state, tf.concat([keys_values, is_there], axis=-1), before)
        state = window.carry(rows, users, before)

        size = 1 if inputs.shape[1] == 1 else TOGETHER
        askers, queries = _parts(window.users, size), self._heads(_parts(queries, size))
        owners = _parts(tf.where(rows[..., -1] > 0.5, users, NO_EVENT), size, before)
        keys, values, _ = tf.split(_parts(rows, size, before), [self.units, self.units, 1], axis=-1)
        keys, values = self._heads(keys), self._heads(values)

        # Step i of a part has row before + i of it.
        distance = before + np.arange(size)[:, None] - np.arange(before + size)
        is_near = (distance >= 0) & (distance <= before)
        is_read = (ops.expand_dims(askers, 3) == ops.expand_dims(owners, 2)) & is_near
        agreement = tf.einsum("bpqhd,bpkhd->bphqk", queries, keys) / queries.shape[-1] ** 0.5
        relative = tf.gather(self.relative.value, np.clip(distance, 0, before), axis=1)
        logits = tf.where(ops.expand_dims(is_read, 2), agreement + relative, NOT_READ)
        attended = tf.einsum("bphqk,bpkhd->bpqhd", tf.nn.softmax(logits), values)
        attended = ops.reshape(attended, (window.batch, -1, self.units))
        return attended[:, : window.steps], state

    def _heads(self, values):
        """Splits the last axis into (heads, d)."""
        size = self.units // self.num_heads
        return ops.reshape(values, (*ops.shape(values)[:-1], self.num_heads, size))


def _parts(values, size, before=0):
    """Cuts steps into parts of `size`, each behind the `before` rows that are in front of it.

    (batch, before + steps, ...) -> (batch, parts, before + size, ...)
    """
    steps = ops.shape(values)[1] - before
    num_parts = -(-steps // size)
    behind = [[0, 0], [0, num_parts * size - steps], *[[0, 0]] * (len(values.shape) - 2)]
    rows = tf.range(num_parts)[:, None] * size + tf.range(before + size)
    return tf.gather(tf.pad(values, behind), rows, axis=1)


class _Norm(keras.layers.Layer):
    """norm(x) = γ (x - mean) / sqrt(variance + 1e-5) + β, over the features of each step."""

    def build(self, input_shape):
        size = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=size, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=size, initializer="zeros")

    def call(self, x):
        x = x - ops.mean(x, axis=-1, keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-5)
        # On a CPU, `rsqrt` rounds by a value's place in the tensor: padding would move bits of what
        # comes after. Keras' layer has it, and TensorFlow's graph optimiser makes it of `/`.
        return self.gamma * tf.math.divide_no_nan(x, deviation) + self.beta
