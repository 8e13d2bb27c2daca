"""Whole numbers as float columns, exact in the type that a layer computes in."""

import tensorflow as tf

_EXACT = {"bfloat16": 1 << 8, "float16": 1 << 11}
_EXACT_ELSE = 1 << 24
"""Whole numbers below it are exact in float32."""


class ExactNumbers:
    """Digits of whole numbers, in a base up to which whole numbers are exact in a type.

    Args:
        largest: the largest number.
        dtype: of the columns. In float32 a number of up to 2^24 - 1 is one digit.

    Attributes:
        num_digits: columns of a number.

    Example:
        >>> numbers = ExactNumbers(70_000, "bfloat16")
        >>> columns = numbers.split(tf.constant([3, 70_000]))
        >>> columns.numpy().tolist(), numbers.join(tf.unstack(columns, axis=-1)).numpy().tolist()
        ([[3.0, 0.0, 0.0], [112.0, 17.0, 1.0]], [3, 70000])
    """

    def __init__(self, largest: int, dtype: str):
        base, self._dtype = _EXACT.get(dtype, _EXACT_ELSE), dtype
        self.num_digits = 1
        while base**self.num_digits <= largest:
            self.num_digits += 1
        self._powers = [base**place for place in range(self.num_digits)]
        self._base = base

    def split(self, numbers: tf.Tensor) -> tf.Tensor:
        """Returns float (..., num_digits), the lowest digit first."""
        digits = [numbers // power % self._base for power in self._powers]
        return tf.cast(tf.stack(digits, axis=-1), self._dtype)

    def join(self, digits: list[tf.Tensor]) -> tf.Tensor:
        """Returns int32 (...), the numbers of these digits (...), the lowest first."""
        whole = [tf.cast(tf.round(digit), tf.int32) for digit in digits]
        return tf.add_n([digit * power for digit, power in zip(whole, self._powers, strict=True)])
