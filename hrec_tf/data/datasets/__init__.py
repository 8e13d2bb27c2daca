"""TensorFlow Datasets builders, one package per data set; they need the extra `tfds`."""

import importlib
from typing import Any

__all__ = ["import_tfds"]


def import_tfds() -> Any:
    """Returns the module tensorflow_datasets, which is no core dependency.

    Raises:
        ImportError: the module, or something that it needs, is not installed.

    Example:
        >>> import_tfds().__name__
        'tensorflow_datasets'
    """
    try:
        return importlib.import_module("tensorflow_datasets")
    except ImportError as error:
        raise ImportError(
            f"tensorflow_datasets could not be imported ({error}). Builders and readers of "
            "TensorFlow Datasets need it, and hrec_tf does not install it by default. "
            "Run: pip install 'hrec-tf[tfds]'"
        ) from error
