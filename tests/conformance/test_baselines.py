"""What every baseline promises. A new one is covered by its row in the registry."""

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hrec_tf import registry
from hrec_tf.data.histories import Histories
from hrec_tf.evaluation import evaluate

FLOAT64_NOISE = {"rtol": 1e-12, "atol": 1e-12}
GROUPS, GROUP_SIZE = 10, 3
NUM_ITEMS = GROUPS * GROUP_SIZE + 2
"""Two of them are in no group, and never in training."""
HOUR = 3600


def at(begin, users):
    """Histories with an event an hour from a moment on."""
    histories = Histories.from_lists(users, num_items=NUM_ITEMS)
    return replace(histories, timestamps=begin + HOUR * histories.timestamps)


def rounds(groups):
    """Users who go round the three items of their group, in three sessions.

    Whoever knows what comes together, what follows what, or what the session or the user's past
    held, knows the next item or nearly so.
    """
    return [
        [
            [1 + GROUP_SIZE * group + event % GROUP_SIZE for event in range(length)]
            for length in (4, 5, 6)
        ]
        for group in groups
    ]


# The later a group comes, the fewer users it has: what is popular of late is not so over all.
GROUP_OF_USER = [group for group in range(GROUPS) for _ in range(GROUPS - group)]
TRAINING = at(0, rounds(GROUP_OF_USER))
TRAINING = replace(TRAINING, user_ids=np.arange(1, 1 + TRAINING.num_users))
AFTER_TRAINING = int(TRAINING.timestamps[-1]) + HOUR


def strangers(histories):
    """As users whom training did not have: by the id 0, the first by one above all of training."""
    user_ids = np.zeros(histories.num_users, np.int32)
    user_ids[0] = 1 + TRAINING.num_users
    return replace(histories, user_ids=user_ids)


ASKED = strangers(at(AFTER_TRAINING, [[[4, 5, 4], [7, 8, 4, 9]], [[31, 5, 32]], [[30], [1, 1, 2]]]))
"""Users of uneven pasts, with items that training never had."""

NAMES = registry.names("baseline")
VARIANTS = (
    ("item-knn", {"query": "session"}),
    ("bpr-mf", {"user": "user"}),
    ("bpr-mf", {"user": "known_user"}),
    ("recent-pop", {"rolling": True}),
    ("ppop", {"include_current_session": False}),
    ("v-sknn-user", {"remind": False}),
)
every_baseline = pytest.mark.parametrize("name", NAMES)
every_baseline_and_variant = pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(pytest.param(name, {}, id=name) for name in NAMES),
        *(pytest.param(*variant, id=" ".join(map(str, variant))) for variant in VARIANTS),
    ],
)

AS_POPULAR = ("pop", "smoothed-pop")
LEARNING: dict[str, dict[str, Any]] = {
    "pop-fm": {"item_features": np.eye(NUM_ITEMS + 1)[:, 1:], "epochs": 200},
    "bpr-mf": {"learning_rate": 0.1, "epochs": 100},
}
"""Settings of those whose own take too few steps on a log this small."""

OF_LATE = ("recent-pop",)
"""Know what is popular of late, and nothing of what a user does."""


def fit(name, **arguments):
    return registry.entry(name).build(num_items=NUM_ITEMS, **arguments).fit(TRAINING)


@functools.cache
def scores_of(name):
    """Those of all events that are asked; made once, never to be changed."""
    return fit(name, seed=1).score(ASKED, every_event(ASKED))


def every_event(histories):
    return np.arange(histories.num_events)


@every_baseline
def test_it_is_built_again_from_its_settings(name):
    row = registry.entry(name)
    again = fit(name, seed=1, **row.settings())
    np.testing.assert_array_equal(again.score(ASKED, every_event(ASKED)), scores_of(name))


@every_baseline
def test_a_seed_fixes_the_scores_of_what_draws_and_is_refused_by_what_does_not(name):
    row = registry.entry(name)
    if row.is_random:
        again, other = (fit(name, seed=s).score(ASKED, every_event(ASKED)) for s in (1, 2))
        np.testing.assert_array_equal(again, scores_of(name))
        assert not np.array_equal(other, again)
    else:
        with pytest.raises(TypeError, match=r"'seed'|takes no arguments"):
            row.load_class()(seed=1)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in AS_POPULAR])
def test_a_fit_beats_popularity_on_a_stream_that_it_should_learn(name):
    """All but POP, which is the measure, and what ranks as it. The users are new, and training
    had what they do.

    Where popularity alone is counted it must have drifted: then the users are of the last group.
    """
    asked = rounds([GROUPS - 1] * 3 if name in OF_LATE else GROUP_OF_USER[::2])
    histories = strangers(at(AFTER_TRAINING, asked))
    found, popular = (
        evaluate(baseline, histories, ks=[NUM_ITEMS]).metrics[f"MRR@{NUM_ITEMS}"]
        for baseline in (fit(name, seed=1, **LEARNING.get(name, {})), fit("pop"))
    )
    assert found > 1.5 * popular


@every_baseline_and_variant
def test_whatever_a_stranger_did_gets_finite_scores(name, arguments):
    """From nothing at all to items that training never had."""
    scores = fit(name, **arguments).score(ASKED, every_event(ASKED))
    assert scores.shape == (ASKED.num_events, NUM_ITEMS)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


@every_baseline
def test_before_their_first_event_all_strangers_are_alike(name):
    first, *others = scores_of(name)[ASKED.user_starts]
    np.testing.assert_array_equal(others, [first] * len(others))


@every_baseline_and_variant
def test_a_target_is_scored_as_if_it_were_asked_alone(name, arguments):
    """Whatever else is asked, in whatever order, twice or not at all."""
    baseline, targets = fit(name, **arguments), np.array([9, 3, 0, 6, 3, 12, 5])
    together = baseline.score(ASKED, targets)
    alone = [baseline.score(ASKED, [target])[0] for target in targets]
    # Products of more rows may round otherwise.
    np.testing.assert_allclose(together, alone, **FLOAT64_NOISE)
    assert baseline.score(ASKED, np.zeros(0, int)).shape == (0, NUM_ITEMS)


@every_baseline_and_variant
def test_the_best_are_those_that_scores_put_first(name, arguments):
    """Of equally good ones the lower id is first."""
    baseline = fit(name, **arguments)
    scores = baseline.score(ASKED, every_event(ASKED))
    order = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 4, NUM_ITEMS):
        best = baseline.best(ASKED, every_event(ASKED), k)
        np.testing.assert_array_equal(best.item_ids, order[:, :k] + 1)
        np.testing.assert_array_equal(best.scores, np.take_along_axis(scores, order[:, :k], axis=1))
