"""What one connection, and all of them together, may cost a server."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of a server; each one that is exceeded ends a connection with an error of its own.

    Raises:
        ValueError: If one is negative or zero where it must not be, or two do not go together.
    """

    connections_max: int = 12_000
    """Connections open at a time."""
    connection_bytes_max: int = 64 * 1024
    """Bytes kept for one connection: its partial line and the replies it has not read."""
    line_bytes_max: int = 64 * 1024
    """How long a line may grow while it has no end."""
    idle_seconds_max: float = 600.0
    """How long a connection may be silent; 0 is for ever."""
    handshake_seconds_max: float = 10.0
    """How long directives and header may take."""
    line_seconds_max: float = 30.0
    """How long a line may take from its first byte to its end."""
    replies_seconds_max: float = 30.0
    """How long a sender may be paused because it does not read its replies."""
    streams_max: int = 1_000_000
    """Named streams whose positions are remembered."""
    memory_bytes_max: int = 0
    """The memory of ledger, connections and stream names together; 0 lets the server choose."""
    linger_seconds_max: float = 2.0
    """How long a connection stays open after its end, for its last line to be read."""
    linger_bytes_max: int = 1024 * 1024
    """How many bytes are read and thrown away meanwhile."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name not in {"idle_seconds_max", "memory_bytes_max"}):
                raise ValueError(f"{field.name} is greater than 0, not {value}")

    def check(self, row_bytes_max: int) -> None:
        """Hold the limits against the longest row.

        Raises:
            ValueError: If a row of that length could never be taken.
        """
        row = row_bytes_max + LINE_END_BYTES_MAX
        for name, least in (("line_bytes_max", row), ("connection_bytes_max", row + REPLY_BYTES_MAX)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, too little for one row of row_bytes_max, {row_bytes_max} bytes; "
                    f"make it at least {least}"
                )


REPLY_BYTES_MAX = 36 * 1024
"""What may be kept of a connection beside a row: unsent replies, and input that waits until they are sent."""
LINE_END_BYTES_MAX = 8
"""What is kept of a line beyond the longest row: its CR, a byte order mark, and the byte that shows that it is too long."""
