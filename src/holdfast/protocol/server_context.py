"""What all sessions of a server share: the engine they feed, its policy, the limits, the streams, and who may do what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from holdfast.engine.policy import Action, CompiledPolicy, ErrorPolicy
from holdfast.engine.review import Review
from holdfast.kernel.inlet import InletPool
from holdfast.protocol.limits import Limits
from holdfast.protocol.messages import ErrorCode
from holdfast.protocol.registry import Registry

if TYPE_CHECKING:
    from typing import Protocol

    from holdfast.engine.interface import AnyEngine
    from holdfast.kernel.inlet import Inlet, Listener

    class Grant(Protocol):
        """What a token allows."""

        def allows(self, stream: str | None) -> bool:
            """Say whether it allows a stream; None is an anonymous one."""

    class Authorizer(Protocol):
        """Knows the tokens."""

        def find(self, token: str) -> Grant | None:
            """Look up what a token allows; None for one that is not known."""


class ServerContext:
    """The one place where rows of all sessions go in.

    Args:
        engine: What the rows are applied to.
        policy: What to do about rows that are not applied, for each connection by itself; they are skipped if not given.
        limits: What a connection may cost.
        authorizer: Knows the tokens; None if nobody needs one. May be exchanged while sessions run: new ones ask the new one.

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
        limits: Limits | None = None,
        authorizer: Authorizer | None = None,
    ) -> None:
        self.engine = engine
        self.limits = limits or Limits()
        self.limits.check(engine.settings.row_bytes_max)
        self.authorizer = authorizer
        self.registry = Registry(self.limits.streams_max)
        compiled = CompiledPolicy(policy or ErrorPolicy())
        self.review = Review(compiled, None, engine.settings.decimals)
        # Only a callback sees a row's text; its decoders copy every byte for it.
        decoder = engine.new_decoder(keep_source=Action.CALLBACK in compiled.actions.values())
        self._pool = InletPool(engine.decide, decoder, compiled.tally())
        self._showing_pool = InletPool(engine.decide, decoder.fresh(), compiled.tally(), shows=True)
        self.failures = Counter[ErrorCode]()
        """Sessions that ended with an error, by its code."""

    def open_inlet(self, stream: str | None, listener: Listener, *, shows: bool) -> Inlet:
        """Open the way in of one session's rows.

        Args:
            stream: The stream's name, if it has one.
            listener: Is asked where the policy stops.
            shows: Whether it wants to hear of every row that is not applied.
        """
        return (self._showing_pool if shows else self._pool).open(stream, listener)

    @property
    def refused_by_ended(self) -> int:
        """Rows not applied, of the sessions that have ended."""
        pools = (self._pool, self._showing_pool)
        return sum(count for pool in pools for count in pool.ended_refused_by_code().values())
