"""Why sending ended before everything was taken; each error says how far it got."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from holdfast.domain.picklable import Picklable

if TYPE_CHECKING:
    from holdfast.client.report import SendReport
    from holdfast.protocol.messages import ErrorCode


class ConnectionFault(StrEnum):
    """Why a connection will never work as it is set up. It is not tried again."""

    HOST_NOT_FOUND = "HOST_NOT_FOUND"
    """There is no host of this name."""
    TLS_REQUIRED = "TLS_REQUIRED"
    """The server speaks TLS, and this side was not told to."""
    TLS_NOT_SPOKEN = "TLS_NOT_SPOKEN"
    """The server does not speak TLS, or none that this side speaks."""
    SERVER_CERTIFICATE = "SERVER_CERTIFICATE"
    """This side does not trust the server's certificate."""
    CLIENT_CERTIFICATE = "CLIENT_CERTIFICATE"
    """The server refuses this side's certificate, or wants one and got none."""


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
    """The server was not reached, or not any more, for as long as was allowed; or never can be.

    Args:
        message: Says what happened.
        fault: Why it was not tried again; None if it was tried for as long as the limits allow.
    """

    def __init__(self, message: str, fault: ConnectionFault | None = None) -> None:
        super().__init__(message)
        self.fault = fault


class DeadlineError(SendError):
    """The time that was given is over."""


class ProtocolError(SendError):
    """The peer's replies are not those of a Holdfast server, or contradict each other or what was sent."""


class SettingsMismatchError(SendError):
    """Amounts are given in units, and the server keeps another number of decimals than the client was told.

    Args:
        client_decimals: What the client was told.
        server_decimals: What the server says.
    """

    def __init__(self, client_decimals: int, server_decimals: int) -> None:
        super().__init__(
            f"amounts are given in units of {client_decimals} decimals, but the server keeps {server_decimals}: "
            f"pass decimals={server_decimals} and scale the amounts to it"
        )
        self.client_decimals = client_decimals
        self.server_decimals = server_decimals


class StreamMismatchError(SendError):
    """The server has decided other rows under the name of the stream than those that are given.

    Args:
        message: Says which rows.
        rows: How many rows of the stream the server has.
    """

    def __init__(self, message: str, rows: int) -> None:
        super().__init__(message)
        self.rows = rows


class LostRowsError(SendError):
    """The server needs rows that cannot be read again from their source.

    Args:
        message: Says which rows.
        first_row: The first row that has to be given again.
        last_row: The last one.
    """

    def __init__(self, message: str, first_row: int, last_row: int) -> None:
        super().__init__(message)
        self.first_row = first_row
        self.last_row = last_row
