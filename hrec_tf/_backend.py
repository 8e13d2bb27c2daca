"""The one check that runs when `hrec_tf` is imported: Keras must run on TensorFlow."""

import json
import os
import sys
from pathlib import Path


def require_tensorflow_backend() -> None:
    """Raises unless Keras runs, or would run, on its TensorFlow backend.

    Keras fixes its backend at its first import. It is asked when it is already there; otherwise
    the answer is read from where Keras will read it, so that this import stays a light one.

    Raises:
        ImportError: the backend is another one.
    """
    backend = _active_backend() if "keras" in sys.modules else _configured_backend()
    if backend != "tensorflow":
        raise ImportError(
            "hrec_tf runs on Keras' TensorFlow backend, but keras.config.backend() is "
            f"{backend!r}. Its streams and carried states are TensorFlow's. Set "
            "KERAS_BACKEND=tensorflow in the environment before the first import of keras."
        )


def _active_backend() -> str:
    import keras

    return keras.config.backend()


def _configured_backend() -> str:
    """What `import keras` would choose: the variable, else keras.json, else TensorFlow."""
    if variable := os.environ.get("KERAS_BACKEND"):
        return variable
    home = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
    try:
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "tensorflow"  # Keras, too, falls back to its default when it cannot read the file.
    return settings.get("backend", "tensorflow")
