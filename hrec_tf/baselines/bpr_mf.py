"""BPR-MF: matrix factorisation that learns to put what was taken before what was not."""

from typing import Any

import numpy as np

from hrec_tf import checks
from hrec_tf.baselines.baseline import UserRows, item_counts, session_firsts, user_firsts
from hrec_tf.baselines.pairwise import PairwiseBaseline
from hrec_tf.data.histories import Histories

USERS = ("session", "user", "known_user")


class BPRMF(PairwiseBaseline):
    """BPR-MF: items near a vector of the session or of the user, learnt from pairs.

        x_uj = b_j + p_u · q_j
        score_j = b_j + p · q_j,  p = mean of q over the session's items so far

    The loss is that of `PairwiseBaseline`, with c_e = p_u. With `user="session"` a session is a
    u of its own, and the p_u of training serve training alone: p is the mean above, and 0 before
    a session's first item. With "user" u is the user, and the mean is over all events of the
    user so far, those of earlier sessions too. "known_user" is the published form, p = p_u, for
    users that training had; for others it is the mean.

    Source: Rendle et al., UAI 2009, arXiv:1205.2618, and the GRU4Rec authors' baseline as kept
    in rn5l/session-rec, where a new session takes the mean. That code holds biases but never
    moves them (here `item_bias=False`), and draws j from the first events of the log, as many as
    there are items.

    Args:
        user: what u is: "session", "user" or "known_user".
        factors, learning_rate, epochs and the others of `PairwiseBaseline`: see there;
            `context_l2` is λ_p, `item_l2` λ_q.

    Example:
        >>> from hrec_tf.data.histories import Histories
        >>> training = Histories.from_lists([[[1, 2], [1, 2], [3, 4], [3, 4]]])
        >>> model = BPRMF(factors=8, learning_rate=0.1, epochs=200).fit(training)
        >>> model.score(training, [1]).argmax() + 1 in (1, 2)  # after item 1
        True
    """

    def __init__(
        self,
        *,
        factors: int = 100,
        learning_rate: float = 0.01,
        epochs: int = 10,
        user: str = "session",
        **kwargs: Any,
    ) -> None:
        super().__init__(factors=factors, learning_rate=learning_rate, epochs=epochs, **kwargs)
        self.user = checks.require_choice("user", user, USERS)

    def _examples(self, histories: Histories) -> tuple[np.ndarray, list[tuple[np.ndarray, int]]]:
        of_session = self.user == "session"
        rows = histories.session_of_event() if of_session else histories.user_of_event()
        if self.user == "known_user":
            self.users = UserRows(histories)
        return np.arange(histories.num_events), [(rows, int(rows[-1]) + 1)]

    def _score(self, histories: Histories, targets: np.ndarray) -> np.ndarray:
        firsts = session_firsts if self.user == "session" else user_firsts
        first = firsts(histories, targets)
        p = item_counts(histories, first, targets) @ self.item_vectors
        p /= np.maximum(targets - first, 1)[:, None]
        if self.user == "known_user":
            is_known, rows = self.users.find(histories, targets)
            p[is_known] = self.context_vectors[0][rows[is_known]]
        return p @ self.item_vectors.T + self.item_biases
