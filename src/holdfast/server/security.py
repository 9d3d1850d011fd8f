"""Who may connect and who may send: certificates and tokens, from files that can be read again while the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.net.tls import make_server_tls_context
from holdfast.server.tokens import read_tokens

if TYPE_CHECKING:
    import ssl

    from holdfast.server.tokens import Tokens


class Security:
    """The certificates and tokens of a server.

    Args:
        cert: The certificate's file; None for a server without TLS.
        key: The private key's file; None if it is in the certificate's.
        client_ca: The file of the certificates that sign those of senders; None if senders need none.
        tokens: The file of tokens; None if senders need none.

    Raises:
        OSError: If a file cannot be used; the error names it.
    """

    def __init__(self, cert: str | None, key: str | None, client_ca: str | None, tokens: str | None) -> None:
        self._cert = cert
        self._key = key
        self._client_ca = client_ca
        self._tokens = tokens
        self.tls: ssl.SSLContext | None = None
        self.tokens: Tokens | None = None
        self.reload()

    @property
    def is_complete(self) -> bool:
        """Whether nobody can listen in, and nobody can send without being known."""
        return self.tls is not None and self.tokens is not None

    def reload(self) -> None:
        """Read all files again.

        Raises:
            OSError: If one cannot be used; all stays as it was.
        """
        tls = None if self._cert is None else make_server_tls_context(self._cert, self._key, self._client_ca)
        tokens = None if self._tokens is None else read_tokens(self._tokens)
        self.tls, self.tokens = tls, tokens
