"""Item-KNN: items that share sessions with what was just seen."""

import numpy as np
from scipy import sparse

from hrec_tf import checks
from hrec_tf.baselines.baseline import (
    Baseline,
    blocks_within,
    item_counts,
    session_firsts,
    user_firsts,
)
from hrec_tf.data.histories import Histories

CO_OCCURRENCES = ("session_sets", "pairs")
QUERIES = ("last", "session")
MAX_PRODUCTS = 4_000_000
"""Multiplications in one block of the co-occurrence product: about 100 MB at the most."""


class ItemKNN(Baseline):
    """Items ranked by how often they share a session with the last item, made fair to rare ones.

        sim(i, j) = c_ij / ((supp_i + λ)^α (supp_j + λ)^(1 - α)),  sim(i, i) = 0
        score_j   = sim(last item, j)   over the `neighbours` largest of row i, else 0

    With λ = 0, α = 0.5 and session sets this is the cosine of the items' session vectors.

    Source: the GRU4Rec authors' baseline as kept in rn5l/session-rec, which counts event
    pairs. Quadrana et al., RecSys 2017, use 300 neighbours. Of equal similarities at the
    cut the lowest ids stay (inferred: the source leaves it to an unstable sort).

    Args:
        neighbours: similar items kept for each item.
        regularisation: λ >= 0; the larger, the less a few shared sessions count.
        alpha: in [0, 1]; the share of the normalisation that the seen item's support takes.
        co_occurrence: "session_sets": c_ij counts sessions that hold both, supp_i sessions
            that hold i. "pairs": c_ij counts pairs of events in the same session, so
            repeats count, and supp_i counts events.
        query: "last": similar to the user's last event. "session": the mean over the
            events of the session so far (inferred: an event that repeats counts again).

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2], [1, 3], [1, 2], [2, 3]]])
        >>> cosine = ItemKNN(regularisation=0).fit(training)
        >>> cosine.score(training, [1]).round(3).tolist()  # after item 1, in three sessions
        [[0.0, 0.667, 0.408]]
    """

    def __init__(
        self,
        *,
        neighbours: int = 100,
        regularisation: float = 20.0,
        alpha: float = 0.5,
        co_occurrence: str = "session_sets",
        query: str = "last",
    ) -> None:
        self.neighbours = checks.require_positive_int(
            "neighbours", neighbours, mend="Pass the similar items kept per item, e.g. 100."
        )
        self.regularisation = checks.require_number(
            "regularisation", regularisation, minimum=0, mend="Pass λ, e.g. 20.0."
        )
        self.alpha = checks.require_number(
            "alpha", alpha, minimum=0, mend="Pass a share in [0, 1], e.g. 0.5."
        )
        if self.alpha > 1:
            raise ValueError(
                f"`alpha` must be a share in [0, 1], but was {alpha!r}. Pass 0.5 for the cosine."
            )
        self.co_occurrence = checks.require_choice("co_occurrence", co_occurrence, CO_OCCURRENCES)
        self.query = checks.require_choice("query", query, QUERIES)

    def _fit(self, histories: Histories) -> None:
        offsets = histories.session_offsets
        incidence = item_counts(histories, offsets[:-1], offsets[1:])
        incidence.sum_duplicates()
        if self.co_occurrence == "session_sets":
            incidence.data[:] = 1.0
        supports = np.asarray(incidence.sum(axis=0)).ravel()
        # An item that training never saw has no co-occurrence: any divisor above 0 will do.
        damped = np.where(supports > 0, supports + self.regularisation, 1.0)
        row_norm, column_norm = damped**self.alpha, damped ** (1.0 - self.alpha)

        by_item = incidence.T.tocsr()
        blocks = []
        for first, end in blocks_within(_products_by_item(by_item, incidence), MAX_PRODUCTS):
            shared = (by_item[first:end] @ incidence).tocoo()
            other = shared.row + first != shared.col
            row, column = shared.row[other], shared.col[other]
            similarity = shared.data[other] / (row_norm[row + first] * column_norm[column])
            blocks.append(_largest(row, column, similarity, self.neighbours, shared.shape))
        self.similarities = sparse.vstack(blocks, format="csr")

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        if self.query == "last":
            # A user's first event has no event before it: an empty stretch, scored 0.
            first = np.maximum(targets - 1, user_firsts(histories, targets))
        else:
            first = session_firsts(histories, targets)
        so_far = item_counts(histories, first, targets)
        scores = (so_far @ self.similarities).toarray()
        if self.query == "session":
            scores /= np.maximum(targets - first, 1)[:, None]
        return scores


def _products_by_item(by_item: sparse.csr_matrix, incidence: sparse.csr_matrix) -> np.ndarray:
    """Int64 (num_items,), multiplications that an item's row of the co-occurrences takes."""
    session_sizes = np.diff(incidence.indptr)
    products = np.zeros(by_item.nnz + 1, np.int64)
    np.cumsum(session_sizes[by_item.indices], out=products[1:])
    return np.diff(products[by_item.indptr])


def _largest(
    row: np.ndarray, column: np.ndarray, value: np.ndarray, keep: int, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """The sparse matrix of the `keep` largest values of each row; of equal ones, first columns."""
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    row_sizes = np.bincount(row, minlength=shape[0])
    place = np.arange(len(row)) - np.repeat(np.cumsum(row_sizes) - row_sizes, row_sizes)
    kept = place < keep
    return sparse.csr_matrix((value[kept], (row[kept], column[kept])), shape=shape)
