"""SQLite through apsw, which lets tests put a file system of their own below it, behind the interface that the store uses."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from holdfast.storage.sqlite import backing_up, reader, schema, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

apsw: Any = pytest.importorskip("apsw")


class Cursor:
    """What the store uses of a cursor."""

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        """Give the first row."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        """Give all rows."""
        return self._rows

    def __iter__(self) -> Any:
        return iter(self._rows)


@contextmanager
def errors_of_the_driver() -> Iterator[None]:
    """Raise errors as the driver that ships does."""
    try:
        yield
    except apsw.Error as error:
        raised = sqlite3.OperationalError(str(error))
        raised.sqlite_errorcode = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
        raise raised from error


class Connection:
    """A connection of apsw's, as the store expects one."""

    def __init__(self, name: str, vfs: str, flags: int) -> None:
        with errors_of_the_driver():
            self.raw = apsw.Connection(name, vfs=vfs, flags=flags)
            self.raw.set_busy_timeout(1000)

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> Cursor:
        """Run a statement."""
        with errors_of_the_driver():
            rows = list(self.raw.execute(statement, values))
            return Cursor(rows, self.raw.changes())

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open."""
        return bool(self.raw.in_transaction)

    def executemany(self, statement: str, many: Any) -> None:
        """Run a statement for many values."""
        with errors_of_the_driver():
            self.raw.executemany(statement, [tuple(values) for values in many])

    def backup(self, target: Connection, *, pages: int, progress: Callable[..., None] | None) -> None:
        """Copy everything to another database."""
        assert progress is None
        with errors_of_the_driver():
            copy = target.raw.backup("main", self.raw, "main")
            try:
                while not copy.done:
                    copy.step(pages)
            finally:
                # What it says again of a step that failed; apsw mixes up several errors here.
                with suppress(apsw.Error, SystemError):
                    copy.finish()

    def close(self) -> None:
        """Close it. What a file system says meanwhile does not come out of the driver that ships, though it does of apsw."""
        with suppress(apsw.Error):
            self.raw.close()


def drive_with(monkeypatch: pytest.MonkeyPatch, vfs: str) -> None:
    """Have stores opened from here on use apsw and a file system of the tests', for whatever they open."""
    writing = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

    def set_up(connection: Connection, settings: tuple[str, ...]) -> Connection:
        try:
            for setting in settings:
                connection.execute(f"PRAGMA {setting}")
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_writer(path: str) -> Connection:
        return set_up(Connection(path, vfs, writing), schema.WRITER_STEPS)

    def connect_reader(path: str) -> Connection:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        return set_up(Connection(f"file:{quote(path)}?mode=ro", vfs, flags), schema.READER_SETTINGS)

    def connect_copy(path: str) -> Connection:
        return Connection(path, vfs, writing)

    for module, name, function in (
        (store, "connect_writer", connect_writer),
        (store, "connect_reader", connect_reader),
        (backing_up, "connect_reader", connect_reader),
        (backing_up, "connect_copy", connect_copy),
        (reader, "connect_reader", connect_reader),
    ):
        monkeypatch.setattr(module, name, function)
