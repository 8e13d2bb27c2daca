"""Inner products with many candidates, by blocks that stay in a core's cache."""

import tensorflow as tf

BLOCK = 256
"""Candidates of a block; `python -m benchmarks.product_blocks` compares others."""


def blocked_products(vectors: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
    """Returns `vectors candidatesᵀ`, and multiplies the gradients by blocks of candidates, too.

    With D the gradient of the products and one term for each block b of the candidates C:

        gradient of vectors      Σ_b D_b C_b
        gradient of C_b          D_bᵀ vectors

    A single product would read the transposed D across all of its memory.

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

    @tf.custom_gradient
    def products(vectors, candidates):
        parts = [candidates[..., block, :] for block in blocks]

        def gradients(given):
            given = [given[..., block] for block in blocks]
            of_vectors = [g @ part for g, part in zip(given, parts, strict=True)]
            of_candidates = [tf.matmul(g, vectors, transpose_a=True) for g in given]
            return tf.add_n(of_vectors), tf.concat(of_candidates, axis=-2)

        scores = [tf.matmul(vectors, part, transpose_b=True) for part in parts]
        return tf.concat(scores, axis=-1), gradients

    return products(vectors, candidates)
