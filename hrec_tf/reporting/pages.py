"""What every page of the package has: templates, escaping, and how it was made.

A page needs nothing but itself: no script, no style sheet, no font and no picture from
elsewhere. All text goes through Jinja's escaping; figures are made of `hrec_tf.reporting.drawing`.
"""

import importlib.metadata
import platform
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

import tensorflow as tf
from jinja2 import Environment, FunctionLoader, StrictUndefined

from hrec_tf import __version__

_TOGETHER = ("tensorflow", "keras", "numpy", "scipy", "polars", "matplotlib")


def render(template: str, **values: Any) -> str:
    """Returns a page.

    Args:
        template: name of a file beside this one, which extends page.html.j2.
        **values: all that it names; a value that it lacks is an error.
    """
    return _environment().get_template(template).render(**values)


def about_making() -> str:
    """Says when, by what and on what a page was made."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _TOGETHER]
    devices = tf.config.list_physical_devices("GPU")
    device = f"{len(devices)} GPU" if devices else "CPU"
    return (
        f"Made on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by hrec_tf {__version__} with "
        f"{', '.join(versions)} and Python {platform.python_version()} on {platform.system()} "
        f"{platform.machine()}, {device}."
    )


@cache
def _environment() -> Environment:
    folder = resources.files("hrec_tf.reporting")
    return Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
