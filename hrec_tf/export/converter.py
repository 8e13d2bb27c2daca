"""Turns SavedModels into LiteRT files, in a process of its own.

The conversion leaks memory and prints much, so this file is run instead of called. It reads lines
of JSON, `["SAVED_MODEL", "FILE.tflite", ["SIGNATURE", ...], "float32" or "float16" or "int8"]`,
and answers each by a line, `{}` or `{"error": "..."}`. Builtin operators only: no runtime needs
TensorFlow's own.
"""

import json
import os
import sys
from pathlib import Path


def convert(saved_model: str, signatures: list[str], *, quantize: str) -> bytes:
    """Returns the content of a LiteRT file.

    Args:
        saved_model: folder of a SavedModel.
        signatures: names of those of its signatures that the file gets.
        quantize: "float32" keeps the weights; "float16" gives them 16 bits, and "int8" those of
            the matrix products and the tables 8, for which products round their inputs, too.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=signatures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def main() -> None:
    """Answers the lines of standard input."""
    # What the conversion prints, from C++ too, goes where errors go.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        try:
            source, target, signatures, quantize = json.loads(line)
            Path(target).write_bytes(convert(source, signatures, quantize=quantize))
            said = {}
        except Exception as error:
            kind = OSError if isinstance(error, OSError) else type(error)
            said = {"error": f"{kind.__name__}: {str(error)[-2000:]}"}
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
