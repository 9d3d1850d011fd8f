"""Stores of every kind, for tests of what all of them do."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Protocol

import pytest

from holdfast.storage.memory import MemoryStore
from holdfast.storage.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.storage.ports import Store


CONNECTIONS_WARN = sys.version_info >= (3, 13)
"""Whether a connection to SQLite warns when it is collected before it is closed."""


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of the collections after each test."""
    if CONNECTIONS_WARN:
        gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before pytest looks for what could not be raised
def pytest_runtest_teardown() -> None:
    """Collect what a test left, so that a connection it forgot fails that test and not a later one."""
    if CONNECTIONS_WARN:
        gc.collect()


class Place(Protocol):
    """Where a store is: it can be opened, closed, and opened again."""

    is_durable: bool
    """Whether it belongs to one process at a time, and survives it."""

    def open(self, *, read_only: bool = False) -> Store:
        """Open the store."""


class LocatedPlace:
    """A path or URL."""

    is_durable = True

    def __init__(self, location: str) -> None:
        self.location = location

    def open(self, *, read_only: bool = False) -> Store:
        """Open it."""
        return open_store(self.location, read_only=read_only)


class MemoryPlace:
    """A store in memory, the same each time."""

    is_durable = False

    def __init__(self) -> None:
        self._store = MemoryStore()

    def open(self, *, read_only: bool = False) -> Store:  # noqa: ARG002  # it is one object
        """Give it."""
        return self._store


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give a place of each kind, with nothing in it."""
    if request.param == "memory":
        return MemoryPlace()
    if request.param == "sqlite":
        return LocatedPlace(str(tmp_path / "p.db"))
    return LocatedPlace(request.getfixturevalue("postgres_url"))
