"""The messages between a sender and a server, beside the CSV, as values; :mod:`wire` writes and reads them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.picklable import Picklable
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
    """A line that begins with ``#holdfast`` is not a valid directive."""
    UNAUTHORIZED = "UNAUTHORIZED"
    """The server requires a token, and the sender gave none that it knows."""
    FORBIDDEN_STREAM = "FORBIDDEN_STREAM"
    """The token does not allow this stream."""
    STREAM_CHANGED = "STREAM_CHANGED"
    """Different rows were sent under the stream's name before."""
    GAP = "GAP"
    """Rows between the stream's position and the first row announced would be left out."""
    BAD_HEADER = "BAD_HEADER"
    """The CSV does not begin with a usable header."""
    LINE_TOO_LONG = "LINE_TOO_LONG"
    """A line has no end after as many bytes as a line may have."""
    LINE_TIMEOUT = "LINE_TIMEOUT"
    """A line did not end in time."""
    HANDSHAKE_TIMEOUT = "HANDSHAKE_TIMEOUT"
    """The header was not complete in time."""
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    """The connection was idle for too long."""
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    """As many connections are open as the server allows."""
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    """The server remembers as many stream names as it can."""
    MEMORY_LIMIT = "MEMORY_LIMIT"
    """The server has no memory left for more rows or connections."""
    CONNECTION_MEMORY = "CONNECTION_MEMORY"
    """The connection would need more memory than one may have."""
    REPLIES_NOT_READ = "REPLIES_NOT_READ"
    """The sender was paused because it did not read its replies, and still did not read them."""
    SUPERSEDED = "SUPERSEDED"
    """A newer connection has opened the same stream."""
    POLICY_ABORT = "POLICY_ABORT"
    """The server's error policy stopped this connection at a row."""
    SHUTTING_DOWN = "SHUTTING_DOWN"
    """The server is shutting down."""
    LEDGER_FAILED = "LEDGER_FAILED"
    """The server cannot write its ledger: rows that it has not acknowledged are lost, and have to be sent again."""
    LEDGER_FULL = "LEDGER_FULL"
    """The server's disk has too little room left: no rows are decided until there is more."""
    INTERNAL = "INTERNAL"
    """A bug in the server."""

    @property
    def is_retryable(self) -> bool:
        """Whether the same sender may succeed later with nothing changed."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        ErrorCode.TOO_MANY_CONNECTIONS,
        ErrorCode.LINE_TIMEOUT,
        ErrorCode.IDLE_TIMEOUT,
        ErrorCode.HANDSHAKE_TIMEOUT,
        ErrorCode.REPLIES_NOT_READ,
        ErrorCode.SHUTTING_DOWN,
        ErrorCode.LEDGER_FAILED,
        ErrorCode.LEDGER_FULL,
    }
)


class WireError(Picklable, Exception):
    """An error that ends a connection: a code for programs and a sentence for people.

    Args:
        code: The error.
        message: What is wrong, where, and what to do about it.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Directive(NamedTuple):
    """A sender's wishes, before its CSV."""

    stream: str | None = None
    """The name under which the server remembers the stream's position; None for an anonymous stream."""
    wants_acks: bool = False
    """Whether the sender wants acks as rows are decided."""
    wants_refused: bool = False
    """Whether the sender wants a line for each row that is not applied."""
    token: str | None = None
    """The secret that proves who the sender is."""
    first_row: int | None = None
    """The number of the first row that will be sent; None means 1."""
    digest: int | None = None
    """The sender's digest of the rows before the first one that it will send."""


class StreamSettings(NamedTuple):
    """The part of a server's settings that a sender needs to read rows as the server does."""

    decimals: int = DECIMALS_DEFAULT
    """How many decimals an amount keeps."""
    client_bits: int = CLIENT_BITS_DEFAULT
    """How wide client ids are."""
    tx_bits: int = TX_BITS_DEFAULT
    """How wide transaction ids are."""
    row_bytes_max: int = ROW_BYTES_DEFAULT
    """How long a row may be, in bytes without its line end."""
    excess_decimals: str = STANDARD.excess_decimals
    """What happens to more decimals than an amount keeps."""

    @classmethod
    def of(cls, settings: Settings) -> StreamSettings:
        """Take them from an engine's settings."""
        return cls(
            settings.decimals,
            settings.client_bits,
            settings.tx_bits,
            settings.row_bytes_max,
            settings.rules.excess_decimals,
        )

    def to_settings(self) -> Settings:
        """Make settings for a decoder.

        Raises:
            ValueError: If a value is out of range.
        """
        rules = make_rules({"excess_decimals": self.excess_decimals})
        return make_settings(rules, **{name: getattr(self, name) for name in self._fields[:-1]})


class Resume(NamedTuple):
    """A named stream's position, and how the server reads rows: the server's first line."""

    rows: int
    """How many of its rows are decided; the next row has this number plus one."""
    digest: int = 0
    """The digest of these rows."""
    settings: StreamSettings = StreamSettings()
    """How the server reads rows."""


class Ack(NamedTuple):
    """All rows of the stream up to this number are decided and durable."""

    rows: int
    """The number of the last of these rows, in the stream, or in the connection if it is anonymous."""
    sequence: int
    """Durable rows of the engine: the point in time of this message."""


class Refused(NamedTuple):
    """One row was not applied."""

    row: int
    """Its number in the stream, or in the connection if it is anonymous."""
    code: Outcome
    """Why it was not applied."""


class Failure(NamedTuple):
    """The server ends the connection; always its last line."""

    code: ErrorCode
    """Which error it is."""
    message: str
    """What is wrong, in a sentence."""
    rows: int
    """How many rows of the stream (of the connection, if it is anonymous) are decided and durable."""
    sequence: int
    """Durable rows of the engine: the point in time of this message."""


class Summary(NamedTuple):
    """The counts of a connection, after the end of its input; always the server's last line."""

    rows: int
    """Rows of this connection that were decided."""
    applied: int
    """How many of these were applied."""
    refused_by_outcome: Mapping[Outcome, int]
    """The others, by outcome, in order of precedence."""
    skipped: int
    """Rows that were sent again and had been decided before."""
    sequence: int
    """Durable rows of the engine: the point in time of this message."""
    stream: str | None = None
    """The stream's name, if it has one."""
    resume: int | None = None
    """The named stream's position now."""

    @property
    def refused(self) -> int:
        """Rows of this connection that were not applied."""
        return self.rows - self.applied


class RefusedRows(NamedTuple):
    """Several rows that were not applied. On the wire, each becomes one line, a :class:`Refused`."""

    rows: list[int]
    """Their numbers in the stream, or in the connection if it is anonymous."""
    codes: list[int]
    """The outcome of each."""


Reply = Resume | Ack | Refused | Failure | Summary
"""A message to a sender: one line."""
Event = Resume | Ack | RefusedRows | Failure | Summary
"""A message of a server's session."""
