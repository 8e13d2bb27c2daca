"""The initial values of the papers: every gate block by itself."""

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="hrec_tf")
class BlockGlorot(keras.initializers.Initializer):
    """Glorot uniform for each of several blocks that share one weight.

    Every value of a block `(rows, columns / blocks)` is drawn from U(-s, s) with
    `s = sqrt(6 / (rows + columns / blocks))`. Stock `glorot_uniform` over the stacked
    weight takes all columns into account and comes out smaller.

    Source: docs/equations.md 0.4, from the reference code of HRNN and GRU4Rec.

    Args:
        blocks: number of blocks side by side, e.g. 3 for the gates of a GRU.
        padding_row: row 0 stands for the padding id: it is 0 and does not count as a row.
        seed: seed of the draw; None draws from Keras' global seed.
    """

    def __init__(self, *, blocks: int = 1, padding_row: bool = False, seed: int | None = None):
        self.blocks, self.padding_row, self.seed = blocks, padding_row, seed

    def __call__(self, shape, dtype=None):
        rows, columns = shape
        rows = rows - 1 if self.padding_row else rows
        limit = float(np.sqrt(6.0 / (rows + columns // self.blocks)))
        uniform = keras.initializers.RandomUniform(-limit, limit, seed=self.seed)
        values = uniform((rows, columns), dtype=dtype)
        if self.padding_row:
            values = keras.ops.pad(values, [[1, 0], [0, 0]])
        return values

    def get_config(self):
        return {"blocks": self.blocks, "padding_row": self.padding_row, "seed": self.seed}
