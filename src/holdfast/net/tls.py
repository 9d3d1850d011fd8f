"""TLS without I/O: ciphertext in and out as bytes, for both sides of a connection, and the contexts of both.

The TLS of event loops and sockets does not fit here. It keeps buffers of 256 KiB for every connection, and it stops reading
when it ends its own output. The protocol ends its input by closing one direction; over memory, TLS can do that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import stat
from typing import TYPE_CHECKING

from holdfast.net.secret_files import open_secret_file

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("holdfast.net")

# A fatal alert, protocol_version, in plain: what a client that does not speak TLS can recognise.
_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"

NEED_MORE = -1
"""There is nothing to read until more bytes have come."""


def make_server_tls_context(cert: str, key: str | None, client_ca: str | None) -> ssl.SSLContext:
    """Make the context of a server that speaks TLS 1.2 or later.

    Args:
        cert: The certificate and those that lead up to its root, PEM.
        key: The private key, PEM; in the certificate's file if not given.
        client_ca: If given, clients need a certificate signed by one of these, PEM.

    Raises:
        OSError: If a file cannot be read or holds something else; the error names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own_certificate(context, cert, key)
    if client_ca is not None:
        _load(client_ca, None, lambda: context.load_verify_locations(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def make_tls_context(
    *, ca_file: str | None = None, cert_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """Make a TLS context that verifies the server's certificate and its name.

    Args:
        ca_file: The certificates to trust (PEM); the system's if not given.
        cert_file: The client's own certificate (PEM), where the server asks for one.
        key_file: Its key (PEM), unless it is in the same file.

    Raises:
        OSError: If a file cannot be read or holds something else; the error names it.
        ValueError: If there is a key without a certificate.
    """
    if key_file is not None and cert_file is None:
        raise ValueError("key_file belongs to cert_file: give the certificate as well")
    # A context of one's own authorities trusts no others.
    context = ssl.create_default_context() if ca_file is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        _load(ca_file, None, lambda: context.load_verify_locations(ca_file))
    if cert_file is not None:
        _load_own_certificate(context, cert_file, key_file)
    return context


class TlsChannel:
    """One connection's TLS: encrypted bytes in and out on one side, the plain ones on the other.

    Args:
        context: The certificates.
        server_name: On the client's side, the name that the server's certificate has to be for; None on the server's side.
    """

    __slots__ = ("_incoming", "_outgoing", "_ssl", "_unsent", "is_open")

    def __init__(self, context: ssl.SSLContext, server_name: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._unsent = b""
        self.is_open = False
        """Whether the handshake is done."""

    def feed(self, data: bytes | memoryview) -> None:
        """Take encrypted bytes, none at their end, and go on with the handshake if that is not done.

        A client calls :meth:`shake_hands` first, because it speaks first.

        Raises:
            ssl.SSLError: If this is no TLS, or the other side is not to be trusted.
        """
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        if not self.is_open:
            self.shake_hands()

    def shake_hands(self) -> None:
        """Go on with the handshake as far as what has come allows.

        Raises:
            ssl.SSLError: If this is no TLS, or the other side is not to be trusted.
        """
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            # OpenSSL says nothing to a client whose first bytes are no TLS.
            if self._ssl.server_side and not self._outgoing.pending:
                self._outgoing.write(_ALERT)
            raise
        self.is_open = True
        unsent, self._unsent = self._unsent, b""
        self.write(unsent)

    def read_into(self, buffer: memoryview) -> int:
        """Decrypt what has come.

        Returns:
            How many bytes there are in the buffer, 0 if the other side has ended its input, or :data:`NEED_MORE`.

        Raises:
            ssl.SSLError: If the bytes were tampered with, or ended without the other side's saying so.
        """
        if not self.is_open:
            return NEED_MORE
        try:
            return int(self._ssl.read(len(buffer), buffer))
        except ssl.SSLWantReadError:
            return NEED_MORE
        except ssl.SSLZeroReturnError:
            return 0

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt what is to be sent; kept until the handshake is done."""
        if not self.is_open:
            self._unsent += data
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._ssl.write(rest) :]

    def end_output(self) -> None:
        """Say that nothing else will be sent. What has come has to be read before."""
        if self.is_open:
            # It wants the other side's farewell, for which nobody waits here.
            with contextlib.suppress(ssl.SSLError):
                self._ssl.unwrap()

    def take_outgoing(self) -> bytes:
        """Give the encrypted bytes that are to be sent."""
        return self._outgoing.read() if self._outgoing.pending else b""


def _load_own_certificate(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    # Asked for a passphrase, OpenSSL would wait at the terminal.
    _load(cert, key or cert, lambda: context.load_cert_chain(cert, key, password=_refuse_passphrase))


def _refuse_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody can be asked for it; store it without one")


def _load(path: str, key: str | None, load: Callable[[], None]) -> None:
    for name in filter(None, (path, key)):
        # The error of OpenSSL does not say which file it was.
        with open_secret_file(name) as file:
            mode = os.fstat(file.fileno()).st_mode
        if name == key and mode & stat.S_IROTH:
            _log.warning("%s: all users of this machine may read this private key; chmod o= it", name)
    named = path if key in {None, path} else f"{path}, {key}"
    try:
        load()
    except ssl.SSLError as error:
        wanted = "certificates" if key is None else "a certificate and the private key that belongs to it"
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise OSError(error.errno, f"this is not {wanted} in PEM ({reason})", named) from error
    except ValueError as error:
        raise OSError(0, str(error), named) from error
