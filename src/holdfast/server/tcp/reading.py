"""How much is read from a connection at a time."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from typing import TYPE_CHECKING

from holdfast.net.address import Address

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from holdfast.server.tcp.turns import Turns

READ_BYTES = 256 * 1024
"""The most that is read from a connection at a time, into the one buffer that all of them share."""
TLS_READ_BYTES = 32 * 1024
"""The same for encrypted bytes: the TLS library keeps what it is given, for every connection, as long as that takes."""
SMALL_READ_BYTES = 4 * 1024
"""The same for a connection whose rows may each have a reply."""
LATE_READ_BYTES = 8 * 1024
"""The most that is read when the time of a turn is spent."""
FIRST_LATE_READ_BYTES = 2 * LATE_READ_BYTES
"""The same for a connection that has never had more than was read: a batch of some hundred rows, whole and at once."""
READ_BYTES_MIN = 512
"""The least that is read at a time."""
SHORT_BYTES = 256
"""So little input of a connection whose rows may each have a reply is decided even then."""
_LATE_SECONDS = 30e-6
_SECONDS_MIN = 20e-6


def choose_read_bytes(known_bytes: int, bytes_max: int, turns: Turns) -> int:
    """Choose how much to read now.

    Args:
        known_bytes: What :func:`next_read_bytes` said for this connection; 0 if it was not asked yet.
        bytes_max: The most that may be read.
        turns: The turns of the loop; they know what input costs on average.
    """
    size = known_bytes or min(bytes_max, int(turns.piece_seconds / turns.seconds_per_byte))
    if turns.is_spent:
        # To wait for a turn costs as much as to decide such a batch. A sender at full speed gets by with it once.
        bytes_max, seconds_max = (
            (LATE_READ_BYTES, _LATE_SECONDS) if known_bytes else (FIRST_LATE_READ_BYTES, 2 * _LATE_SECONDS)
        )
        size = min(size, bytes_max, int(seconds_max / turns.seconds_per_byte))
    return max(READ_BYTES_MIN, size)


def next_read_bytes(count: int, seconds: float, wanted_seconds: float, bytes_max: int) -> int:
    """Choose how much to read next.

    Args:
        count: Bytes of the last piece of input.
        seconds: What it cost.
        wanted_seconds: What the next one should cost.
        bytes_max: The most that may be read.
    """
    size = int(count * wanted_seconds / max(seconds, _SECONDS_MIN))
    return max(READ_BYTES_MIN, min(size, bytes_max))


def read_received(descriptor: int, buffer: memoryview) -> Iterator[int]:
    """Read what the system has received for a socket by now, piece by piece.

    Args:
        descriptor: The socket's.
        buffer: Where each piece goes.

    Yields:
        How many bytes of the buffer a piece has.
    """
    (left,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))
    while left > 0:
        try:
            count = os.readv(descriptor, [buffer[:left]])
        except OSError:
            return
        if count == 0:
            return
        left -= count
        yield count


def read_peer_address(transport: asyncio.BaseTransport) -> str:
    """Give the address of a sender; empty if it is gone already."""
    found = transport.get_extra_info("peername")
    return str(Address(*found[:2])) if found else ""
