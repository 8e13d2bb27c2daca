"""Files with which servers and clients encrypt; both sides may ask the other who it is."""

import ssl
from pathlib import Path
from typing import Any, NamedTuple

import grpc


class TLS(NamedTuple):
    """Files with which a server encrypts, PEM.

    Attributes:
        key, certificate: the server's own.
        clients: certificates of who signs those of clients; with it, a client without one is
            turned away. None asks clients for none.
    """

    key: str | Path
    certificate: str | Path
    clients: str | Path | None = None

    def of_grpc(self) -> Any:
        """Returns the credentials of a gRPC server.

        Raises:
            OSError: a file that cannot be read.
            ValueError: as `of_http` has it. gRPC would not say which of many things is wrong.
        """
        self.of_http()
        key, certificate = Path(self.key).read_bytes(), Path(self.certificate).read_bytes()
        clients = None if self.clients is None else Path(self.clients).read_bytes()
        return grpc.ssl_server_credentials(
            [(key, certificate)], clients, require_client_auth=clients is not None
        )

    def of_http(self) -> ssl.SSLContext:
        """Returns what an HTTP server encrypts with.

        Raises:
            OSError: a file that cannot be read.
            ValueError: a file that is no PEM, or a key and a certificate that do not belong
                together.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        return _filled(context, self.clients, self.certificate, self.key)


class ClientTLS(NamedTuple):
    """Files with which a client encrypts, PEM.

    Attributes:
        servers: certificates of who signs those of servers; those that gRPC brings if None.
        key, certificate: the client's own, for a server that asks for one; both or none.

    Example:
        Client("models.example.com:8500", tls=ClientTLS("authority.pem"))
    """

    servers: str | Path | None = None
    key: str | Path | None = None
    certificate: str | Path | None = None

    def of_grpc(self) -> Any:
        """Returns the credentials of a gRPC channel.

        Raises:
            OSError: a file that cannot be read.
            ValueError: as `of_http` has it. A channel would not say so, but find no server.
        """
        self.of_http()
        held = [None if file is None else Path(file).read_bytes() for file in self]
        return grpc.ssl_channel_credentials(*held)

    def of_http(self) -> ssl.SSLContext:
        """Returns the context of an HTTPS client.

        Raises:
            OSError: a file that cannot be read.
            ValueError: a file that is no PEM, or a key and a certificate that do not belong
                together.
        """
        if (self.key is None) != (self.certificate is None):
            raise ValueError(
                f"`key` was {_said(self.key)} and `certificate` {_said(self.certificate)}, but one "
                "is nothing without the other. Pass both, or none."
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.servers is None:
            context.load_default_certs()
        return _filled(context, self.servers, self.certificate, self.key)


def _filled(context: ssl.SSLContext, others: Any, certificate: Any, key: Any) -> ssl.SSLContext:
    """Gives a context who signs the others' certificates, who must show one, and its own pair."""
    files = [file for file in (others, key, certificate) if file is not None]
    for file in files:
        Path(file).read_bytes()  # says the name of one that cannot be read, which ssl does not
    try:
        if others is not None:
            context.load_verify_locations(others)
            context.verify_mode = ssl.CERT_REQUIRED
        if certificate is not None:
            # Without a password it would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise ValueError(
            f"The files {', '.join(map(_said, files))} could not be used ({error}), but must be "
            "PEM: certificates, and a key without a password that belongs to its certificate. "
            "Mend them."
        ) from error
    return context


def _said(file: str | Path | None) -> str:
    return repr(None if file is None else str(file))
