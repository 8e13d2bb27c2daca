"""Inner products with many candidates, whose gradient is made by blocks."""

import tensorflow as tf

BLOCK = 256
"""Candidates of a block."""

LARGE = 1 << 15
"""Numbers of `vectors` from which on one product for their gradient is the faster one."""


def blocked_products(vectors: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Returns `vectors candidatesᵀ`, whose gradients are products of blocks of candidates.

    With D the gradient of the products, and one term for each block b of the candidates C:

        gradient of vectors      Σ_b D_b C_b, or D C where there are many vectors
        gradient of C_b          D_bᵀ vectors

    One product for all of C would read the transposed D across all of its memory, which takes
    up to twice the time.

    Args:
        vectors: float (..., rows, dim).
        candidates: float (..., num_candidates, dim), the same leading axes.

    Returns:
        Float (..., rows, num_candidates).
    """
    num_candidates = candidates.shape[-2]
    if num_candidates is None or num_candidates <= BLOCK:
        return tf.matmul(vectors, candidates, transpose_b=True)
    blocks = [slice(first, first + BLOCK) for first in range(0, num_candidates, BLOCK)]
    are_many = None not in vectors.shape and vectors.shape.num_elements() >= LARGE

    @tf.custom_gradient
    def products(vectors, candidates):
        def gradients(given):
            by_block = [given[..., block] for block in blocks]
            if are_many:
                of_vectors = given @ candidates
            else:
                pairs = zip(by_block, blocks, strict=True)
                of_vectors = tf.add_n([g @ candidates[..., block, :] for g, block in pairs])
            of_parts = [tf.matmul(g, vectors, transpose_a=True) for g in by_block]
            return of_vectors, tf.concat(of_parts, axis=-2)

        return tf.matmul(vectors, candidates, transpose_b=True), gradients

    return products(vectors, candidates)
