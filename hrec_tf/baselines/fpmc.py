"""FMC and FPMC: what follows the last item, in factors, for everybody or for each user."""

import numpy as np

from hrec_tf.baselines.baseline import UserRows, user_firsts
from hrec_tf.baselines.pairwise import PairwiseBaseline
from hrec_tf.data.histories import Histories


class FMC(PairwiseBaseline):
    """FMC, a factorised Markov chain: items by the item before them.

        score_j = b_j + l_i · m_j,  i the user's last item

    Learnt by `PairwiseBaseline` with c_e = l_i, from every event that has one of the same user
    before it, also across sessions. A user's first event has none: all scores are b.

    Source: Rendle et al., WWW 2010, doi:10.1145/1772690.1772773 (its "FMC", learnt by S-BPR), with
    baskets of one item. The biases are ours (inferred); `item_bias=False` leaves them out.

    Args: as `PairwiseBaseline`; `context_l2` is λ of l.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2, 3, 1, 2, 3, 1]]])
        >>> model = FMC(factors=8, learning_rate=0.1, epochs=300).fit(training)
        >>> model.score(training, [1]).argmax() + 1  # after item 1
        np.int64(2)
    """

    def _examples(self, histories: Histories) -> tuple[np.ndarray, list[tuple[np.ndarray, int]]]:
        events = np.flatnonzero(~histories.user_starts)
        if not len(events):
            raise ValueError(
                f"`histories` holds {histories.num_events} events, each its user's only one, but "
                "what follows what is learnt from users with two. Check how the log was filtered."
            )
        before = histories.item_ids[events - 1].astype(np.int64) - 1
        return events, [(before, histories.num_items)]

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        return self._after_last(histories, targets) @ self.item_vectors.T + self.item_biases

    def _after_last(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        """Float64 (num_targets, factors), l of the item before each target; 0 if there is none."""
        before = histories.item_ids[np.maximum(targets - 1, 0)].astype(np.int64) - 1
        has_one = targets > user_firsts(histories, targets)
        return np.where(has_one[:, None], self.context_vectors[-1][before], 0.0)


class FPMC(FMC):
    """FPMC: items by the user and by the item before them.

        score_j = b_j + p_u · q_j + l_i · m_j,  i the user's last item

    Learnt by `PairwiseBaseline` with c_e = [p_u; l_i] and v_j = [q_j; m_j]. With p = 0 it is
    `FMC`, with l = 0 it is `BPRMF(user="known_user")`.

    Source: Rendle et al., WWW 2010, doi:10.1145/1772690.1772773, with baskets of one item; 64
    factors as in RecBole. A user whom training did not have gets the mean of all p_u (inferred).

    Args: as `PairwiseBaseline`; `context_l2` is λ of p and of l, `factors` the size of each.

    Example:
        >>> from dataclasses import replace
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2, 1, 2, 1]], [[1, 3, 1, 3, 1]]])
        >>> training = replace(training, user_ids=np.array([1, 2]))
        >>> model = FPMC(factors=8, learning_rate=0.1, epochs=300).fit(training)
        >>> (model.score(training, [1, 6]).argmax(axis=1) + 1).tolist()  # each user after item 1
        [2, 3]
    """

    def _examples(self, histories: Histories) -> tuple[np.ndarray, list[tuple[np.ndarray, int]]]:
        self.users = UserRows(histories)
        events, parts = super()._examples(histories)
        return events, [(histories.user_of_event()[events], histories.num_users), *parts]

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        is_known, rows = self.users.find(histories, targets)
        of_users = self.context_vectors[0]
        p = np.where(is_known[:, None], of_users[rows], of_users.mean(axis=0))
        c = np.concatenate([p, self._after_last(histories, targets)], axis=1)
        return c @ self.item_vectors.T + self.item_biases
