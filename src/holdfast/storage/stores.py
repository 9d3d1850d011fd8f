"""Which store a location means: the one place that chooses among the adapters."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.storage.ports import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.storage.ports import Store
    from holdfast.storage.postgres.follower import PostgresFollower

_POSTGRES = ("postgresql://", "postgres://")


def is_url(location: str) -> bool:
    """Whether a location is the URL of a database server, and no path."""
    return location.startswith(_POSTGRES)


def has_password(location: str) -> bool:
    """Whether a location is a URL with a password in it."""
    if not is_url(location):
        return False
    from holdfast.storage.postgres.location import has_password as url_has_password  # noqa: PLC0415  # where it is needed

    return url_has_password(location)


def open_store(
    location: str | os.PathLike[str],
    *,
    read_only: bool = False,
    may_wait: Callable[[], bool] | None = None,
) -> Store:
    """Open the store at a path or URL.

    Args:
        location: A path, or a ``postgresql://`` URL.
        read_only: Whether to read only, beside the process that writes.
        may_wait: Asked again and again while another process writes to a ledger in PostgreSQL; False, or nobody to ask, ends
            the waiting.

    Raises:
        StoreBusyError: If another process writes to it.
        StoreError: If it cannot be opened.
    """
    where = os.fsdecode(location)
    if is_url(where):
        return _open_postgres(where, read_only=read_only, may_wait=may_wait)
    from holdfast.storage.sqlite.store import SqliteStore  # noqa: PLC0415  # this is the one place that chooses

    return SqliteStore.open(where, read_only=read_only)


def open_follower(location: str) -> PostgresFollower:
    """Open what keeps tables for SQL beside a ledger in PostgreSQL.

    Raises:
        StoreError: If the location is no URL, or there is no ledger.
    """
    if not is_url(location):
        raise StoreError(
            f"{location}: tables follow a ledger in PostgreSQL only (postgresql://…); `holdfast ledger` reads this one"
        )
    try:
        from holdfast.storage.postgres.follower import PostgresFollower as Follower  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise _missing_extra(error) from error
    return Follower(location)


def _open_postgres(url: str, *, read_only: bool, may_wait: Callable[[], bool] | None) -> Store:
    try:
        from holdfast.storage.postgres.store import PostgresStore  # noqa: PLC0415  # the same, and an extra
    except ImportError as error:
        raise _missing_extra(error) from error
    return PostgresStore.open(url, read_only=read_only, may_wait=may_wait)


def _missing_extra(error: ImportError) -> StoreError:
    return StoreError(
        f"a ledger in PostgreSQL needs the package psycopg ({error}): pip install 'holdfast[postgres]'"
    )
