"""Models of padded rows are ranked on the same points as all others, each prefix by itself."""

import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import rank_model
from hrec_tf.models import HCRNN, NARM, PrefixRNN
from hrec_tf.schema import ITEM_IDS, POSITIONS
from tests.reference.weights import fill_drawn

NUM_ITEMS = 7


def histories():
    """Sessions of 1 to 9 events; those of every second user, and some others, only bootstrap."""
    generator = np.random.default_rng(3)
    users = [
        [generator.integers(1, NUM_ITEMS + 1, size).tolist() for size in sizes]
        for sizes in ((4, 1, 9), (2, 3), (5,), (1, 2), (8, 2, 2))
    ]
    made = Histories.from_lists(users, num_items=NUM_ITEMS)
    weights = np.where(made.user_of_event() % 2 == 0, 1, 0).astype(np.float32)
    weights[7] = 0
    return Histories(
        item_ids=made.item_ids,
        timestamps=made.timestamps,
        session_offsets=made.session_offsets,
        user_offsets=made.user_offsets,
        num_items=NUM_ITEMS,
        target_weights=weights,
    )


def one_by_one(model, histories):
    """(target, items scored above it, others scored the same) of every point, read alone."""
    found = []
    starts = histories.session_starts
    for target in np.flatnonzero((histories.target_weights > 0) & ~starts):
        first = np.flatnonzero(starts[: target + 1])[-1]
        if model.max_length is not None:
            first = max(first, target - model.max_length)
        prefix = histories.item_ids[first:target]
        events = {
            ITEM_IDS: tf.constant(prefix[None]),
            POSITIONS: tf.constant([[len(prefix) - 1]], tf.int32),
        }
        logits = model.score(model(events)).numpy()[0, 0]
        own = logits[histories.item_ids[target] - 1]
        found.append((int(target), int((logits > own).sum()), int((logits == own).sum()) - 1))
    return found


SMALL = {"num_items": NUM_ITEMS, "item_dim": 3, "units": 4, "seed": 2}


@pytest.mark.integration
@pytest.mark.parametrize(
    "model",
    [
        lambda: PrefixRNN(**SMALL),
        lambda: PrefixRNN(**SMALL, layout="sequences"),
        lambda: NARM(**SMALL, max_length=2),
        lambda: HCRNN(**SMALL, num_contexts=3, theta="prefix"),
    ],
    ids=["prefixes", "sequences", "the latest events", "causal contexts"],
)
def test_every_prefix_gets_the_rank_that_it_has_alone(model):
    """However many are read at once."""
    model, log = model(), histories()
    fill_drawn(model, scale=0.8)
    expected = one_by_one(model, log)
    assert len({greater for _, greater, _ in expected}) > 3
    for rows in (1, 3, None):
        ranks = rank_model(model, log, num_lanes=rows)
        given = [tuple(row) for row in np.c_[ranks.target, ranks.greater, ranks.equal].tolist()]
        assert given == expected, rows


def test_earlier_sessions_are_not_played():
    with pytest.raises(ValueError, match="starts every session from nothing"):
        rank_model(PrefixRNN(**SMALL), histories(), bootstrap_sessions=1)
