"""Where the server is, how it is spoken to, and how long anything may take."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

from holdfast.client.session import ClientSession
from holdfast.net.address import Address, parse_address
from holdfast.protocol.messages import Directive, WireError
from holdfast.protocol.wire import format_directive

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.client.feeds import Feed
    from holdfast.client.report import RefusedRow

_TOKEN_BYTES_MAX = 512


class Limits(NamedTuple):
    """How long anything may take and how much may be kept. Every wait of the client is bounded by one of these."""

    connect_seconds_max: float = 10.0
    """For one attempt to connect, TLS included."""
    reply_seconds_max: float = 60.0
    """Without a byte moving in either direction while an answer is due: the connection counts as lost."""
    retry_seconds_max: float = 300.0
    """Without a further row acknowledged while connections fail: give up. 0: the first loss is the last."""
    deadline_seconds: float | None = None
    """For everything, from the start; None: as long as there is progress."""
    backoff_seconds: float = 0.1
    """Before the first attempt to reconnect at most; doubled for every further one."""
    backoff_seconds_max: float = 15.0
    """Where the doubling ends."""
    keep_alive_seconds: float = 60.0
    """An idle AsyncClient sends a blank line this often, so that the server does not take it for dead."""
    buffer_bytes_max: int = 16 * 1024 * 1024
    """Rows that cannot be read again are kept until they are acknowledged; the sender waits when they are this much."""


class Settings(NamedTuple):
    """Everything about a stream but its rows, as both fronts need it."""

    address: Address
    directive: Directive
    context: ssl.SSLContext | None
    limits: Limits
    on_refused: Callable[[RefusedRow], object] | None = None
    on_lost: Callable[[str, float], object] | None = None

    def session(self, feed: Feed) -> ClientSession:
        """Make the session that sends a feed."""
        return ClientSession(
            feed, self.limits, self.directive, on_refused=self.on_refused, on_lost=self.on_lost
        )


def make_settings(
    to: str | Address,
    *,
    stream: str | None,
    token: str | None,
    tls: bool | ssl.SSLContext,
    on_refused: Callable[[RefusedRow], object] | None,
    limits: Limits,
    on_lost: Callable[[str, float], object] | None = None,
) -> Settings:
    """Check and gather what the callers of both fronts give.

    Raises:
        ValueError: If it cannot be an address, a name or a token.
    """
    address = parse_address(to) if isinstance(to, str) else to
    directive = Directive(stream=stream, token=None if token is None else check_token(token, "token"))
    try:
        format_directive(directive._replace(wants_acks=True))
    except WireError as error:
        # A token was checked just now.
        raise ValueError(f"stream {stream!r}: a name is 1 to 128 of A-Z a-z 0-9 . _ : / -") from error
    context = make_tls_context() if tls is True else tls or None
    return Settings(address, directive, context, limits, on_refused, on_lost)


def make_tls_context(
    *, ca_file: str | None = None, cert_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """Make a TLS context that verifies the server's certificate and its name.

    Args:
        ca_file: The certificates to trust (PEM); the system's if not given.
        cert_file: The client's own certificate (PEM), where the server asks for one.
        key_file: Its key (PEM), unless it stands in the same file.

    Raises:
        OSError: If a file cannot be read or holds something else; the error names it.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(ca_file, "certificates", lambda: context.load_verify_locations(ca_file))
    if cert_file is not None:
        named = cert_file if key_file is None else f"{cert_file}, {key_file}"
        _load(named, "a certificate and its key", lambda: context.load_cert_chain(cert_file, key_file))
    return context


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
    """Refuse what cannot stand in a directive line.

    Raises:
        ValueError: Naming where the token came from, never the token.
    """
    if not token or len(token) > _TOKEN_BYTES_MAX or not all("!" <= letter <= "~" for letter in token):
        raise ValueError(
            f"{source}: a token is 1 to {_TOKEN_BYTES_MAX} printable ASCII characters without blanks, on the first line"
        )
    return token


def _load(path: str, wanted: str, load: Callable[[], object]) -> None:
    try:
        load()
    except ssl.SSLError as error:
        raise OSError(error.errno, f"this is not {wanted} in PEM ({error.reason or error})", path) from error
    except OSError as error:
        error.filename = path
        raise
