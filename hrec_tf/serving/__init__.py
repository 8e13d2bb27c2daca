"""Serving: the protocol of TensorFlow Serving, spoken over an exported SavedModel, and a page.

A name is imported when it is asked for: the server needs TensorFlow, and the client is for
programs that do without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrec_tf.serving.client import Client, ServingError, State
    from hrec_tf.serving.demo import Demo
    from hrec_tf.serving.gateway.service import Gateway
    from hrec_tf.serving.metadata import Metadata
    from hrec_tf.serving.server import Server
    from hrec_tf.serving.tls import TLS, ClientTLS

__all__ = [
    "TLS",
    "Client",
    "ClientTLS",
    "Demo",
    "Gateway",
    "Metadata",
    "Server",
    "ServingError",
    "State",
]

_MODULE_OF = {
    "ClientTLS": "tls",
    "Demo": "demo",
    "Gateway": "gateway.service",
    "Metadata": "metadata",
    "Server": "server",
    "TLS": "tls",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULE_OF.get(name, 'client')}")
    return getattr(module, name)
