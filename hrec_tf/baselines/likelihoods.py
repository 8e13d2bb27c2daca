"""Baselines with a probability for every item: popularity, and popularity with features."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from scipy import sparse
from scipy.special import softmax

from hrec_tf import checks
from hrec_tf.baselines.baseline import Baseline
from hrec_tf.baselines.descent import Descent
from hrec_tf.baselines.item_features import require_item_features, require_row_per_item
from hrec_tf.data.histories import Histories


class PopularityLikelihood(Baseline):
    """Popularity as a distribution, with one event more of every item.

        score_j = log(supp_j + 1)
        p_j = softmax(score)_j = (supp_j + 1) / Σ_i (supp_i + 1)

    Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", section 4.
    Inferred: what it does for items without events.

    Example:
        >>> training = Histories.from_lists([[[1, 2, 1], [1, 3]]], num_items=4)
        >>> np.exp(PopularityLikelihood().fit(training).score(training, [1])).round(9).tolist()
        [[4.0, 2.0, 2.0, 1.0]]
    """

    scores_are_logits: ClassVar[bool] = True

    def _fit(self, histories: Histories) -> None:
        self.item_scores = np.log(histories.item_supports() + 1.0)

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        return np.tile(self.item_scores, (len(targets), 1))


class PopularityFM(Baseline):
    """Popularity, and how the features of an item go with those of the user's last item.

        s_j = b_j + f_j · w + (f_last V)(f_j Q)^T
        loss = mean over events of -log softmax(s)_j + ½ λ (|w|² + |V|² + |Q|²)

    The last item is the one before the target, also in an earlier session; at a user's first
    event, which counts as a target too, f_last = 0. b starts at log(supp + 1).

    Source: Ma & Narayanaswamy, "Hierarchical Temporal-Contextual Recommenders", section 4: "a
    factorization machine with features from a user's last item and features of all possible
    future items". Inferred here: its exact form, and how it is trained.

    Args:
        item_features: float (num_items + 1, F), item id i in row i, as `FeatureTable.values`;
            `hrec_tf.fitting.train` passes those of the log. None: there are none.
        factors: columns of V and Q.
        learning_rate: of Adam.
        epochs: rounds over the last items.
        l2: λ.
        batch_size: last items of a minibatch; what followed each is counted beforehand.
        seed: of the start of V and Q, normal with sd 0.1, and of the order.

    Example:
        >>> training = Histories.from_lists([[[1, 2, 1, 2, 1, 2]]] * 20)
        >>> model = PopularityFM(np.eye(3)[:, 1:], factors=2, l2=0.0).fit(training)
        >>> model.score(training, [1, 2]).argmax(axis=1) + 1  # after item 1, after item 2
        array([2, 1])
    """

    scores_are_logits: ClassVar[bool] = True
    is_random = True

    def __init__(
        self,
        item_features: np.ndarray | None = None,
        *,
        factors: int = 16,
        learning_rate: float = 0.05,
        epochs: int = 50,
        l2: float = 1e-4,
        batch_size: int = 512,
        seed: int = 0,
    ) -> None:
        self._given = None if item_features is None else require_item_features(item_features)
        self.factors = checks.require_positive_int(
            "factors", factors, mend="Pass the columns of V and Q, e.g. 16."
        )
        self.l2 = checks.require_number("l2", l2, minimum=0, mend="Pass λ, e.g. 1e-4.")
        self.descent = Descent(
            learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, seed=seed
        )

    def _fit(self, histories: Histories) -> None:
        none = np.zeros((histories.num_items + 1, 0))
        self.item_features = none if self._given is None else self._given
        require_row_per_item(self.item_features, histories.num_items)
        counts = _pair_counts(histories)
        last_items = np.flatnonzero(np.diff(counts.indptr))
        rng = self.descent.rng()
        width = self.item_features.shape[1]
        self.b = np.log(histories.item_supports() + 1.0)
        self.w = np.zeros(width)
        self.V, self.Q = (rng.normal(0.0, 0.1, (width, self.factors)) for _ in range(2))
        self.descent(
            [self.b, self.w, self.V, self.Q],
            lambda rows: self._gradients(last_items[rows], counts[last_items[rows]].toarray()),
            num_rows=len(last_items),
            rng=rng,
        )

    def _gradients(self, last_items: np.ndarray, counts: np.ndarray) -> Sequence[np.ndarray]:
        """Of the loss with respect to b, w, V and Q.

        Args:
            last_items: int (rows,), 0 for none.
            counts: float64 (rows, num_items), how often each item came next.
        """
        f_last, f = self.item_features[last_items], self.item_features[1:]
        expected = softmax(self._scores(last_items), axis=1) * counts.sum(axis=1, keepdims=True)
        of_scores = (expected - counts) / counts.sum()
        of_items = of_scores.sum(axis=0)
        of_products = f_last.T @ of_scores @ f
        return (
            of_items,
            of_items @ f + self.l2 * self.w,
            of_products @ self.Q + self.l2 * self.V,
            of_products.T @ self.V + self.l2 * self.Q,
        )

    def _scores(self, last_items: np.ndarray) -> np.ndarray:
        f_last, f = self.item_features[last_items], self.item_features[1:]
        return self.b + f @ self.w + (f_last @ self.V) @ (f @ self.Q).T

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        return self._scores(_last_items(histories)[targets])


def _last_items(histories: Histories) -> np.ndarray:
    """Int (num_events,), the item before each event in its user's history, 0 at the first."""
    return np.where(histories.user_starts, 0, np.roll(histories.item_ids, 1))


def _pair_counts(histories: Histories) -> sparse.csr_array:
    """Sparse float64 (num_items + 1, num_items): how often each item came after last item r."""
    places = (_last_items(histories), histories.item_ids - 1)
    shape = (histories.num_items + 1, histories.num_items)
    return sparse.csr_array((np.ones(histories.num_events), places), shape=shape)
