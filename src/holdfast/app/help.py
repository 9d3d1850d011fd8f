"""How ``--help`` is laid out."""

from __future__ import annotations

import argparse
import sys

from holdfast.app.terminal import terminal_columns


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps descriptions as they are, and finds the terminal's width without an import: one is made for every option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=terminal_columns(sys.stdout) - 2)
