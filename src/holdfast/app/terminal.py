"""The width of a terminal."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    from typing import Protocol

    class HasDescriptor(Protocol):
        """A file of the system's."""

        def fileno(self) -> int:
            """Give its descriptor."""


_COLUMNS_DEFAULT = 80


def terminal_columns(terminal: HasDescriptor | None) -> int:
    """Say how wide a terminal is: what ``COLUMNS`` says, else what the terminal says, else 80."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        return int(columns)
    if terminal is None:
        return _COLUMNS_DEFAULT
    try:
        # A terminal that does not know its width says 0.
        return os.get_terminal_size(terminal.fileno()).columns or _COLUMNS_DEFAULT
    except (OSError, ValueError):
        return _COLUMNS_DEFAULT
