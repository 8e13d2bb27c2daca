import numpy as np
import pytest
import tensorflow as tf

from hrec_tf.layers import blocked_products as module
from hrec_tf.layers.blocked_products import blocked_products

SHAPES = [
    ((7, 5), (3, 5)),
    ((7, 5), (600, 5)),
    ((2, 7, 5), (2, 513, 5)),
    ((3, 200, 60), (3, 300, 60)),
]


def drawn(shape, seed):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float64)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("of_vectors", "of_candidates"), SHAPES)
def test_products_and_gradients_are_those_of_one_product(of_vectors, of_candidates, jit_compile):
    vectors, candidates = drawn(of_vectors, 1), drawn(of_candidates, 2)

    @tf.function(jit_compile=jit_compile)
    def run(products):
        with tf.GradientTape() as tape:
            tape.watch([vectors, candidates])
            scores = products(vectors, candidates)
            loss = tf.reduce_sum(tf.sin(scores) * drawn(scores.shape, 3))
        return scores, *tape.gradient(loss, [vectors, candidates])

    expected = run(lambda left, right: tf.matmul(left, right, transpose_b=True))
    for ours, theirs in zip(run(blocked_products), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-11)


def test_there_are_shapes_with_few_vectors_and_with_many_and_with_a_rest():
    sizes = {np.prod(vectors) >= module.LARGE for vectors, _ in SHAPES}
    assert sizes == {False, True}
    assert any(shape[-2] % module.BLOCK for _, shape in SHAPES if shape[-2] > module.BLOCK)
