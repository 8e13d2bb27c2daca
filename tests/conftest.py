"""What a test process, and those that it starts, are told before TensorFlow is imported."""

import gc
import os

# Most programs that tests compile run for a moment. Level 0 is no quicker to compile, and makes
# the few longer trainings several times as long.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

# Nothing that is imported is garbage, but the collector looks through all of it again and again.
gc.disable()


def pytest_collection_finish():
    gc.enable()
    gc.freeze()
