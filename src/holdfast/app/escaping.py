"""Text that others wrote, on one line of ours."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Escape control characters: a name or a row may hold line ends, which forge lines, and a terminal's sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
