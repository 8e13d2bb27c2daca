"""Turns a SavedModel into a LiteRT file, in a process of its own.

    python -P converter.py SAVED_MODEL FILE.tflite SIGNATURE,SIGNATURE [float16|int8]

The conversion leaks memory and prints much, so `export_tflite` runs this file instead of
calling it. Builtin operators only: no runtime needs TensorFlow's own.
"""

import sys
from pathlib import Path


def convert(saved_model: str, signatures: list[str], *, quantize: str | None = None) -> bytes:
    """Returns the content of a LiteRT file.

    Args:
        saved_model: folder of a SavedModel.
        signatures: names of those of its signatures that the file gets.
        quantize: None, "float16" (weights of 16 bits), or "int8" (of 8 bits, computed with
            in float where an operator needs it).
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=signatures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


if __name__ == "__main__":
    source, target, names, *form = sys.argv[1:]
    made = convert(source, names.split(","), quantize=form[0] if form else None)
    Path(target).write_bytes(made)
