import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.losses import CrossEntropy, PerTarget
from hrec_tf.losses.binary_cross_entropy import BinaryCrossEntropy
from hrec_tf.losses.window import require_loss, sampled_row_losses

TARGETS = np.array([[3, 1, 0], [7, 2, 3]], np.int32)


def built(number=1, seed=0, num_items=7):
    negatives = PerTarget(number, seed=seed)
    negatives.build(num_items)
    return negatives


def test_all_items_but_the_target_are_drawn_alike():
    number = 60_000
    drawn = built(number).sample(4, tf.constant(TARGETS)).numpy()
    assert drawn.shape == (*TARGETS.shape, number) and drawn.dtype == np.int32
    for target, items in zip(TARGETS.ravel(), drawn.reshape(-1, number), strict=True):
        shares = np.bincount(items, minlength=8) / number
        # A position without a target is not measured: it may draw as if its target were item 1.
        others = np.setdiff1d(np.arange(1, 8), [max(target, 1)])
        assert shares[0] == shares[max(target, 1)] == 0
        # Five standard deviations.
        np.testing.assert_allclose(shares[others], 1 / 6, atol=5 * np.sqrt(5 / 36 / number))


def test_seed_and_step_fix_the_draw_also_under_xla():
    targets = tf.constant(TARGETS)
    drawn = built(3, seed=5).sample(2, targets)
    compiled = tf.function(built(3, seed=5).sample, jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant(2), targets), drawn)
    for other in (built(3, seed=6).sample(2, targets), built(3, seed=5).sample(3, targets)):
        assert not np.array_equal(other, drawn)
    assert len(np.unique(drawn.numpy().reshape(-1, 3), axis=0)) > 1, "of each target its own"


@pytest.mark.parametrize("number", [1, 3])
def test_losses_are_those_of_the_slow_loops(number):
    """SASRec's loss: -log σ(r_target) - mean over its negatives of log(1 - σ(r))."""
    rng = np.random.default_rng(0)
    hidden, table = rng.normal(size=(2, 3, 4)), rng.normal(size=(8, 4))
    negatives = built(number)

    def score(rows, item_ids):
        return tf.einsum("...rd,...cd->...rc", rows, tf.gather(tf.constant(table), item_ids))

    found = sampled_row_losses(
        score,
        tf.constant(hidden),
        tf.constant(TARGETS),
        tf.cast(TARGETS > 0, tf.float32),
        tf.constant(9),
        loss=BinaryCrossEntropy(normalise="valid"),
        negatives=negatives,
    )
    drawn = negatives.sample(9, tf.constant(TARGETS)).numpy()
    for step, lane in zip(*np.nonzero(TARGETS), strict=True):
        chance = 1 / (1 + np.exp(-table @ hidden[step, lane]))
        refused = [np.log(1 - chance[item]) for item in drawn[step, lane]]
        expected = -np.log(chance[TARGETS[step, lane]]) - np.mean(refused)
        assert float(found[step, lane]) == pytest.approx(expected, rel=1e-9)


def test_configuration_round_trip():
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(PerTarget(4, seed=3))
    )
    assert again.get_config() == {"number": 4, "seed": 3}
    assert again.num_columns(num_lanes=50) == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PerTarget(0), "`number` must be .*, but was 0. .* e.g. 1"),
        (lambda: PerTarget(seed=-1), "`seed` must be .*, but was -1"),
        (lambda: built(num_items=1), "`num_items` must be .* at least 2, but was 1"),
        (lambda: PerTarget().sample(0, tf.constant([1])), "before the catalogue's size was known"),
        (
            lambda: require_loss(CrossEntropy(logq=1.0), PerTarget()),
            "`logq` of the loss was 1.0, but there are no supports",
        ),
    ],
)
def test_bad_arguments_name_the_cure(call, message):
    with pytest.raises(ValueError, match=message):
        call()
