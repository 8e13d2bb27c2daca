"""Factors learnt from pairs: what was taken is put before what was not (BPR)."""

from abc import abstractmethod

import numpy as np
from scipy.special import expit

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
            instead of one after the other. Not from the source: it is for speed.
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
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.epochs):
                order = rng.permutation(len(items))
                others = rng.integers(histories.num_items, size=len(items))
                for first in range(0, len(order), self.block_size):
                    block = slice(first, first + self.block_size)
                    examples = order[block]
                    rows = [rows[examples] for rows, _ in parts]
                    self._descend(rows, items[examples], others[block])
        learnt = (*self.context_vectors, self.item_vectors, self.item_biases)
        if not all(np.isfinite(values).all() for values in learnt):
            raise ValueError(
                f"`learning_rate` was {self.learning_rate} with blocks of {self.block_size}, and "
                "the vectors grew beyond all numbers. Pass a smaller rate, e.g. 0.01."
            )

    def _descend(self, rows: list[np.ndarray], taken: np.ndarray, others: np.ndarray) -> None:
        """Moves vectors and biases by a block of examples: rows of c, of i and of j."""
        items = np.concatenate([taken, others])
        tables = zip(self.context_vectors, rows, strict=True)
        c = np.concatenate([table[of_part] for table, of_part in tables], axis=1)
        v, b = self.item_vectors[items], self.item_biases[items]
        v_ahead = v[: len(taken)] - v[len(taken) :]
        b_ahead = b[: len(taken)] - b[len(taken) :]
        # -log σ(x) falls with x at the rate σ(-x).
        rate = self.learning_rate * expit(-(b_ahead + np.einsum("ef,ef->e", c, v_ahead)))
        rate_of_items = np.concatenate([rate, -rate])
        c_step = rate[:, None] * v_ahead - self.learning_rate * self.context_l2 * c
        v_step = rate_of_items[:, None] * np.tile(c, (2, 1))
        for part, (table, of_part) in enumerate(zip(self.context_vectors, rows, strict=True)):
            columns = slice(part * self.factors, (part + 1) * self.factors)
            _add_rows(table, of_part, c_step[:, columns])
        _add_rows(self.item_vectors, items, v_step - self.learning_rate * self.item_l2 * v)
        if self.item_bias:
            b_step = rate_of_items - self.learning_rate * self.item_l2 * b
            np.add.at(self.item_biases, items, b_step)


def _add_rows(table: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    """Adds values to rows of a table, repeated ones too; `np.add.at` is slow on wide rows."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    table[ordered[first]] += np.add.reduceat(values[order], first)
