"""AdaGrad with momentum, docs/equations.md 0.5, one row of a table at a time, in float64."""

import numpy as np


class ReferenceAdagradMomentum:
    def __init__(self, table, learning_rate, momentum=0.0, epsilon=1e-6):
        self.p = np.array(table, np.float64)
        self.acc, self.v = np.zeros_like(self.p), np.zeros_like(self.p)
        self.learning_rate, self.momentum, self.epsilon = learning_rate, momentum, epsilon

    def step_rows(self, indices, values):
        """Lazy: repeats of a row are summed, rows outside `indices` are left alone."""
        for row in sorted(set(np.asarray(indices).tolist())):
            gradient = sum(
                np.asarray(value, np.float64)
                for index, value in zip(indices, values, strict=True)
                if index == row
            )
            self.step_row(row, gradient)

    def step_all(self, gradient):
        """Dense: every row has its gradient, 0 or not."""
        for row, row_gradient in enumerate(np.asarray(gradient, np.float64)):
            self.step_row(row, row_gradient)

    def step_row(self, row, gradient):
        self.acc[row] += gradient**2
        step = self.learning_rate * gradient / np.sqrt(self.acc[row] + self.epsilon)
        if self.momentum > 0:
            self.v[row] = self.momentum * self.v[row] - step
            self.p[row] += self.v[row]
        else:
            self.p[row] -= step
