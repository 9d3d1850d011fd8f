"""Who may connect and who may send: certificates and tokens, from files that can be read again while the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.net.tls import make_server_tls_context
from holdfast.server.tokens import read_tokens

if TYPE_CHECKING:
    import ssl

    from holdfast.server.config import SecurityConfig
    from holdfast.server.tokens import Tokens


class Security(NamedTuple):
    """The certificates and tokens of a server, as its files had them at one time."""

    tls: ssl.SSLContext | None
    """None for connections that are not encrypted."""
    tokens: Tokens | None
    """None if senders need none."""

    @property
    def is_complete(self) -> bool:
        """Whether nobody can listen in, and nobody can send without being known."""
        return self.tls is not None and self.tokens is not None


def read_security(config: SecurityConfig) -> Security:
    """Read the files of certificates and tokens. It may wait for a disk, so an event loop leaves it to a thread.

    Raises:
        OSError: If one cannot be used; the error names it.
    """
    return Security(
        tls=None
        if config.tls_cert is None
        else make_server_tls_context(config.tls_cert, config.tls_key, config.tls_client_ca),
        tokens=None if config.tokens is None else read_tokens(config.tokens),
    )
