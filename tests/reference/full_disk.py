"""A disk that fills up while a file is written."""

import resource
from contextlib import contextmanager


@contextmanager
def file_size_limit(limit):
    """No file of this process may grow beyond that: what a full disk does to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
