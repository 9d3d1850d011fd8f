"""How long a sender may take, for its header, between rows, for a line, and how long a line may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.messages import ErrorCode, WireError

if TYPE_CHECKING:
    from holdfast.kernel.inlet import Inlet
    from holdfast.protocol.limits import ServerLimits


class InputClock:
    """Follows when the input of a connection came, and its lines.

    Args:
        now: The time at which the connection was opened, in seconds since any fixed point.
    """

    __slots__ = ("_line_began", "_line_bytes", "_line_number", "_opened_at", "received_at")

    def __init__(self, now: float) -> None:
        self._opened_at = now
        # The number of the partial line, and the time since when it has been partial.
        self._line_number = -1
        self._line_bytes = 0
        self._line_began = now
        self.received_at = now
        """When the last bytes arrived."""

    def find_late_header(self, limits: ServerLimits, now: float) -> WireError | None:
        """Give the error if the header has taken too long."""
        limit = limits.handshake_seconds_max
        text = f"the CSV header did not arrive within {limit:g} seconds; send it as soon as the connection is open"
        return _exceeded(now - self._opened_at, limit, ErrorCode.HANDSHAKE_TIMEOUT, text)

    def find_late_input(
        self, limits: ServerLimits, inlet: Inlet, now: float, *, is_held: bool
    ) -> WireError | None:
        """Give the error if the next row or the end of a line has taken too long; while a sender is held, it is not its fault."""
        if is_held:
            self.received_at = self._line_began = now
        if inlet.carried_bytes == 0:
            self._line_number = -1
            limit = limits.idle_seconds_max
            text = f"nothing arrived for {limit:g} seconds; send a blank line now and then to keep a connection open"
            return _exceeded(now - self.received_at, limit, ErrorCode.IDLE_TIMEOUT, text)
        if self._line_number != inlet.lines:
            self._line_number, self._line_began = inlet.lines, now
        limit = limits.line_seconds_max
        text = f"line {self._line_number + 1} has no end {limit:g} seconds after its first byte; send each line whole"
        return _exceeded(now - self._line_began, limit, ErrorCode.LINE_TIMEOUT, text)

    def measure_line(
        self, inlet: Inlet, piece: memoryview, row_bytes_max: int, limit: int
    ) -> WireError | None:
        """Give the error if a line is too long; the decoder keeps only a row's length of one."""
        carried = inlet.carried_bytes
        if carried <= row_bytes_max:
            self._line_bytes = carried
            return None
        newline = bytes(piece).rfind(b"\n")
        self._line_bytes = self._line_bytes + len(piece) if newline < 0 else len(piece) - 1 - newline
        if self._line_bytes <= limit:
            return None
        text = f"line {inlet.lines + 1} has no end after {limit} bytes; end each row with a line feed"
        return WireError(ErrorCode.LINE_TOO_LONG, text)


def _exceeded(seconds: float, limit: float, code: ErrorCode, text: str) -> WireError | None:
    return WireError(code, text) if limit and seconds > limit else None
