"""Opening a ledger: made if there is none, recovered, and compared with what was asked for."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from holdfast.storage.creation import check_wanted, find_settings
from holdfast.storage.paging import state_bytes_max
from holdfast.storage.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from holdfast.storage.ports import Store
    from holdfast.storage.recovery import Recovered


def recover_ledger(  # noqa: PLR0917  # what was asked for when the ledger was opened
    store: Store,
    wanted: dict[str, Any],
    batch_rows: int | None,
    checkpoint: int | None,
    memory_bytes_max: int | None,
    on_progress: Callable[[int, int], None] | None,
    is_read_only: bool,  # the same
) -> Recovered:
    """Make the ledger if there is none, bring its state back, and check that its settings are those that were asked for.

    Args:
        store: The ledger's store.
        wanted: Settings by name, those that were asked for; None where nothing was.
        batch_rows: How many rows are decided at a time.
        checkpoint: The newest checkpoint to recover from; 0 replays everything.
        memory_bytes_max: How much memory the ledger may take.
        on_progress: Called with how many decisions are replayed and how many there are.
        is_read_only: Whether nothing is made or changed.

    Raises:
        StoreError: If there is no ledger and none may be made, or something cannot be read.
        LedgerError: If it has other settings, or the replay does not come to the journaled outcomes.
    """
    if not is_read_only:
        store.discard_unpublished()
    with closing(store.reader()) as reader:
        created = find_settings(store, reader, wanted, batch_rows, may_create=not is_read_only)
        recovery = Recovery(
            reader,
            store.name,
            created,
            memory_bytes_max=state_bytes_max(memory_bytes_max),
            on_progress=on_progress,
        )
        recovered = recovery.run(checkpoint=checkpoint)
    check_wanted(store.name, recovered.core.settings, wanted)
    if checkpoint is not None and not is_read_only:
        # Pages of later ones would be taken for those of checkpoints to come.
        store.discard_checkpoints(recovered.checkpoints[0].number if recovered.checkpoints else 0)
    return recovered
