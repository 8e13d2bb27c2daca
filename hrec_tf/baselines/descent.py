"""Adam over minibatches, for baselines whose gradients are written out."""

from collections.abc import Callable, Sequence

import numpy as np

from hrec_tf import checks

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Descent:
    """Moves parameters against their gradients, rows in an order drawn every epoch.

        m <- β_1 m + (1 - β_1) g
        v <- β_2 v + (1 - β_2) g²
        θ <- θ - η m̂ / (√v̂ + ε),  m̂ = m / (1 - β_1^t),  v̂ = v / (1 - β_2^t)

    with β_1 = 0.9, β_2 = 0.999, ε = 1e-8 and t the number of the step, from 1.

    Source: Kingma & Ba, ICLR 2015, arXiv:1412.6980, algorithm 1.

    Args:
        learning_rate: η.
        epochs: how often each row is taken.
        batch_size: rows of a step.
        seed: of what is drawn by `rng`.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, *, learning_rate: float, epochs: int, batch_size: int, seed: int):
        self.learning_rate = checks.require_number(
            "learning_rate", learning_rate, minimum=0, mend="Pass e.g. 0.01."
        )
        self.epochs = checks.require_positive_int("epochs", epochs, mend="Pass e.g. 50.")
        self.batch_size = checks.require_positive_int(
            "batch_size", batch_size, mend="Pass the rows of a step, e.g. 64."
        )
        self.seed = checks.require_int_at_least("seed", seed, minimum=0, mend="Pass e.g. 0.")

    def rng(self) -> np.random.Generator:
        """Returns a generator at its beginning: a fit that is repeated draws the same."""
        return np.random.default_rng(self.seed)

    def __call__(
        self,
        parameters: Sequence[np.ndarray],
        gradients: Callable[[np.ndarray], Sequence[np.ndarray]],
        *,
        num_rows: int,
        rng: np.random.Generator,
    ) -> None:
        """Moves parameters in place.

        Args:
            parameters: float arrays θ.
            gradients: int (batch,), numbers of rows -> g of each parameter, at their present
                values.
            num_rows: rows 0..num_rows - 1 are each in one batch of an epoch.
            rng: draws the orders.

        Raises:
            ValueError: parameters that are no longer finite.
        """
        first_moments = [np.zeros_like(values) for values in parameters]
        second_moments = [np.zeros_like(values) for values in parameters]
        step = 0
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(self.epochs):
                order = rng.permutation(num_rows)
                for begin in range(0, num_rows, self.batch_size):
                    step += 1
                    found = gradients(order[begin : begin + self.batch_size])
                    for theta, g, m, v in zip(
                        parameters, found, first_moments, second_moments, strict=True
                    ):
                        m += (1 - BETA_1) * (g - m)
                        v += (1 - BETA_2) * (g * g - v)
                        root = np.sqrt(v / (1 - BETA_2**step)) + EPSILON
                        theta -= (self.learning_rate / (1 - BETA_1**step)) * m / root
        if not all(np.isfinite(values).all() for values in parameters):
            raise ValueError(
                f"`learning_rate` was {self.learning_rate}, and what is learnt grew beyond all "
                "numbers. Pass a smaller rate, e.g. 0.01."
            )
