"""Factors learnt from pairs: what was taken is put before what was not (BPR)."""

from abc import abstractmethod
from functools import cache
from typing import Any

import numpy as np

from hrec_tf import checks
from hrec_tf.baselines.baseline import Baseline
from hrec_tf.data.histories import Histories


class PairwiseBaseline(Baseline):
    """Learns x_ej = b_j + c_e · v_j for events e, whose context vector c_e has one part or more.

        loss = Σ -log σ(x_ei - x_ej) + ½ λ_c |c_e|² + ½ λ_v (|v_i|² + |v_j|² + b_i² + b_j²)

    An event with item i is an example once an epoch, in an order drawn anew, with an item j drawn
    uniformly from all, i included. Each part of c_e is a row of a table of its own, such as the
    user's or the item's before.

    A subclass says what an event's rows are (`_examples`), and defines `_score`.

    Source: Rendle et al., UAI 2009, arXiv:1205.2618.

    Args:
        factors: size of each part.
        learning_rate: of plain gradient descent.
        epochs: rounds over the events.
        context_l2, item_l2: λ_c and λ_v.
        init_range: vectors start uniform in ± this, biases at 0.
        item_bias: False keeps b at 0.
        block_size: examples whose gradients are taken at the same parameters and then added,
            instead of one after the other. Not from the source: it is for speed, as is that
            training is in float32.
        seed: of start, order and draws.

    Attributes:
        context_vectors: float64 (rows, factors) of each part.
        item_vectors: float64 (num_items, parts · factors), the parts side by side.
        item_biases: float64 (num_items,).
    """

    is_random = True
    context_vectors: list[np.ndarray]
    item_vectors: np.ndarray
    item_biases: np.ndarray

    def __init__(
        self,
        *,
        factors: int = 64,
        learning_rate: float = 0.05,
        epochs: int = 20,
        context_l2: float = 0.0,
        item_l2: float = 0.0,
        init_range: float = 0.05,
        item_bias: bool = True,
        block_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.factors = checks.require_positive_int(
            "factors", factors, mend="Pass the size of the vectors, e.g. 100."
        )
        self.learning_rate = checks.require_number(
            "learning_rate", learning_rate, minimum=0, mend="Pass e.g. 0.01."
        )
        self.epochs = checks.require_positive_int("epochs", epochs, mend="Pass e.g. 10.")
        self.context_l2 = checks.require_number(
            "context_l2", context_l2, minimum=0, mend="Pass λ_c."
        )
        self.item_l2 = checks.require_number("item_l2", item_l2, minimum=0, mend="Pass λ_v.")
        self.init_range = checks.require_number(
            "init_range", init_range, minimum=0, mend="Pass e.g. 0.05."
        )
        self.item_bias = item_bias
        self.block_size = checks.require_positive_int(
            "block_size", block_size, mend="Pass the examples of a block, e.g. 64."
        )
        self.seed = checks.require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. 0.")

    @abstractmethod
    def _examples(self, histories: Histories) -> tuple[np.ndarray, list[tuple[np.ndarray, int]]]:
        """Returns what is learnt from: events, and their rows in each part's table.

        Returns:
            int64 (examples,), events; and for each part int64 (examples,), rows, and how many
            rows the table has.
        """

    def _fit(self, histories: Histories) -> None:
        rng = np.random.default_rng(self.seed)
        events, parts = self._examples(histories)
        items = histories.item_ids[events].astype(np.int64) - 1
        *self.context_vectors, self.item_vectors = (
            rng.uniform(-self.init_range, self.init_range, shape)
            for shape in (
                *((size, self.factors) for _, size in parts),
                (histories.num_items, len(parts) * self.factors),
            )
        )
        self.item_biases = np.zeros(histories.num_items)
        whole = len(items) - len(items) % self.block_size
        for _ in range(self.epochs):
            order = rng.permutation(len(items))
            others = rng.integers(histories.num_items, size=len(items))
            for part in (slice(whole), slice(whole, None)):
                examples = order[part]
                rows = [rows[examples] for rows, _ in parts]
                self._descend(rows, items[examples], others[part])
        learnt = (*self.context_vectors, self.item_vectors, self.item_biases)
        if not all(np.isfinite(values).all() for values in learnt):
            raise ValueError(
                f"`learning_rate` was {self.learning_rate} with blocks of {self.block_size}, and "
                "the vectors grew beyond all numbers. Pass a smaller rate, e.g. 0.01."
            )

    def _descend(self, rows: list[np.ndarray], taken: np.ndarray, others: np.ndarray) -> None:
        """Moves vectors and biases by examples, block after block: rows of c, of i and of j."""
        if not len(taken):
            return
        size = min(self.block_size, len(taken))
        blocks = [values.reshape(-1, size).astype(np.int32) for values in (*rows, taken, others)]
        tables = [*self.context_vectors, self.item_vectors, self.item_biases]
        rates = (self.learning_rate, self.context_l2, self.item_l2, self.item_bias)
        with np.errstate(over="ignore"):  # a bad learning rate is told after training
            held = [np.asarray(table, np.float32) for table in tables]
            moved = _program()(held, blocks, np.array(rates, np.float32))
        *self.context_vectors, self.item_vectors, self.item_biases = (
            np.asarray(table, np.float64) for table in moved
        )


@cache
def _program() -> Any:
    """Returns the descent over all blocks as one program, compiled for each size of its tables."""
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=True)
    def descend(tables, blocks, rates):
        step, context_l2, item_l2, bias_share = tf.unstack(rates)
        parts = len(tables) - 2
        factors = tables[0].shape[1]

        def body(k, tables):
            *contexts, item_vectors, item_biases = tables
            *rows, taken, others = (block[k] for block in blocks)
            items = tf.concat([taken, others], 0)
            c = tf.concat([tf.gather(*held) for held in zip(contexts, rows, strict=True)], 1)
            v, b = tf.gather(item_vectors, items), tf.gather(item_biases, items)
            v_taken, v_others = tf.split(v, 2)
            b_taken, b_others = tf.split(b, 2)
            v_ahead = v_taken - v_others
            # -log σ(x) falls with x at the rate σ(-x).
            x = b_taken - b_others + tf.reduce_sum(c * v_ahead, axis=1)
            rate = step * tf.sigmoid(-x)
            rate_of_items = tf.concat([rate, -rate], 0)
            c_step = rate[:, None] * v_ahead - step * context_l2 * c
            v_step = rate_of_items[:, None] * tf.tile(c, (2, 1)) - step * item_l2 * v
            b_step = bias_share * (rate_of_items - step * item_l2 * b)
            moved = [
                tf.tensor_scatter_nd_add(
                    contexts[part],
                    rows[part][:, None],
                    c_step[:, part * factors : (part + 1) * factors],
                )
                for part in range(parts)
            ]
            moved.append(tf.tensor_scatter_nd_add(item_vectors, items[:, None], v_step))
            moved.append(tf.tensor_scatter_nd_add(item_biases, items[:, None], b_step))
            return k + 1, moved

        number = blocks[0].shape[0]
        return tf.while_loop(lambda k, _: k < number, body, (tf.constant(0), tables))[1]

    return descend
