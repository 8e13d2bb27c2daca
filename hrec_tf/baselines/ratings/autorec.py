"""AutoRec: an autoencoder that fills in the ratings that are missing from a vector of them."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.special import expit

from hrec_tf import checks
from hrec_tf.baselines.baseline import UserRows, user_firsts
from hrec_tf.baselines.descent import Descent
from hrec_tf.baselines.ratings.rating_baseline import RatingBaseline, rating_rows
from hrec_tf.data.histories import Histories

VIEWS = ("users", "items")
BLOCK = 1024
"""Targets whose vectors are held at once."""


class AutoRec(RatingBaseline):
    """AutoRec: the ratings of a row, known and missing, from those that are known.

        h(r) = W g(V r + μ) + b,  g = sigmoid, missing ratings 0 in r
        loss = Σ over rows and their known j of (r_j − h_j(r))² + ½ λ (|W|² + |V|²)

    There are two views:

    - "items": a row is an item's ratings by each training user, the paper's I-AutoRec. A target
      gets the output of its user, whom both histories name in `user_ids`; there is none for a
      user who was not in training.
    - "users": a row is a user's ratings of each item, the paper's U-AutoRec. A test user is
      folded in: r are the ratings before the target, from `histories`. Users may be new.

    An output that no training rating belongs to (of an unknown user; by users, of an item that
    nobody rated) is replaced by the mean of all training ratings. Ratings are read as they
    stand, so that a missing one counts as a rating of 0 would: standardise them. Of an item
    rated repeatedly the mean is taken.

    Source: Sedhain et al., WWW 2015. Ours (inferred): `mask`, without which a row is never asked
    for what it does not hold; its loss still has all known ratings. Differs from it: Adam over
    minibatches, whose penalty is their share of the rows; b starts at the mean of all ratings.

    Args:
        units: size of the hidden layer.
        view: what a row is, "items" or "users".
        mask: share of known ratings set to 0 in r, drawn anew every epoch; the paper's is 0.
        learning_rate: of Adam.
        epochs: rounds over the rows.
        l2: λ.
        batch_size: rows of a minibatch.
        seed: of start, order and masks.

    Example:
        >>> ratings = np.array([[1.0], [-1.0], [-1.0], [1.0]] * 20)
        >>> training = Histories(
        ...     **vars(Histories.from_lists([[[1, 2]]] * 40)) | {"feedback": ratings}
        ... )
        >>> model = AutoRec(view="users", mask=0.5, units=8, learning_rate=0.05, l2=0.1)
        >>> _ = model.fit(training)
        >>> bool(model.predict(training, [1])[0] < -0.5)  # who liked item 1 dislikes item 2
        True
    """

    is_random = True

    def __init__(
        self,
        *,
        units: int = 500,
        view: str = "items",
        mask: float = 0.0,
        learning_rate: float = 0.001,
        epochs: int = 50,
        l2: float = 50.0,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.units = checks.require_positive_int(
            "units", units, mend="Pass the size of the hidden layer, e.g. 500."
        )
        self.view = checks.require_choice("view", view, VIEWS)
        self.mask = checks.require_rate("mask", mask)
        self.l2 = checks.require_number("l2", l2, minimum=0, mend="Pass λ, e.g. 50.")
        self.descent = Descent(
            learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, seed=seed
        )

    def _fit(self, histories: Histories, ratings: np.ndarray) -> None:
        offsets = histories.user_offsets
        rows = rating_rows(histories, ratings, offsets[:-1], offsets[1:]).astype(np.float32)
        if self.view == "items":
            rows = rows.T.tocsr()
            self.users = UserRows(histories)
        self.rows = rows
        self._start(rows)
        rng = self.descent.rng()

        def gradients(numbers: np.ndarray) -> Sequence[np.ndarray]:
            given = rows[numbers]
            kept = given.copy()
            kept.data *= rng.random(len(kept.data)) >= self.mask
            return self._gradients(kept, given, share=len(numbers) / rows.shape[0])

        self.descent(
            [self.V, self.mu, self.W, self.b],
            gradients,
            num_rows=rows.shape[0],
            rng=rng,
        )

    def _start(self, rows: sparse.csr_array) -> None:
        """Draws V and W; their rows stay 0 where training has no rating to learn them from."""
        rng = np.random.default_rng([self.descent.seed, 1])
        size = rows.shape[1]
        self.is_rated = np.bincount(rows.indices, minlength=size) > 0
        self.V, self.W = (
            (rng.normal(0.0, 0.03, (size, self.units)) * self.is_rated[:, None]).astype(np.float32)
            for _ in range(2)
        )
        self.mu = np.zeros(self.units, np.float32)
        self.b = np.full(size, self.mean_rating, np.float32)

    def _gradients(
        self, inputs: sparse.csr_array, outputs: sparse.csr_array, *, share: float
    ) -> Sequence[np.ndarray]:
        """Of the loss over these rows, with respect to V, μ, W and b.

        V is held transposed: both matrices have a row for each of the ratings.
        """
        g = expit(inputs @ self.V + self.mu)
        is_known = outputs.copy()
        is_known.data[:] = 1.0
        errors = 2 * (g @ self.W.T + self.b - outputs.toarray()) * is_known.toarray()
        of_z = (errors @ self.W) * g * (1 - g)
        shrink = np.float32(self.l2 * share)
        return (
            inputs.T @ of_z + shrink * self.V,
            of_z.sum(axis=0),
            errors.T @ g + shrink * self.W,
            errors.sum(axis=0),
        )

    def _predict(
        self, histories: Histories, ratings: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        predicted = np.full(len(targets), self.mean_rating)
        for begin in range(0, len(targets), BLOCK):
            some = targets[begin : begin + BLOCK]
            items = histories.item_ids[some] - 1
            if self.view == "users":
                rows = rating_rows(histories, ratings, user_firsts(histories, some), some)
                columns = items
            else:
                rows = self.rows[items]
                is_training_user, row = self.users.find(histories, some)
                columns = np.where(is_training_user, row, -1)
            is_known = (columns >= 0) & self.is_rated[columns]
            found = self._outputs(rows[is_known], columns[is_known])
            predicted[begin : begin + BLOCK][is_known] = found
        return predicted

    def _outputs(self, rows: sparse.csr_array, columns: np.ndarray) -> np.ndarray:
        """Output `columns[i]` of row i."""
        g = expit(rows @ self.V + self.mu)
        return np.einsum("ru,ru->r", g, self.W[columns]) + self.b[columns]
