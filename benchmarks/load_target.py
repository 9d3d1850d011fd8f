"""The server that the senders of a load connect to, and the lines that they send before their rows."""

from __future__ import annotations

import resource
import socket
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.workloads import header
from holdfast.protocol.messages import Directive
from holdfast.protocol.wire import format_directive

if TYPE_CHECKING:
    import ssl

OPENING_SECONDS_MAX = 30.0

# A loopback address has some 28,000 ports to connect from.
_CONNECTIONS_PER_ADDRESS = 20_000
_IP_BIND_ADDRESS_NO_PORT = 24  # of Linux; the socket module does not name it


class LoadError(Exception):
    """The load could not be started."""


class Target(NamedTuple):
    """The server, and the directives for it.

    Args:
        host: A name or an address.
        port: Its port.
        tls: How to encrypt; None for not at all.
        wants_acks: Whether to ask for acks.
        stream: The prefix of the streams' names, before a slash and the sender's number; anonymous if None.
        token: What authorises all of them.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    wants_acks: bool = False
    stream: str | None = None
    token: str | None = None

    def greeting(self, number: int) -> bytes:
        """Give the lines that a sender sends before its first row."""
        stream = f"{self.stream}/{number}" if self.stream is not None else None
        directive = Directive(stream, wants_acks=self.wants_acks, token=self.token)
        return (format_directive(directive) if directive != Directive() else b"") + header()

    def connect(self, number: int) -> socket.socket:
        """Open a sender's connection and send the lines before its rows.

        Raises:
            OSError: If that does not work.
        """
        connected = self._dial(number)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                connected = self.tls.wrap_socket(connected, server_hostname=self.host)
            connected.sendall(self.greeting(number))
        except BaseException:
            connected.close()
            raise
        return connected

    def _dial(self, number: int) -> socket.socket:
        address = (self.host, self.port)
        if not self.host.startswith("127."):
            return socket.create_connection(address, OPENING_SECONDS_MAX)
        dialled = socket.socket()
        try:
            dialled.settimeout(OPENING_SECONDS_MAX)
            # The system chooses the port in connect(), when it knows the destination, so that connections may share a port.
            dialled.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            dialled.bind((f"127.0.0.{1 + number // _CONNECTIONS_PER_ADDRESS % 250}", 0))
            dialled.connect(address)
        except BaseException:
            dialled.close()
            raise
        return dialled


def allow_files(files: int) -> None:
    """Let this process, and processes that it starts, open this many files.

    Raises:
        LoadError: If the system does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    try:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (files, max(hard, files) if hard != resource.RLIM_INFINITY else hard)
        )
    except (ValueError, OSError) as error:
        raise LoadError(
            f"{files} files have to be open at once, and this process may open {hard}; raise the limit (ulimit -Hn), "
            "or take fewer connections"
        ) from error
