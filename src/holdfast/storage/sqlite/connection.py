"""A connection of SQLite that a forked child never closes.

SQLite says so: do not even close a connection in a child of the process that opened it. The last connection to close deletes
SQLite's log by its name; a child that ends late would delete the log of whoever writes to the ledger by then, with what was
acknowledged in it. Python closes what it takes apart at its end, so in a child connections are kept from that.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import weakref
from typing import Any

_open: weakref.WeakSet[LedgerConnection] = weakref.WeakSet()


class LedgerConnection(sqlite3.Connection):
    """A connection that belongs to the process that opened it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._process = os.getpid()
        _open.add(self)

    def close(self) -> None:
        """Close it, but for a child of the process that opened it."""
        if self._process == os.getpid():
            super().close()


def _keep_all() -> None:
    for each in list(_open):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_all)
