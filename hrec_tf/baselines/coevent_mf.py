"""CoEvent MF: factors of how often items come in the same session."""

import numpy as np
from scipy import sparse

from hrec_tf import checks
from hrec_tf.baselines.baseline import Baseline, item_counts, session_firsts
from hrec_tf.data.histories import Histories


class CoEventMF(Baseline):
    """CoEvent MF: items near those of the session so far, in factors of co-occurrences.

        loss    = Σ_ij (1 + α c_ij) (1[c_ij > 0] - x_i · y_j)² + λ (Σ_i |x_i|² + Σ_j |y_j|²)
        score_j = x · y_j,  x = mean of x_i over the session's events so far

    c_ij counts the sessions that hold both items, c_ii = 0. Learnt by alternating least squares:
    each sweep solves for all x at given y, then for all y at given x.

    Source: baseline of Villatel et al. 2018, arXiv:1807.09142, of which the name is known; the
    loss is that of Hu et al., ICDM 2008, doi:10.1109/ICDM.2008.22, and the scores are inferred.

    Args:
        factors: size of x_i and y_j.
        sweeps: rounds of alternating least squares.
        confidence: α >= 0.
        l2: λ > 0.
        seed: of the vectors' start, N(0, 0.01²).

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2], [1, 2], [3, 4], [3, 4]]])
        >>> model = CoEventMF(factors=4).fit(training)
        >>> model.score(training, [1]).argmax() + 1  # after item 1
        np.int64(2)
    """

    is_random = True

    def __init__(
        self,
        *,
        factors: int = 64,
        sweeps: int = 10,
        confidence: float = 10.0,
        l2: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.factors = checks.require_positive_int(
            "factors", factors, mend="Pass the size of the vectors, e.g. 64."
        )
        self.sweeps = checks.require_positive_int("sweeps", sweeps, mend="Pass e.g. 10.")
        self.confidence = checks.require_number(
            "confidence", confidence, minimum=0, mend="Pass α, e.g. 10.0."
        )
        self.l2 = checks.require_number("l2", l2, minimum=1e-9, mend="Pass λ above 0, e.g. 0.1.")
        self.seed = checks.require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. 0.")

    def _fit(self, histories: Histories) -> None:
        together = co_occurrences(histories)
        rng = np.random.default_rng(self.seed)
        self.query_vectors, self.item_vectors = (
            rng.normal(0.0, 0.01, (histories.num_items, self.factors)) for _ in range(2)
        )
        for _ in range(self.sweeps):
            self._solve(self.query_vectors, together, self.item_vectors)
            # c is its own transpose.
            self._solve(self.item_vectors, together, self.query_vectors)

    def _solve(self, rows: np.ndarray, together: sparse.csr_matrix, others: np.ndarray) -> None:
        """Sets each row to where its part of the loss is least, at given vectors of the others."""
        common = others.T @ others + self.l2 * np.eye(self.factors)
        for row in range(len(rows)):
            held = slice(*together.indptr[row : row + 2])
            near = others[together.indices[held]]
            extra = self.confidence * together.data[held]
            rows[row] = np.linalg.solve(common + (near.T * extra) @ near, (1 + extra) @ near)

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        first = session_firsts(histories, targets)
        x = item_counts(histories, first, targets) @ self.query_vectors
        x /= np.maximum(targets - first, 1)[:, None]
        return x @ self.item_vectors.T


def co_occurrences(histories: Histories) -> sparse.csr_matrix:
    """The (num_items, num_items) matrix of sessions that hold both items; 0 on the diagonal."""
    offsets = histories.session_offsets
    incidence = item_counts(histories, offsets[:-1], offsets[1:])
    incidence.sum_duplicates()
    incidence.data[:] = 1.0
    together = (incidence.T @ incidence).tocsr()
    together.setdiag(0)
    together.eliminate_zeros()
    return together
