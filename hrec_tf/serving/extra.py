"""What HTTP and Redis take from the extra `serving`."""

import importlib
from typing import Any


def require(module: str, *, by: str = "the gateway") -> Any:
    """Returns a module of the extra `serving`.

    Args:
        module: its name.
        by: who needs it.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module!r} cannot be imported ({error}), but {by} needs it. Run: "
            "pip install 'hrec-tf[serving]'"
        ) from error
