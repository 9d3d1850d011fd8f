"""What goes wrong with a durable ledger, as exceptions; those of its store are in :mod:`ports`."""

from __future__ import annotations

from holdfast.domain.picklable import Picklable
from holdfast.engine.interface import EngineFullError


class LedgerError(Picklable, Exception):
    """Something is wrong with a ledger, or with what was asked of it."""


class LedgerFailedError(LedgerError):
    """A ledger has stopped because a commit failed: nothing after the durable watermark is acknowledged, now or ever.

    Args:
        name: The ledger.
        reason: Why.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"{name}: the ledger has stopped, since a commit failed: {reason}; what was acknowledged is safe: mend the cause and "
            "open it again"
        )


class LedgerFullError(LedgerError, EngineFullError):
    """A ledger's disk has less room left than it keeps free: nothing was decided; the same can be done when there is room again.

    Args:
        name: The ledger.
        bytes_min: How much is kept free.
    """

    def __init__(self, name: str, bytes_min: int) -> None:
        super().__init__(
            f"{name}: less than {bytes_min:,} bytes are free on its disk, so no row is decided; reading goes on; make room, or "
            "lower the limit (--disk-bytes-min)"
        )


class LedgerClosedError(LedgerError):
    """A ledger is closed: open it again."""

    def __init__(self) -> None:
        super().__init__("this ledger is closed; open it again")


class ProcessForkedError(LedgerError):
    """A ledger was opened before this process was forked off; it belongs to the parent.

    Args:
        name: The ledger.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} was opened by the process that this one was forked from, and belongs to it: open it after the fork"
        )


class ReadOnlyError(LedgerError):
    """A ledger was opened to read only."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is open to read only; open it without read_only=True to change it")


class LedgerSettingsError(LedgerError):
    """A ledger was opened with other settings than it has.

    Args:
        name: The ledger.
        what: What differs: the name of the setting.
        wanted: What was asked for.
        found: What the ledger has.
    """

    def __init__(self, name: str, what: str, wanted: object, found: object) -> None:
        super().__init__(
            f"{name} was made with {what} {found}, and you asked for {wanted}; leave it out to take the ledger's own, "
            "or change it with `holdfast ledger settings`"
        )


class ReplayDiffersError(LedgerError):
    """Replaying the journal does not come to the outcomes that are in it.

    Args:
        name: The ledger.
        sequence: The first decision that differs; the first decision of all is 1.
        journaled: The outcome that was journaled.
        found: The outcome that the replay came to.
    """

    def __init__(self, name: str, sequence: int, journaled: str, found: str) -> None:
        super().__init__(
            f"{name}: replaying decision {sequence} gives {found}, and the journal says {journaled}; nothing is served, since "
            "one of them is wrong. `holdfast ledger verify` says more; after an upgrade that changed outcomes, "
            "`holdfast ledger accept-outcomes` lets the journal stand"
        )
        self.sequence = sequence


class UnfollowableError(LedgerError):
    """The journal says of a row that it was applied, and the state before it does not allow that.

    Args:
        name: The ledger.
        sequence: The decision; the first decision of all is 1.
        reason: What stands against it.
    """

    def __init__(self, name: str, sequence: int, reason: str) -> None:
        super().__init__(
            f"{name}: the journal says that decision {sequence} was applied, and that cannot be: {reason}; its outcomes cannot "
            "be accepted: use the version of Holdfast that decided it, or `holdfast ledger restore --until` what came before"
        )


class StreamBusyError(LedgerError):
    """Somebody else brings rows of this stream now.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"rows of stream {stream!r} are being processed already; wait for that, or use another name"
        )


class SourceBusyError(LedgerError):
    """Somebody else brings rows of this partition now.

    Args:
        topic: The topic.
        partition: The partition.
    """

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(
            f"messages of partition {partition} of topic {topic!r} are being processed already; one consumer at a time does that"
        )


class KeyReusedError(LedgerError):
    """An idempotency key was used for another request before; nothing was decided now.

    Args:
        key: The key.
        decision: The last decision of that request.
    """

    def __init__(self, key: str, decision: int) -> None:
        super().__init__(
            f"idempotency key {key!r} belongs to another request, which was decided as decision {decision:,}; nothing was "
            "decided now: give every request a key of its own, and the same key only to the same request"
        )
