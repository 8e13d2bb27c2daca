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


@keras.saving.register_keras_serializable(package="hrec_tf")
class JointGlorot(keras.initializers.Initializer):
    """Glorot uniform for the rows of one input, where several inputs share one matrix.

    TensorFlow 1's cells multiply `[x; h]` by matrices that are drawn as a whole. A weight that
    holds x's or h's rows of them, blocks side by side, is drawn from U(-s, s) with
    `s = sqrt(6 / (rows + other_rows + width))` for each block.

    Source: docs/equations.md C.7.

    Args:
        other_rows: rows of the other inputs; one number for all blocks, or one for each.
        widths: columns of each block; they add up to those of the weight.
        seed: seed of the draw; None draws from Keras' global seed.
    """

    def __init__(
        self,
        *,
        other_rows: int | tuple[int, ...],
        widths: tuple[int, ...],
        seed: int | None = None,
    ):
        each = [other_rows] * len(widths) if isinstance(other_rows, int) else other_rows
        self.other_rows, self.widths, self.seed = tuple(each), tuple(widths), seed

    def __call__(self, shape, dtype=None):
        blocks = zip(self.other_rows, self.widths, strict=True)
        limits = [np.sqrt(6.0 / (shape[0] + others + width)) for others, width in blocks]
        uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed=self.seed)
        values = uniform(shape, dtype=dtype)
        return values * keras.ops.cast(np.repeat(limits, self.widths), values.dtype)

    def get_config(self):
        return {
            "other_rows": list(self.other_rows),
            "widths": list(self.widths),
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="hrec_tf")
class TableNormal(keras.initializers.Initializer):
    """N(0, stddev²) for a table of items or users whose row 0, that of the padding id, is 0.

    Args:
        stddev: standard deviation.
        seed: seed of the draw; None draws from Keras' global seed.
    """

    def __init__(self, stddev: float, *, seed: int | None = None):
        self.stddev, self.seed = stddev, seed

    def __call__(self, shape, dtype=None):
        normal = keras.initializers.RandomNormal(stddev=self.stddev, seed=self.seed)
        padding = [[1, 0]] + [[0, 0]] * (len(shape) - 1)
        return keras.ops.pad(normal((shape[0] - 1, *shape[1:]), dtype=dtype), padding)

    def get_config(self):
        return {"stddev": self.stddev, "seed": self.seed}
