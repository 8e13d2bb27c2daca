"""What is public is pinned in tests/public_api.txt, is documented, and its examples run.

After a change on purpose, write the list again from the checkout's root and review the difference:

    .venv/bin/python tests/test_public_api.py
"""

import doctest
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import pytest

PINNED = Path(__file__).with_name("public_api.txt")
HEADER = "# Written by: .venv/bin/python tests/test_public_api.py\n"


def module_names():
    """Every module of the package, found without importing more than its packages."""
    package = importlib.import_module("hrec_tf")
    inner = pkgutil.walk_packages(package.__path__, prefix="hrec_tf.")
    return ["hrec_tf", *sorted(module.name for module in inner)]


def public_names():
    """Each package with a list of public names, and the sorted names of that list."""
    lists = {}
    for name in module_names():
        module = importlib.import_module(name)
        if hasattr(module, "__path__") and hasattr(module, "__all__"):
            lists[name] = sorted(module.__all__)
    return lists


def as_text(lists):
    return HEADER + "".join(f"{package}.{name}\n" for package in lists for name in lists[package])


def test_public_names_are_the_pinned_ones():
    assert as_text(public_names()) == PINNED.read_text(encoding="utf-8"), (
        "the public names changed; if on purpose, run .venv/bin/python tests/test_public_api.py"
    )


@pytest.mark.parametrize("name", module_names())
def test_public_names_exist_once_and_are_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    public = getattr(module, "__all__", [])
    assert len(set(public)) == len(public)
    for public_name in public:
        value = getattr(module, public_name)
        if inspect.isclass(value) or inspect.isroutine(value):
            # `__doc__` of the object itself: an inherited text describes something else.
            assert value.__doc__, f"{name}.{public_name} has no docstring"


@pytest.mark.parametrize("name", module_names())
def test_examples_in_docstrings_run(name):
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(importlib.import_module(name), optionflags=options)
    assert result.failed == 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    PINNED.write_text(as_text(public_names()), encoding="utf-8")
