"""Where every named stream stands, and which connection sends it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.messages import ErrorCode, WireError

if TYPE_CHECKING:
    from typing import Protocol

    class Owner(Protocol):
        """The connection that sends a stream."""

        def superseded(self) -> None:
            """End it: a newer one takes over. It gives the stream back before this returns."""


class Position(NamedTuple):
    """How far a stream has got."""

    rows: int = 0
    """How many of its rows are decided."""
    digest: int = 0
    """The digest of these rows."""


_START = Position()


class Registry:
    """Positions by stream name, for as long as the server lives; a stream has one owner, and the newest wins.

    Args:
        streams_max: How many names are remembered.
    """

    __slots__ = ("_owners", "_positions", "_streams_max")

    def __init__(self, streams_max: int) -> None:
        self._streams_max = streams_max
        self._positions: dict[str, Position] = {}
        self._owners: dict[str, Owner] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def position(self, name: str) -> Position:
        """Say where a stream was when its last owner gave it back; at its start if the name is new."""
        return self._positions.get(name, _START)

    def claim(self, name: str, owner: Owner) -> Position:
        """Make somebody the owner of a stream, and end whoever was it before.

        Returns:
            Where it is.

        Raises:
            WireError: TOO_MANY_STREAMS, if the name is new and there is no room for it.
        """
        former = self._owners.get(name)
        if former is not None:
            former.superseded()
        if name not in self._positions:
            if len(self._positions) >= self._streams_max:
                raise WireError(
                    ErrorCode.TOO_MANY_STREAMS,
                    f"the server remembers {self._streams_max} streams, as many as it may; send under a known name or none",
                )
            self._positions[name] = _START
        self._owners[name] = owner
        return self._positions[name]

    def release(self, name: str, position: Position) -> None:
        """Give a stream back, by its owner.

        Args:
            name: The stream.
            position: Where it is.
        """
        del self._owners[name]
        if position.rows:
            self._positions[name] = position
        else:
            # A name without a row says nothing that a new name does not: it is not worth the memory.
            del self._positions[name]
