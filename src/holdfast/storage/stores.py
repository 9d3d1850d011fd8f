"""Which store a location means: the one place that chooses among the adapters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.storage.ports import StoreError

if TYPE_CHECKING:
    from holdfast.storage.ports import Store

_POSTGRES = ("postgresql://", "postgres://")


def is_url(location: str) -> bool:
    """Whether a location is the URL of a database server, and no path."""
    return location.startswith(_POSTGRES)


def open_store(location: str | os.PathLike[str], *, read_only: bool = False) -> Store:
    """Open the store at a path.

    Args:
        location: A path.
        read_only: Whether to read only, beside the process that writes.

    Raises:
        StoreBusyError: If another process writes to it.
        StoreError: If it cannot be opened.
    """
    where = os.fsdecode(location)
    if is_url(where):
        raise StoreError(f"{where}: a ledger is one SQLite file for now: give a path")
    from holdfast.storage.sqlite.store import SqliteStore  # noqa: PLC0415  # this is the one place that chooses

    return SqliteStore.open(where, read_only=read_only)
