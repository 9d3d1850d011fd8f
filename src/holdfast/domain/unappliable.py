"""The error for an outcome that a journal holds and no ledger can follow."""

from __future__ import annotations

from holdfast.domain.picklable import Picklable


class UnappliableError(Picklable, Exception):
    """A row cannot have come to the outcome that was journaled for it: the rows before it do not allow its effect.

    Args:
        row: The row's number in its batch.
        reason: What stands against it.
    """

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(f"row {row} cannot have been applied: {reason}")
        self.row = row
        self.reason = reason
