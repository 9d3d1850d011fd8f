"""The shared state of all sessions of a server: the engine, its policy, the limits, the streams, and the tokens."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from holdfast.engine.policy import Action, CompiledPolicy, ErrorPolicy
from holdfast.engine.review import Review
from holdfast.kernel.inlet import InletPool
from holdfast.protocol.limits import ServerLimits
from holdfast.protocol.messages import ErrorCode
from holdfast.protocol.registry import Registry

if TYPE_CHECKING:
    from typing import Protocol

    from holdfast.domain.origin import Origin
    from holdfast.engine.interface import AnyEngine
    from holdfast.kernel.inlet import Inlet, Listener

    class StreamGrant(Protocol):
        """The streams that a token allows."""

        id: str
        """What the journal calls whoever sends with it."""

        def allows(self, stream: str | None) -> bool:
            """Say whether it allows a stream; None stands for an anonymous stream."""

    class Authorizer(Protocol):
        """Knows the tokens."""

        def find(self, token: str) -> StreamGrant | None:
            """Look up what a token allows; None if the token is unknown."""


class ServerContext:
    """The shared state through which the rows of all sessions reach the engine.

    Args:
        engine: The engine to apply rows to.
        policy: What to do about rows that are not applied, for each connection separately; by default they are skipped.
        limits: The limits of connections and streams.
        authorizer: Knows the tokens; None if none are required. It may be replaced at any time, for new sessions.

    Raises:
        PolicyError: If the policy needs a budget and has none.
        ValueError: If a limit leaves no room for the longest row.
    """

    __slots__ = ("_pool", "_showing_pool", "authorizer", "engine", "failures", "limits", "registry", "review")

    def __init__(
        self,
        engine: AnyEngine,
        *,
        policy: ErrorPolicy | None = None,
        limits: ServerLimits | None = None,
        authorizer: Authorizer | None = None,
    ) -> None:
        self.engine = engine
        self.limits = limits or ServerLimits()
        self.limits.check(engine.settings.row_bytes_max)
        self.authorizer = authorizer
        self.registry = Registry(self.limits.streams_max, engine)
        compiled = CompiledPolicy(policy or ErrorPolicy())
        self.review = Review(compiled, None, engine.settings.decimals)
        # Only a callback sees a row's text, and keeping it means to copy every byte.
        decoder = engine.new_decoder(keep_source=Action.CALLBACK in compiled.actions.values())
        present = engine.decide_present
        self._pool = InletPool(engine.decide, decoder, compiled.tally(), decide_present=present)
        self._showing_pool = InletPool(
            engine.decide, decoder.fresh(), compiled.tally(), shows=True, decide_present=present
        )
        self.failures = Counter[ErrorCode]()
        """Sessions that ended with an error, by its code."""

    @property
    def keeps_actors(self) -> bool:
        """Whether the engine keeps who sends rows, and tokens say who that is."""
        return self.authorizer is not None and self.engine.records_origins

    def open_inlet(self, stream: str | Origin | None, listener: Listener, *, shows: bool) -> Inlet:
        """Open the inlet for one session's rows.

        Args:
            stream: The stream's name, if it has one, or what else is known of where its rows come from.
            listener: The object that is asked at rows where the policy stops.
            shows: Whether the listener also gets every row that is not applied.
        """
        return (self._showing_pool if shows else self._pool).open(stream, listener)

    @property
    def refused_by_ended(self) -> int:
        """How many rows of ended sessions were not applied."""
        pools = (self._pool, self._showing_pool)
        return sum(count for pool in pools for count in pool.ended_refused_by_code().values())
