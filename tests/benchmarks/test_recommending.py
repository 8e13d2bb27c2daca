"""What is asked for lists is told what it reads."""

import numpy as np

from benchmarks import recommending
from hrec_tf.data.histories import Histories
from hrec_tf.data.vocabulary import Vocabulary
from hrec_tf.models import HRNNMeta
from hrec_tf.recommender import Recommender


def test_who_reads_features_of_users_is_told_them():
    users, events = 3, 4
    test = Histories(
        item_ids=np.tile(np.arange(1, events + 1, dtype=np.int32), users),
        timestamps=np.tile(np.arange(events, dtype=np.int64), users),
        session_offsets=np.arange(users + 1) * events,
        user_offsets=np.arange(users + 1) * events,
        num_items=25,
        user_features=np.eye(users, 2, dtype=np.float32) * 3,
    )
    model = HRNNMeta(num_items=25, units=4, item_dim=4, num_layers=1, num_user_features=2, seed=0)
    vocabulary = Vocabulary(list("abcdefghijklmnopqrstuvwxy"), list(range(25, 0, -1)))
    targets = np.array([3, 7, 11])
    lists = recommending.of_network(model, vocabulary, test, targets)(slice(1, 3))
    recommender = Recommender(model, vocabulary)
    history = [("a", 0), ("b", 1), ("c", 2)]
    told = {"k": recommending.K, "user_features": test.user_features[1:]}
    assert lists == recommender.recommend_batch([history, history], **told)
    assert lists[0] != lists[1], "two users who differ in their features alone"
