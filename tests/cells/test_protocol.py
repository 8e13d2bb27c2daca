import keras
import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.cells import LSTMCell, ReferenceGRUCell
from hrec_tf.cells.protocol import hash_bits, keep_mask


def scrambled(x):
    """lowbias32 in Python's integers."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> shift
        x = x * factor % 2**32
    return x ^ (x >> 16)


def test_hash_bits_equal_python_integers():
    values = [0, 1, 2, 12345, 2**31, 2**32 - 1]
    hashed = hash_bits(tf.constant(values, tf.uint32)).numpy().tolist()
    assert hashed == [scrambled(value) for value in values]


def test_masks_are_fair_independent_and_reproducible():
    generator = keras.random.SeedGenerator(7)
    like = tf.zeros((300, 2))
    first, second = (np.asarray(keep_mask(like, 200, 0.3, generator)) for _ in range(2))
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.7)}
    kept, kept_next = first > 0, second > 0
    # 60 000 coins: a share of 0.7 has a standard deviation of 0.0019.
    assert abs(kept.mean() - 0.7) < 0.008
    # Independent coins agree in 0.7^2 + 0.3^2 = 0.58 of all places, and so do neighbours.
    for other in (kept_next, np.roll(kept, 1, axis=1), np.roll(kept, 1, axis=0)):
        assert abs((kept == other).mean() - 0.58) < 0.01
    # Of 200 rates per column, the spread is that of a binomial: sqrt(0.21 / 300) = 0.0265.
    assert 0.02 < kept.mean(axis=0).std() < 0.033
    again = np.asarray(keep_mask(like, 200, 0.3, keras.random.SeedGenerator(7)))
    np.testing.assert_array_equal(again, first)
    other_seed = np.asarray(keep_mask(like, 200, 0.3, keras.random.SeedGenerator(8)))
    assert abs(((other_seed > 0) == kept).mean() - 0.58) < 0.01


def test_masks_under_xla_equal_plain_masks():
    def draw():
        return keep_mask(tf.zeros((4, 3)), 5, 0.5, keras.random.SeedGenerator(3))

    with tf.init_scope():
        generator = keras.random.SeedGenerator(3)

    @tf.function(jit_compile=True)
    def compiled():
        return keep_mask(tf.zeros((4, 3)), 5, 0.5, generator)

    np.testing.assert_array_equal(compiled(), draw())


@pytest.mark.parametrize("kind", [ReferenceGRUCell, LSTMCell])
def test_id_0_reads_zeros_whatever_its_row_holds_and_gives_it_no_gradient(kind):
    cell = kind(2, num_items=3)
    cell.build((None, 1))
    cell.kernel.assign(
        np.arange(1.0, 1 + cell.kernel.shape[0] * cell.kernel.shape[1]).reshape(cell.kernel.shape)
    )
    with tf.GradientTape() as tape:
        gates = cell.project(tf.constant([[0], [2]]))["gates"]
        total = tf.reduce_sum(gates)
    np.testing.assert_array_equal(gates[0], cell.bias)
    np.testing.assert_array_equal(gates[1], cell.kernel[2] + cell.bias)
    gradient = tf.convert_to_tensor(tape.gradient(total, cell.kernel.value)).numpy()
    np.testing.assert_array_equal(gradient.any(axis=1), [False, False, True, False])
