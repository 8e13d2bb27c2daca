"""What a test process is told before TensorFlow is imported."""

import gc

# Nothing that is imported is garbage, but the collector looks through all of it again and again.
gc.disable()


def pytest_collection_finish():
    gc.enable()
    gc.freeze()
