"""Named streams: their positions, their owners, and how many there may be."""

from __future__ import annotations

import pytest

from holdfast import Engine
from holdfast.protocol.messages import ErrorCode, WireError
from holdfast.protocol.registry import Position, Registry


class Owner:
    """Gives its stream back when it is superseded, as a session does."""

    def __init__(self, registry: Registry, name: str, rows: int = 0) -> None:
        self._registry = registry
        self._name = name
        self.rows = rows
        self.was_superseded = False

    def superseded(self) -> None:
        """Give the stream back."""
        self.was_superseded = True
        self._registry.release(self._name, Position(self.rows))


def test_positions_outlive_owners() -> None:
    """A stream has the position at which its last owner released it."""
    registry = Registry(2, Engine())
    assert registry.claim("a", Owner(registry, "a")) == Position(0)
    registry.release("a", Position(7))
    assert registry.position("a") == Position(7)
    assert registry.claim("a", Owner(registry, "a")) == Position(7)


def test_newest_owner_wins() -> None:
    """A second owner ends the first and begins at its position."""
    registry = Registry(2, Engine())
    first, second = Owner(registry, "a", rows=5), Owner(registry, "a")
    registry.claim("a", first)
    assert registry.claim("a", second) == Position(5)
    assert (first.was_superseded, second.was_superseded) == (True, False)


def test_first_owner_without_rows_can_be_superseded() -> None:
    """A name that is forgotten during a take-over is remembered again after it."""
    registry = Registry(1, Engine())
    registry.claim("a", Owner(registry, "a"))
    assert registry.claim("a", Owner(registry, "a")) == Position(0)
    registry.release("a", Position(3))
    assert registry.position("a") == Position(3)


def test_names_are_bounded() -> None:
    """A new name beyond the limit is refused; known names are not."""
    registry = Registry(1, Engine())
    registry.claim("a", Owner(registry, "a"))
    registry.release("a", Position(1))
    with pytest.raises(WireError) as raised:
        registry.claim("b", Owner(registry, "b"))
    assert raised.value.code is ErrorCode.TOO_MANY_STREAMS
    assert registry.claim("a", Owner(registry, "a")) == Position(1)
    assert len(registry) == 1


def test_names_without_rows_are_forgotten() -> None:
    """Names without a row take no room."""
    registry = Registry(1, Engine())
    for name in ("a", "b", "c"):
        registry.claim(name, Owner(registry, name))
        registry.release(name, Position(0))
    assert len(registry) == 0
    assert registry.position("a") == Position(0)
