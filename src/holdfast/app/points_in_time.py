"""Points in time on a command line: a number of decisions, or a time of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.app.options import Refuse

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_when(option: str, text: str | None, refuse: Refuse) -> tuple[int | None, int | None]:
    """Read a point in time: a number of decisions, or microseconds since 1970 (UTC); None and None if there is none."""
    if text is None:
        return None, None
    if text.isascii() and text.isdigit():
        return int(text), None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"{option} {text}: give a number of decisions, or a time such as 2026-11-25T18:00:00Z")
    if when.tzinfo is None:
        refuse(f"{option} {text}: say of which zone this time is, Z for UTC: {text}Z")
    return None, (when - _EPOCH) // timedelta(microseconds=1)


def format_time(time_us: int) -> str:
    """Write a point in time in UTC, with milliseconds."""
    when = datetime.fromtimestamp(time_us // 1000 / 1000, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
