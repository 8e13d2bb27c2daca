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
    uniformly from all, i included; parameters move after each example, in float32. Each part of
    c_e is a row of a table of its own, such as the user's or the item's before.

    A subclass says what an event's rows are (`_examples`), and defines `_score`.

    Source: Rendle et al., UAI 2009, arXiv:1205.2618.

    Args:
        factors: size of each part.
        learning_rate: of plain gradient descent.
        epochs: rounds over the events.
        context_l2, item_l2: λ_c and λ_v.
        init_range: vectors start uniform in ± this, biases at 0.
        item_bias: False keeps b at 0.
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
        for _ in range(self.epochs):
            order = rng.permutation(len(items))
            others = rng.integers(histories.num_items, size=len(items))
            self._descend([rows[order] for rows, _ in parts], items[order], others)
        learnt = (*self.context_vectors, self.item_vectors, self.item_biases)
        if not all(np.isfinite(values).all() for values in learnt):
            raise ValueError(
                f"`learning_rate` was {self.learning_rate}, and the vectors grew beyond "
                "all numbers. Pass a smaller rate, e.g. 0.01."
            )

    def _descend(self, rows: list[np.ndarray], taken: np.ndarray, others: np.ndarray) -> None:
        """Moves vectors and biases by one example after the other: rows of c, of i and of j."""
        with np.errstate(over="ignore"):  # a bad learning rate is told after training
            contexts = tuple(np.array(part, np.float32) for part in self.context_vectors)
            v, b = (np.array(of, np.float32) for of in (self.item_vectors, self.item_biases))
            rates = np.array((self.learning_rate, self.context_l2, self.item_l2), np.float32)
        _compiled_descent()(
            contexts,
            v.reshape(len(v), len(contexts), -1),  # a view
            b,
            tuple(rows),
            taken,
            others,
            *rates,
            self.item_bias,
        )
        self.context_vectors = [np.asarray(part, np.float64) for part in contexts]
        self.item_vectors, self.item_biases = (np.asarray(of, np.float64) for of in (v, b))


@cache
def _compiled_descent() -> Any:
    """Returns the descent, compiled at its first call: in place, on tables of float32."""
    import numba

    # Sums of many products may be added in any order, several at a time.
    @numba.njit(fastmath={"reassoc", "contract"}, error_model="numpy")
    def descend(contexts, v, b, rows, taken, others, step, context_l2, item_l2, item_bias):
        for k in range(len(taken)):
            i, j = taken[k], others[k]
            x = b[i] - b[j]
            for part in range(len(contexts)):
                c, v_i, v_j = contexts[part][rows[part][k]], v[i, part], v[j, part]
                for f in range(len(c)):
                    x += c[f] * (v_i[f] - v_j[f])
            # -log σ(x) falls with x at the rate σ(-x).
            rate = step / (np.float32(1) + np.exp(x))
            for part in range(len(contexts)):
                c, v_i, v_j = contexts[part][rows[part][k]], v[i, part], v[j, part]
                for f in range(len(c)):
                    c_f, ahead = c[f], v_i[f] - v_j[f]
                    shrunk_i, shrunk_j = step * item_l2 * v_i[f], step * item_l2 * v_j[f]
                    c[f] += rate * ahead - step * context_l2 * c_f
                    v_i[f] += rate * c_f - shrunk_i
                    v_j[f] -= rate * c_f + shrunk_j
            if item_bias:
                shrunk_i, shrunk_j = step * item_l2 * b[i], step * item_l2 * b[j]
                b[i] += rate - shrunk_i
                b[j] -= rate + shrunk_j

    return descend
