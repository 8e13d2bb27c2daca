import time

import pytest

from hrec_tf.planning import plan
from hrec_tf.recipe import Recipe
from tests.reference.tiny_log import NUM_ITEMS, ring_histories

UNITS, LANES, EXTRA = 8, 4, 6


def recipe(name="gru4rec", **changes):
    return Recipe.load("quadrana2017", name).with_changes(changes)


@pytest.fixture(scope="module")
def histories():
    return ring_histories()


@pytest.mark.integration
def test_memory_is_that_of_the_shapes(histories):
    changes = {"units": [UNITS], "num_lanes": LANES, "epochs": 3, "optimizer.momentum": 0.1}
    made = plan(recipe(**changes, extra=EXTRA), histories, seconds=0)
    rows = NUM_ITEMS + 1
    # One-hot input, output vectors and biases; the GRU's bias and its recurrent weights.
    assert made.table_bytes == 4 * rows * (3 * UNITS + UNITS + 1)
    assert made.score_bytes == 4 * LANES * (LANES + EXTRA)
    of_the_gru = 4 * (3 * UNITS + 3 * UNITS**2)
    # Beside them the counters of random numbers, which are few.
    assert of_the_gru <= made.other_bytes <= of_the_gru + 64
    slots = 2 * (made.table_bytes + of_the_gru)
    assert slots <= made.optimizer_bytes <= slots + 64
    assert (made.pairs, made.events, made.epochs) == (12 * 6 * 4, 12 * 6 * 5, 3)


@pytest.mark.integration
def test_speed_is_measured_for_as_long_as_asked(histories):
    begin = time.perf_counter()
    made = plan(recipe(num_lanes=LANES), histories, seconds=0.5)
    taken = time.perf_counter() - begin
    assert made.compile_seconds + 0.5 <= taken
    assert made.pairs_per_second > made.pairs / taken  # several epochs are played
    assert made.epoch_seconds == pytest.approx(made.pairs / made.pairs_per_second)
    assert made.as_dict()["epoch_seconds"] == made.epoch_seconds
    assert f"{made.pairs:,} pairs an epoch" in made.to_text()


@pytest.mark.integration
def test_padded_batches_have_no_one_size_of_scores(histories):
    narm = Recipe.load("song2019", "narm").with_changes({"batch_size": 8})
    made = plan(narm, histories, seconds=0)
    assert made.score_bytes is None
    assert "scores of a step" not in made.to_text()
    assert made.pairs_per_second > 0


def test_a_baseline_cannot_be_planned(histories):
    with pytest.raises(ValueError, match="counted in one go, so there is nothing to plan"):
        plan(recipe("pop"), histories)
