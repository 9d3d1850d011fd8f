"""``holdfast`` whose ledgers make no checkpoint while rows go on: what checkpoints cost can be measured beside it.

The one at the end of a ledger is made as always.
"""

from __future__ import annotations

from holdfast.app.cli import main
from holdfast.storage.checkpointing import Checkpointer

_begin_if_due = Checkpointer.begin_if_due


def begin_if_wanted(checkpointer: Checkpointer) -> None:
    """Begin one only if it was asked for."""
    if checkpointer.is_wanted:
        _begin_if_due(checkpointer)


if __name__ == "__main__":
    Checkpointer.begin_if_due = begin_if_wanted  # type: ignore[method-assign,assignment]  # for this process alone
    main()
