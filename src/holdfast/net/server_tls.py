"""TLS without I/O, so that encrypted connections use the same shared buffers as plain ones.

The event loops' own TLS keeps buffers of 256 KiB for every connection, and cannot answer a sender that has ended its input.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("holdfast.server")

NEED_MORE = -1
"""There is nothing to read until more bytes have come."""


def make_context(cert: str, key: str | None, client_ca: str | None) -> ssl.SSLContext:
    """Make the context of a server that speaks TLS 1.2 or later.

    Args:
        cert: The certificate and those that lead up to its root, PEM.
        key: The private key, PEM; in the certificate's file if not given.
        client_ca: If given, senders need a certificate signed by one of these, PEM.

    Raises:
        OSError: If a file cannot be read or holds something else; the error names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Asked for a passphrase, OpenSSL would wait at the terminal.
    _load(cert, key or cert, lambda: context.load_cert_chain(cert, key, password=_refuse_passphrase))
    if client_ca is not None:
        _load(client_ca, None, lambda: context.load_verify_locations(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class TlsChannel:
    """One connection's TLS: encrypted bytes in and out on one side, the plain ones on the other.

    Args:
        context: The server's certificates.
    """

    __slots__ = ("_incoming", "_outgoing", "_ssl", "_unsent", "is_open")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._unsent = b""
        self.is_open = False
        """Whether the handshake is done."""

    def feed(self, data: memoryview) -> None:
        """Take encrypted bytes, and go on with the handshake if that is not done.

        Raises:
            ssl.SSLError: If this is no TLS, or the other side is not to be trusted.
        """
        self._incoming.write(data)
        if self.is_open:
            return
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.is_open = True
        unsent, self._unsent = self._unsent, b""
        self.write(unsent)

    def read_into(self, buffer: memoryview) -> int:
        """Decrypt what has come.

        Returns:
            How many bytes there are in the buffer, 0 if the other side has ended its input, or :data:`NEED_MORE`.

        Raises:
            ssl.SSLError: If the bytes were tampered with.
        """
        if not self.is_open:
            return NEED_MORE
        try:
            return int(self._ssl.read(len(buffer), buffer))
        except ssl.SSLWantReadError:
            return NEED_MORE
        except ssl.SSLZeroReturnError:
            return 0

    def write(self, data: bytes) -> None:
        """Encrypt what is to be sent; kept until the handshake is done."""
        if not self.is_open:
            self._unsent += data
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._ssl.write(rest) :]

    def end_output(self) -> None:
        """Say that nothing else will be sent."""
        if self.is_open:
            # It wants the other side's farewell, for which nobody waits here.
            with contextlib.suppress(ssl.SSLError):
                self._ssl.unwrap()

    def take_outgoing(self) -> bytes:
        """Give the encrypted bytes that are to be sent."""
        return self._outgoing.read() if self._outgoing.pending else b""


def _refuse_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody can be asked for it; store it without one")


def _load(path: str, key: str | None, load: Callable[[], None]) -> None:
    for name in filter(None, (path, key)):
        # The error of OpenSSL does not say which file it was.
        with open(name, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
        if name == key and stat.S_ISREG(mode) and mode & stat.S_IROTH:
            _log.warning("%s: everybody on this machine may read this private key; chmod o= it", name)
    named = path if key in {None, path} else f"{path}, {key}"
    try:
        load()
    except ssl.SSLError as error:
        wanted = "certificates" if key is None else "a certificate and the private key that belongs to it"
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise OSError(error.errno, f"this is not {wanted} in PEM ({reason})", named) from error
    except ValueError as error:
        raise OSError(0, str(error), named) from error
