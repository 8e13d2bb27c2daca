"""Dropout whose masks cost little, whatever compiles them."""

import keras

from hrec_tf import checks
from hrec_tf.cells.protocol import keep_mask


@keras.saving.register_keras_serializable(package="hrec_tf")
class Dropout(keras.layers.Layer):
    """Sets values to 0 in training, and scales up the others so that the mean stays.

        y = m x,    m = 0 with probability p, else 1 / (1 - p), drawn for each value

    Keras' layer of that name does the same; its generator, compiled by XLA for a CPU, takes as
    long as the products of a small model. The masks of this one are hashed from the seed, a count
    of the calls, and the place of the value, see `hrec_tf.cells.protocol.hash_bits`.

    Source: Srivastava et al., JMLR 2014.

    Args:
        rate: p, in [0, 1).
        seed: of the masks.

    Call:
        inputs: float (..., units).
        Returns float (..., units).

    Example:
        >>> import numpy as np
        >>> drop, x = Dropout(0.5, seed=0), np.ones((2, 3), "float32")
        >>> sorted(set(np.array(drop(x)).ravel().tolist()))
        [1.0]
        >>> sorted(set(drop(x, training=True).numpy().ravel().tolist()))
        [0.0, 2.0]
    """

    def __init__(self, rate: float, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = checks.require_rate("rate", rate), seed
        self.seed_generator = keras.random.SeedGenerator(seed) if rate else None
        self.supports_masking = True
        self.built = True

    def call(self, inputs, training=False):
        if not training or self.seed_generator is None:
            return inputs
        return inputs * keep_mask(inputs, inputs.shape[-1], self.rate, self.seed_generator)

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "seed": self.seed}
