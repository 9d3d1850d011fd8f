"""All of it, or nothing: a load whose rows become durable together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.storage.sections import Note

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    class Undoable(Protocol):
        """What can take back what it decided: a ledger."""

        def begin_atomic(self) -> None:
            """Begin to decide for the time being."""

        def end_atomic(self, undone: Note | None) -> None:
            """Keep everything since then, or undo it and note why."""


class AtomicLoad:
    """A stretch of decisions that stays whole, as a context manager; :meth:`Ledger.atomic` makes one.

    While it lasts, nothing is durable that is decided, and nothing else may decide rows. On leaving, everything becomes durable
    at once if :attr:`is_kept` says so; otherwise, or after an exception, the ledger is as it was before, and notes that.

    Args:
        ledger: The ledger.
    """

    def __init__(self, ledger: Undoable) -> None:
        self._ledger = ledger
        self.is_kept = True
        """Whether the decisions are kept."""

    def __enter__(self) -> Self:
        self._ledger.begin_atomic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reason = "a policy stopped it" if error is None else f"{type(error).__name__}: {error}"
        note = None if self.is_kept and error is None else Note(reason=reason, subject="a load was undone")
        self._ledger.end_atomic(note)
