"""The search for the settings of a recipe that do best on a validation part, by Optuna."""

try:
    import optuna as _  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"Optuna cannot be imported ({error}), but it chooses what is tried next. Run: pip install "
        "'hrec-tf[tune]'"
    ) from error

from hrec_tf.tuning.dimensions import Choices, Range
from hrec_tf.tuning.space import Space
from hrec_tf.tuning.tuned import Trial, Tuned
from hrec_tf.tuning.tuner import check_search, objectives, tune

__all__ = ["Choices", "Range", "Space", "Trial", "Tuned", "check_search", "objectives", "tune"]
