"""What all sessions of a server share: the engine they feed, its policy, the limits, the streams, and who may do what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from holdfast.engine.policy import Action, CompiledPolicy, ErrorPolicy
from holdfast.protocol.limits import Limits
from holdfast.protocol.registry import Registry
from holdfast.protocol.wire import ErrorCode

if TYPE_CHECKING:
    from typing import Protocol

    from holdfast.engine.engine import Engine

    class Grant(Protocol):
        """What a token allows."""

        def allows(self, stream: str | None) -> bool:
            """Say whether it allows a stream; None is an anonymous one."""

    class Authorizer(Protocol):
        """Knows the tokens."""

        def find(self, token: str) -> Grant | None:
            """Look up what a token allows; None for one that is not known."""


class Intake:
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

    __slots__ = (
        "authorizer",
        "decoder",
        "engine",
        "failures",
        "limits",
        "policy",
        "refused_by_ended",
        "registry",
        "row_bytes_max",
    )

    def __init__(
        self,
        engine: Engine,
        *,
        policy: ErrorPolicy | None = None,
        limits: Limits | None = None,
        authorizer: Authorizer | None = None,
        row_bytes_max: int = 4096,
    ) -> None:
        self.engine = engine
        self.policy = CompiledPolicy(policy or ErrorPolicy())
        self.limits = limits or Limits()
        self.limits.check(row_bytes_max)
        self.row_bytes_max = row_bytes_max
        self.authorizer = authorizer
        self.registry = Registry(self.limits.streams_max)
        # Only a callback sees a row's text; its decoders copy every byte for it.
        self.decoder = engine.new_decoder(keep_source=Action.CALLBACK in self.policy.actions.values())
        self.failures = Counter[ErrorCode]()
        """Sessions that ended with an error, by its code."""
        self.refused_by_ended = 0
        """Rows not applied, of the sessions that have ended."""
