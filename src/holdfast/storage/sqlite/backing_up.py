"""A copy of a ledger's file, made while it is in use."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from holdfast.io.outputs import create_private, remove_partial
from holdfast.storage.ports import StoreError
from holdfast.storage.sqlite.schema import connect_copy, connect_reader, explained

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGES_AT_ONCE = 256


def back_up(path: str, target_path: str, on_progress: Callable[[int, int], None] | None) -> None:
    """Copy a ledger's file as it is to a new file, whole or not at all.

    Raises:
        StoreError: If there is such a file already, or something cannot be read or written.
    """
    if os.path.exists(target_path):
        raise StoreError(f"{target_path}: there is a file already; a backup replaces nothing")
    try:
        create_private(target_path)
    except OSError as error:
        raise StoreError(f"{target_path}: cannot be made: {error.strerror}") from error
    try:
        with (
            explained(target_path),
            closing(connect_reader(path)) as source,
            closing(connect_copy(target_path)) as target,
        ):
            source.backup(
                target,
                pages=_PAGES_AT_ONCE,
                progress=None
                if on_progress is None
                else lambda _, left, pages: on_progress(pages - left, pages),
            )
    except BaseException:
        for suffix in ("", "-journal"):
            remove_partial(target_path + suffix)
        raise
