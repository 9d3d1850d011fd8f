"""Where the server is, how to speak to it, and how long anything may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.net.address import Address, parse_address
from holdfast.net.tls import make_tls_context
from holdfast.protocol.messages import Directive, WireError
from holdfast.protocol.wire import format_directive

if TYPE_CHECKING:
    import ssl

_TOKEN_BYTES_MAX = 512


class Limits(NamedTuple):
    """How long anything may take and how much may be kept. Every wait of the client is bounded by one of these."""

    connect_seconds_max: float = 10.0
    """For one attempt to connect, TLS included."""
    reply_seconds_max: float = 60.0
    """Without a byte moving in either direction while a reply is due: the connection counts as lost."""
    retry_seconds_max: float = 300.0
    """Without a further row acknowledged while connections fail: give up. 0: the first failure is the last."""
    deadline_seconds: float | None = None
    """For everything, from the start; None: as long as there is progress."""
    backoff_seconds: float = 0.1
    """Upper bound of the wait before the first attempt to reconnect; doubled for every further one."""
    backoff_seconds_max: float = 15.0
    """Where the doubling ends."""
    keep_alive_seconds: float = 60.0
    """A blank line is sent this often on an idle connection, so that the server does not take it for dead."""
    buffer_bytes_max: int = 16 * 1024 * 1024
    """Rows that cannot be read again are kept until they are acknowledged; sending waits when they are this much."""


class Options(NamedTuple):
    """Everything about a stream but its rows."""

    address: Address
    directive: Directive
    context: ssl.SSLContext | None
    limits: Limits


def make_options(
    to: str | Address,
    *,
    stream: str | None = None,
    token: str | None = None,
    tls: bool | ssl.SSLContext = False,
    limits: Limits = Limits(),  # noqa: B008  # a tuple
) -> Options:
    """Check and gather what a caller gives.

    Raises:
        ValueError: If it cannot be an address, a name or a token.
    """
    address = parse_address(to) if isinstance(to, str) else to
    directive = Directive(
        stream=stream, wants_acks=True, token=None if token is None else check_token(token, "token")
    )
    try:
        format_directive(directive)
    except WireError as error:
        # The token was checked just now.
        raise ValueError(f"stream {stream!r}: a name is 1 to 128 of A-Z a-z 0-9 . _ : / -") from error
    context = make_tls_context() if tls is True else tls or None
    return Options(address, directive, context, limits)


def read_token(path: str) -> str:
    """Read a token from the first line of a file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no token.
    """
    with open(path, "rb") as file:
        line = file.read(_TOKEN_BYTES_MAX + 2).split(b"\n", maxsplit=1)[0].strip()
    return check_token(line.decode("ascii", errors="replace"), path)


def check_token(token: str, source: str) -> str:
    """Check that a token fits into a directive.

    Raises:
        ValueError: Naming where the token came from, never the token.
    """
    if not token or len(token) > _TOKEN_BYTES_MAX or not all("!" <= letter <= "~" for letter in token):
        raise ValueError(
            f"{source}: a token is 1 to {_TOKEN_BYTES_MAX} printable ASCII characters without blanks, on the first line"
        )
    return token
