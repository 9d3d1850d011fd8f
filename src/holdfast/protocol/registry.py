"""The position of every named stream, and the connection that sends it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.protocol.messages import ErrorCode, WireError

if TYPE_CHECKING:
    from typing import Protocol

    from holdfast.engine.streams import KnownStream

    class KnowsStreams(Protocol):
        """What knows the streams that it remembers: an engine."""

        def find_stream(self, name: str) -> KnownStream | None:
            """Give the position of a stream; None if it is not remembered."""

    class Owner(Protocol):
        """The connection that sends a stream."""

        def superseded(self) -> None:
            """End the connection, because a newer one takes over. It releases the stream before this returns."""


class Position(NamedTuple):
    """The position of a stream."""

    rows: int = 0
    """How many of its rows are decided."""
    digest: int = 0
    """The digest of these rows."""
    decided_at: int = 0
    """The engine's watermark that makes all of them durable."""


_START = Position()


class Registry:
    """Positions by stream name; a stream has one owner, and the newest wins.

    What the engine remembers of streams by itself is asked of it, and is not kept here for longer than a stream has an owner.

    Args:
        streams_max: How many names are remembered here.
        engine: Knows the streams that it remembers.
    """

    __slots__ = ("_engine", "_owners", "_positions", "_streams_max")

    def __init__(self, streams_max: int, engine: KnowsStreams) -> None:
        self._streams_max = streams_max
        self._engine = engine
        self._positions: dict[str, Position] = {}
        self._owners: dict[str, Owner] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def position(self, name: str) -> Position:
        """Give a stream's position when its last owner released it; the start if the name is new."""
        found = self._positions.get(name)
        return self._known(name) or _START if found is None else found

    def claim(self, name: str, owner: Owner) -> Position:
        """Make a connection the owner of a stream, and end the previous owner.

        Returns:
            The stream's position.

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
                    f"the server already remembers {self._streams_max} streams, its limit; send under a known name or none",
                )
            self._positions[name] = self._known(name) or _START
        self._owners[name] = owner
        return self._positions[name]

    def release(self, name: str, position: Position) -> None:
        """Release a stream; called by its owner.

        Args:
            name: The stream.
            position: Its position now.
        """
        del self._owners[name]
        if position.rows and self._engine.find_stream(name) is None:
            self._positions[name] = position
        else:
            # A name without a row is no different from a new name, and not worth the memory.
            del self._positions[name]

    def _known(self, name: str) -> Position | None:
        state = self._engine.find_stream(name)
        return None if state is None else Position(state.rows, state.digest, state.decided_at)
