"""BPR-MF: matrix factorisation that learns to put what was taken before what was not."""

import numpy as np
from scipy.special import expit

from hrec_tf import checks
from hrec_tf.baselines.baseline import Baseline, item_counts, session_firsts, user_firsts
from hrec_tf.data.histories import Histories

USERS = ("session", "user")


class BPRMF(Baseline):
    """BPR-MF: items near the mean of the items so far, with vectors learnt from pairs.

        x_uj = b_j + p_u · q_j
        loss = Σ -log σ(x_ui - x_uj) + ½ λ_p |p_u|² + ½ λ_q (|q_i|² + |q_j|² + b_i² + b_j²)
        score_j = b_j + p · q_j,  p = mean of q over the session's items so far

    An event (u, i) is an example once an epoch, in an order drawn anew, with an item j drawn
    uniformly from all, i and other items of u included. The p_u of training serve training
    alone: histories do not say who their users are. Before a session's first item p is 0.

    Source: Rendle et al., UAI 2009, arXiv:1205.2618, and the GRU4Rec authors' baseline as kept
    in rn5l/session-rec, where a new session takes the mean. That code holds biases but never
    moves them (here `item_bias=False`); draws j from the first events of the log, as many as
    there are items; and descends example by example (here `block_size=1`).

    Args:
        factors: size of p_u and q_j.
        learning_rate: of plain gradient descent.
        epochs: rounds over the events.
        user_l2, item_l2: λ_p and λ_q.
        init_range: p and q start uniform in ± this, b at 0.
        item_bias: False keeps b at 0.
        user: what u is, "session" or "user". With "user" the mean is over all events of the
            user so far, those of earlier sessions too.
        block_size: examples whose gradients are taken at the same parameters and then added,
            instead of one after the other. Not from the source: it is for speed.
        seed: of start, order and draws.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2], [1, 2], [3, 4], [3, 4]]])
        >>> model = BPRMF(factors=8, learning_rate=0.1, epochs=200).fit(training)
        >>> model.score(training, [1]).argmax() + 1 in (1, 2)  # after item 1
        True
    """

    is_random = True

    def __init__(
        self,
        *,
        factors: int = 100,
        learning_rate: float = 0.01,
        epochs: int = 10,
        user_l2: float = 0.0,
        item_l2: float = 0.0,
        init_range: float = 0.05,
        item_bias: bool = True,
        user: str = "session",
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
        self.user_l2 = checks.require_number("user_l2", user_l2, minimum=0, mend="Pass λ_p.")
        self.item_l2 = checks.require_number("item_l2", item_l2, minimum=0, mend="Pass λ_q.")
        self.init_range = checks.require_number(
            "init_range", init_range, minimum=0, mend="Pass e.g. 0.05."
        )
        self.item_bias = item_bias
        self.user = checks.require_choice("user", user, USERS)
        self.block_size = checks.require_positive_int(
            "block_size", block_size, mend="Pass the examples of a block, e.g. 64."
        )
        self.seed = checks.require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. 0.")

    def _fit(self, histories: Histories) -> None:
        rng = np.random.default_rng(self.seed)
        of_session = self.user == "session"
        users = histories.session_of_event() if of_session else histories.user_of_event()
        items = histories.item_ids.astype(np.int64) - 1
        self.user_vectors, self.item_vectors = (
            rng.uniform(-self.init_range, self.init_range, (rows, self.factors))
            for rows in (users[-1] + 1, histories.num_items)
        )
        self.item_biases = np.zeros(histories.num_items)
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.epochs):
                order = rng.permutation(len(items))
                others = rng.integers(histories.num_items, size=len(items))
                for first in range(0, len(order), self.block_size):
                    block = slice(first, first + self.block_size)
                    rows = order[block]
                    self._descend(users[rows], items[rows], others[block])
        learnt = (self.user_vectors, self.item_vectors, self.item_biases)
        if not all(np.isfinite(values).all() for values in learnt):
            raise ValueError(
                f"`learning_rate` was {self.learning_rate} with blocks of {self.block_size}, and "
                "the vectors grew beyond all numbers. Pass a smaller rate, e.g. 0.01."
            )

    def _descend(self, users: np.ndarray, taken: np.ndarray, others: np.ndarray) -> None:
        """Moves vectors and biases by a block of examples: rows of u, of i and of j."""
        items = np.concatenate([taken, others])
        p, q, b = self.user_vectors[users], self.item_vectors[items], self.item_biases[items]
        q_ahead = q[: len(taken)] - q[len(taken) :]
        b_ahead = b[: len(taken)] - b[len(taken) :]
        # -log σ(x) falls with x at the rate σ(-x).
        rate = self.learning_rate * expit(-(b_ahead + np.einsum("ef,ef->e", p, q_ahead)))
        rate_of_items = np.concatenate([rate, -rate])
        p_step = rate[:, None] * q_ahead - self.learning_rate * self.user_l2 * p
        q_step = rate_of_items[:, None] * np.tile(p, (2, 1))
        _add_rows(self.user_vectors, users, p_step)
        _add_rows(self.item_vectors, items, q_step - self.learning_rate * self.item_l2 * q)
        if self.item_bias:
            b_step = rate_of_items - self.learning_rate * self.item_l2 * b
            np.add.at(self.item_biases, items, b_step)

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        firsts = session_firsts if self.user == "session" else user_firsts
        first = firsts(histories, targets)
        p = item_counts(histories, first, targets) @ self.item_vectors
        p /= np.maximum(targets - first, 1)[:, None]
        return p @ self.item_vectors.T + self.item_biases


def _add_rows(table: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    """Adds values to rows of a table, repeated ones too; `np.add.at` is slow on wide rows."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    table[ordered[first]] += np.add.reduceat(values[order], first)
