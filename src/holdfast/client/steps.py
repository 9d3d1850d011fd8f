"""What a session asks to be done next."""

from __future__ import annotations

from typing import NamedTuple


class Connect(NamedTuple):
    """Connect, and say :meth:`ClientSession.connected` or :meth:`ClientSession.connection_lost`."""


class Sleep(NamedTuple):
    """Wait, with no connection open."""

    seconds: float


class Seek(NamedTuple):
    """Call the feed's ``seek``, then :meth:`ClientSession.positioned`."""

    row: int


class Read(NamedTuple):
    """Call the feed's ``read`` and give :meth:`ClientSession.take_input` what it gave."""


class Write(NamedTuple):
    """Write all of this while reading replies; tell :meth:`ClientSession.written` of every part."""

    data: bytes | memoryview


class End(NamedTuple):
    """Close the sending side of the connection."""


class Wait(NamedTuple):
    """Wait for replies, or for more input where more may come."""


class Done(NamedTuple):
    """Close the connection: everything is decided."""


Step = Connect | Sleep | Seek | Read | Write | End | Wait | Done
