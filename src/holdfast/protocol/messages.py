"""What a sender and a server say to each other beside the CSV, as values; :mod:`wire` writes and reads them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.rules import STANDARD, make_rules
from holdfast.domain.settings import (
    CLIENT_BITS_DEFAULT,
    DECIMALS_DEFAULT,
    ROW_BYTES_DEFAULT,
    TX_BITS_DEFAULT,
    make_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.domain.outcome import Outcome
    from holdfast.domain.settings import Settings


class ErrorCode(StrEnum):
    """Why a server ends a connection before the end of its input."""

    BAD_DIRECTIVE = "BAD_DIRECTIVE"
    """A line that begins with ``#holdfast`` says something that this server does not know."""
    UNAUTHORIZED = "UNAUTHORIZED"
    """The server wants a token, and there was none that it knows."""
    FORBIDDEN_STREAM = "FORBIDDEN_STREAM"
    """The token is good for other streams."""
    STREAM_CHANGED = "STREAM_CHANGED"
    """Other rows were sent under the stream's name before."""
    GAP = "GAP"
    """Rows between where the stream stands and the first row announced would be left out."""
    BAD_HEADER = "BAD_HEADER"
    """The CSV does not begin with a usable header."""
    LINE_TOO_LONG = "LINE_TOO_LONG"
    """A line has not ended after as many bytes as a line may have."""
    LINE_TIMEOUT = "LINE_TIMEOUT"
    """A line was begun and not ended in time."""
    HANDSHAKE_TIMEOUT = "HANDSHAKE_TIMEOUT"
    """The header was not complete in time."""
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    """No byte came for longer than a connection may be idle."""
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    """As many connections are open as the server allows."""
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    """The server remembers as many stream names as it can."""
    MEMORY_LIMIT = "MEMORY_LIMIT"
    """The server has no memory left for more rows or connections."""
    CONNECTION_MEMORY = "CONNECTION_MEMORY"
    """More bytes would have to be kept for this connection than one may cost."""
    REPLIES_NOT_READ = "REPLIES_NOT_READ"
    """The sender was held back because it does not read its replies, and still did not read them."""
    SUPERSEDED = "SUPERSEDED"
    """A newer connection has opened the same stream."""
    POLICY_ABORT = "POLICY_ABORT"
    """The server's error policy stopped this connection at a row."""
    SHUTTING_DOWN = "SHUTTING_DOWN"
    """The server is being stopped."""
    INTERNAL = "INTERNAL"
    """A bug of the server's."""

    @property
    def is_retryable(self) -> bool:
        """Whether the same sender may have more luck later, with nothing changed but the time."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        ErrorCode.TOO_MANY_CONNECTIONS,
        ErrorCode.LINE_TIMEOUT,
        ErrorCode.IDLE_TIMEOUT,
        ErrorCode.HANDSHAKE_TIMEOUT,
        ErrorCode.REPLIES_NOT_READ,
        ErrorCode.SHUTTING_DOWN,
    }
)


class WireError(Exception):
    """What ends a connection: a code for programs and a sentence for people.

    Args:
        code: Which error it is.
        message: What is wrong, where, and what to do about it.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Directive(NamedTuple):
    """What a sender asks for before its CSV."""

    stream: str | None = None
    """The name under which the server remembers how far this stream got; anonymous without one."""
    wants_acks: bool = False
    """Whether to be told as rows are decided."""
    wants_refused: bool = False
    """Whether to be told of each row that is not applied."""
    token: str | None = None
    """What proves that the sender may do this."""
    first_row: int | None = None
    """The number of the first row that will be sent; 1 if not given."""
    digest: int | None = None
    """The sender's digest of the rows before the first one that it will send."""


class StreamSettings(NamedTuple):
    """What a sender has to know of a server's settings to read rows as the server does."""

    decimals: int = DECIMALS_DEFAULT
    """How many decimals an amount keeps."""
    client_bits: int = CLIENT_BITS_DEFAULT
    """How wide client ids are."""
    tx_bits: int = TX_BITS_DEFAULT
    """How wide transaction ids are."""
    row_bytes_max: int = ROW_BYTES_DEFAULT
    """How long a row may be."""
    excess_decimals: str = STANDARD.excess_decimals
    """What becomes of more decimals than are kept."""

    @classmethod
    def of(cls, settings: Settings) -> StreamSettings:
        """Pick them from an engine's settings."""
        return cls(
            settings.decimals,
            settings.client_bits,
            settings.tx_bits,
            settings.row_bytes_max,
            settings.rules.excess_decimals,
        )

    def to_settings(self) -> Settings:
        """Make settings that a decoder takes.

        Raises:
            ValueError: If there can be no such settings.
        """
        rules = make_rules({"excess_decimals": self.excess_decimals})
        return make_settings(rules, **{name: getattr(self, name) for name in self._fields[:-1]})


class Resume(NamedTuple):
    """Where a named stream stands, and how its rows are read: the server's first line."""

    rows: int
    """How many of its rows are decided; the next one has this number plus one."""
    digest: int = 0
    """The digest of these rows."""
    settings: StreamSettings = StreamSettings()
    """How the server reads rows."""


class Ack(NamedTuple):
    """All rows of the stream up to one are decided."""

    rows: int
    """The number of that row: of the stream, or of the connection if it is anonymous."""
    sequence: int
    """Rows that the engine has decided in all."""


class Refused(NamedTuple):
    """One row was not applied."""

    row: int
    """Its number in the stream, or in the connection if that is anonymous."""
    code: Outcome
    """Why."""


class Failure(NamedTuple):
    """The server ends the connection; always its last line."""

    code: ErrorCode
    """Which error it is."""
    message: str
    """What is wrong, in a sentence."""
    rows: int
    """How many rows of the stream (of the connection, if it is anonymous) are decided and stand."""
    sequence: int
    """Rows that the engine has decided in all."""


class Summary(NamedTuple):
    """What became of a connection's rows, after the end of its input; always the server's last line."""

    rows: int
    """Rows of this connection that were decided."""
    applied: int
    """Those of them that were applied."""
    refused_by_outcome: Mapping[Outcome, int]
    """The others, by what they were refused for, in order of precedence."""
    skipped: int
    """Rows that were sent and had been decided before."""
    sequence: int
    """Rows that the engine has decided in all."""
    stream: str | None = None
    """The stream's name, if it has one."""
    resume: int | None = None
    """Where the named stream stands now."""

    @property
    def refused(self) -> int:
        """Rows of this connection that were not applied."""
        return self.rows - self.applied


class RefusedRows(NamedTuple):
    """Rows that were not applied, as the server says it of many at a time; each becomes a line, a :class:`Refused`."""

    rows: list[int]
    """Their numbers in the stream, or in the connection if that is anonymous."""
    codes: list[int]
    """Why, for each of them."""


Reply = Resume | Ack | Refused | Failure | Summary
"""What a sender hears: one line each."""
Event = Resume | Ack | RefusedRows | Failure | Summary
"""What a server's session has to say."""
