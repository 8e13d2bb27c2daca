"""What the gateway takes from the extra `serving`."""

import importlib
from typing import Any


def require(module: str) -> Any:
    """Returns a module of the extra `serving`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module!r} cannot be imported ({error}), but the gateway needs it. Run: "
            "pip install 'hrec-tf[serving]'"
        ) from error
