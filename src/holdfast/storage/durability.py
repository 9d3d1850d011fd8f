"""When a decided row counts as durable: what an acknowledgement survives."""

from __future__ import annotations

from typing import NamedTuple

INTERVAL_MS_MAX = 60_000
_FORMS = "always, interval:MILLISECONDS or none"


class Durability(NamedTuple):
    """When the disk is asked to keep what was written. Make one with :func:`parse_durability`."""

    syncs: bool = True
    """Whether the disk is asked at all. If not, a crash of the process loses nothing, a crash of the system may."""
    interval_ms: int = 0
    """How often it is asked: with every commit if this is 0, and otherwise at most this often. A crash of the system may then
    lose what was acknowledged within the interval; a crash of the process loses nothing."""

    def __str__(self) -> str:
        """Write it as on the command line."""
        if not self.syncs:
            return "none"
        return f"interval:{self.interval_ms}" if self.interval_ms else "always"


ALWAYS = Durability()
"""An acknowledgement survives the end of the process, of the system, and of the power: the disk has the rows."""


def parse_durability(text: str) -> Durability:
    """Read a durability as it is written on the command line.

    Raises:
        ValueError: If it is none.
    """
    mode, _, number = text.partition(":")
    if text == "always":
        return ALWAYS
    if text == "none":
        return Durability(syncs=False)
    if mode == "interval" and number.isascii() and number.isdigit() and len(number) < 6:
        interval_ms = int(number)
        if 1 <= interval_ms <= INTERVAL_MS_MAX:
            return Durability(interval_ms=interval_ms)
    raise ValueError(f"durability is {_FORMS} (1 to {INTERVAL_MS_MAX}), not {text!r}")
