"""FM: a rating of who rates what after what, and of how each two of these go together."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from hrec_tf import checks
from hrec_tf.baselines.baseline import UserRows
from hrec_tf.baselines.descent import Descent
from hrec_tf.baselines.item_features import require_item_features, require_row_per_item
from hrec_tf.baselines.ratings.rating_baseline import RatingBaseline
from hrec_tf.data.histories import Histories


def interactions(x: sparse.csr_array, V: np.ndarray) -> np.ndarray:
    """Returns float64 (rows,), Σ_{i<j} (v_i · v_j) x_i x_j of each row x, without its pairs.

        ½ Σ_f [ (Σ_i v_if x_i)² − Σ_i v_if² x_i² ]

    Args:
        x: sparse (rows, columns).
        V: (columns, factors).

    Example:
        >>> interactions(sparse.csr_array([[1.0, 2.0]]), np.array([[3.0], [5.0]])).tolist()
        [30.0]
    """
    return 0.5 * ((x @ V) ** 2 - x.multiply(x) @ V**2).sum(axis=1)


class FactorizationMachine(RatingBaseline):
    """FM: a weight for each part of the input, and a vector for how two of them go together.

        y = w_0 + Σ_i w_i x_i + ½ Σ_f [ (Σ_i v_if x_i)² − Σ_i v_if² x_i² ]
        loss = mean over ratings of ½ (y − r)² + ½ λ Σ_i x_i² (w_i² + |v_i|²)

    x is user one-hot, item one-hot, previous item one-hot (zeros at a user's first event), and
    the item's features. A user is one of training's by the `user_ids` of both histories; without
    them, or where training did not have the user, that part of x is zero. What training had no
    rating with (an item, say) has weight and vector 0.

    Source: Rendle, "Factorization Machines with libFM", TIST 2012. The penalty is that of its
    descent, where an example shrinks the parameters it uses. Differs from it: Adam over
    minibatches.

    Args:
        factors: size of the vectors v.
        item_features: float (num_items + 1, F), item id i in row i, as `FeatureTable.values`.
        learning_rate: of Adam.
        epochs: rounds over the ratings.
        l2: λ.
        batch_size: ratings of a minibatch.
        seed: of the vectors' start, normal with sd 0.1, and of the order.

    Example:
        >>> ratings = np.array([[1.0], [4.0]] * 50)
        >>> training = Histories(
        ...     **vars(Histories.from_lists([[[1, 2]]] * 50)) | {"feedback": ratings}
        ... )
        >>> model = FactorizationMachine(learning_rate=0.05, epochs=100, l2=0.0).fit(training)
        >>> low, high = model.predict(training, [0, 1])
        >>> bool(low < 2 and high > 3)
        True
    """

    is_random = True

    def __init__(
        self,
        *,
        factors: int = 16,
        item_features: np.ndarray | None = None,
        learning_rate: float = 0.003,
        epochs: int = 20,
        l2: float = 0.2,
        batch_size: int = 512,
        seed: int = 0,
    ) -> None:
        self.factors = checks.require_positive_int(
            "factors", factors, mend="Pass the size of the vectors, e.g. 16."
        )
        self.item_features = None if item_features is None else require_item_features(item_features)
        self.l2 = checks.require_number("l2", l2, minimum=0, mend="Pass λ, e.g. 0.2.")
        self.descent = Descent(
            learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, seed=seed
        )

    def _fit(self, histories: Histories, ratings: np.ndarray) -> None:
        if self.item_features is not None:
            require_row_per_item(self.item_features, histories.num_items)
        self.num_users = histories.num_users
        self.users = None if histories.user_ids is None else UserRows(histories)
        events = np.flatnonzero(np.isfinite(ratings))
        x = self._inputs(histories, events, histories.user_of_event()[events])
        known = ratings[events]
        rng = self.descent.rng()
        self.w_0 = np.array([self.mean_rating])
        self.w = np.zeros(x.shape[1])
        self.V = rng.normal(0.0, 0.1, (x.shape[1], self.factors))
        self.V[np.bincount(x.indices, minlength=x.shape[1]) == 0] = 0.0
        self.descent(
            [self.w_0, self.w, self.V],
            lambda rows: self._gradients(x[rows], known[rows]),
            num_rows=len(events),
            rng=rng,
        )

    def _gradients(self, x: sparse.csr_array, ratings: np.ndarray) -> Sequence[np.ndarray]:
        """Of the loss over these rows, with respect to w_0, w and V."""
        squares = x.multiply(x)
        shrink = self.l2 * squares.mean(axis=0)
        errors = (self._outputs(x) - ratings) / len(ratings)
        of_V = x.T @ (errors[:, None] * (x @ self.V)) - (squares.T @ errors)[:, None] * self.V
        return (
            errors.sum(keepdims=True),
            x.T @ errors + shrink * self.w,
            of_V + shrink[:, None] * self.V,
        )

    def _outputs(self, x: sparse.csr_array) -> np.ndarray:
        return self.w_0 + x @ self.w + interactions(x, self.V)

    def _predict(
        self, histories: Histories, ratings: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        users = np.full(len(targets), -1)
        if self.users is not None and histories.user_ids is not None:
            is_known, row = self.users.find(histories, targets)
            users = np.where(is_known, row, -1)
        return self._outputs(self._inputs(histories, targets, users))

    def _inputs(
        self, histories: Histories, events: np.ndarray, users: np.ndarray
    ) -> sparse.csr_array:
        """Sparse float64 (num_events, columns), the row x of each event; user -1 is unknown."""
        item_ids, num_items = histories.item_ids[events], histories.num_items
        previous = np.where(histories.user_starts[events], 0, histories.item_ids[events - 1])
        parts = [
            _one_hot(users, self.num_users),
            _one_hot(item_ids - 1, num_items),
            _one_hot(previous - 1, num_items),
        ]
        if self.item_features is not None:
            parts.append(sparse.csr_array(self.item_features[item_ids]))
        return sparse.hstack(parts, format="csr")


def _one_hot(columns: np.ndarray, size: int) -> sparse.csr_array:
    """Sparse float64 (rows, size), a 1 in each row's column, or none if that is -1."""
    rows = np.flatnonzero(columns >= 0)
    return sparse.csr_array((np.ones(len(rows)), (rows, columns[rows])), shape=(len(columns), size))
