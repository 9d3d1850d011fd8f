import asyncio
from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

from holdfast.kernel.inlet import Inlet, Totals
from holdfast.streaming.sources import Pieces
from holdfast.streaming.statistics import SourceState
from holdfast.streaming.stream import Lane, Stream

@disjoint_base
class Entry(Inlet):
    kind: str
    lane: Lane
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> SourceState: ...
    @property
    def error(self) -> Exception | None: ...
    def seconds(self, now: float) -> float: ...

@disjoint_base
class Books:
    def __init__(
        self,
        clock: Callable[[], float],
        running: SourceState,
        readers: asyncio.Semaphore,
        reports_max: int,
    ) -> None: ...
    @property
    def streams(self) -> dict[str, Stream]: ...
    @property
    def totals(self) -> Totals: ...
    @property
    def number(self) -> int: ...
    @property
    def readers(self) -> asyncio.Semaphore: ...
    def expect(
        self,
        source_kind: type[Any],
        open_kind: Callable[[Any, asyncio.Semaphore], Pieces],
        like: Stream,
    ) -> None: ...
    def open(self, source: object, name: str | None = None) -> tuple[Stream, Pieces]: ...
    def open_other(self, source: object, name: str | None) -> tuple[Stream, Pieces]: ...
    def enter(self, name: str | None, pieces: Pieces, like: Stream) -> tuple[Stream, Pieces]: ...
    def close(self, entry: Stream, state: SourceState, error: Exception | None = None) -> None: ...
    def running_streams(self) -> list[Stream]: ...
