"""Why sending ended before everything was taken; each error says how far it got."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.domain.picklable import Picklable

if TYPE_CHECKING:
    from holdfast.client.report import SendReport
    from holdfast.protocol.messages import ErrorCode


class SendError(Picklable, Exception):
    """Sending ended before the server had taken everything."""

    report: SendReport | None = None
    """How far it got."""


class ServerError(SendError):
    """The server refused the stream, for a reason that trying again would not change.

    Args:
        code: Which reason.
        message: The server's sentence.
        rows: How many rows of the stream (of the connection, where it has no name) are decided.
        sequence: How many rows the server's engine had decided by then.
    """

    def __init__(self, code: ErrorCode, message: str, rows: int, sequence: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.rows = rows
        self.sequence = sequence


class ConnectionLostError(SendError):
    """The server was not reached, or not any more, for as long as was allowed."""


class DeadlineError(SendError):
    """The time that was given is over."""


class ProtocolError(SendError):
    """The peer's replies are not those of a Holdfast server, or contradict each other."""


class StreamMismatchError(SendError):
    """The server remembers more rows of the stream than were ever given: another input went under this name.

    Args:
        message: Says which rows.
        rows: Where the stream stands.
    """

    def __init__(self, message: str, rows: int) -> None:
        super().__init__(message)
        self.rows = rows


class LostRowsError(SendError):
    """The server has forgotten rows that it acknowledged, and they cannot be read again from their source.

    Args:
        message: Says which rows.
        first_row: The first row that has to be given again.
        last_row: The last one.
    """

    def __init__(self, message: str, first_row: int, last_row: int) -> None:
        super().__init__(message)
        self.first_row = first_row
        self.last_row = last_row
