"""Whether a ledger is what was written to it: every checksum, the chain, and a replay that comes to the latest checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.storage.checkpoint_record import open_checkpoint
from holdfast.storage.entry import decode_entry
from holdfast.storage.page_seal import open_page
from holdfast.storage.paging import WAYS_OUT
from holdfast.storage.ports import PAGE_ACCOUNTS, PAGE_CHANGES, PAGE_RUN, StoreDamagedError
from holdfast.storage.raw_texts import unpack_texts
from holdfast.storage.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.domain.settings import Settings
    from holdfast.kernel.ledger.ledger import LedgerCore
    from holdfast.storage.ports import CheckpointRecord, Reader


class Verified(NamedTuple):
    """What was found to be whole."""

    entries: int
    decisions: int
    checkpoints: int
    raw_texts: int
    """Entries whose raw texts and addresses are there and are those that were kept."""
    raw_texts_erased: int
    compared_at: int
    """The sequence of the checkpoint that the replay came to; 0 if there is no checkpoint."""
    accepted: int
    """How many outcomes an operator has let stand to which the rules of then did not come."""


def verify(
    reader: Reader, name: str, created: Settings, on_progress: Callable[[int, int], None] | None = None
) -> Verified:
    """Check everything; the ledger may be in use.

    Raises:
        StoreDamagedError: If something is not what was written; the message names it.
        ReplayDiffersError: If the replay does not come to the journaled outcomes.
    """
    checkpoints = reader.checkpoints()
    texts = erased = entries = accepted = 0
    newest = checkpoints[0] if checkpoints else None
    # Replayed first: it checks every entry up to the checkpoint, in the chain.
    if newest is None:
        Recovery(reader, name, created, on_progress=on_progress).run(checkpoint=0)
    else:
        verify_checkpoint(reader, name, created, newest, on_progress)
    for record in checkpoints[1:]:
        _check_seals(reader, name, record)
    chain = None
    for stored in reader.entries(reader.first_sequence()):
        entry = decode_entry(name, stored)
        if chain is not None and (entry.hash_before, entry.sequence) != chain:
            raise StoreDamagedError(
                f"{name}: the entry at decision {entry.sequence} does not follow the one before it"
            )
        chain = (entry.hash, entry.end)
        entries += 1
        accepted += 0 if entry.sections.accepted is None else entry.sections.accepted.differences
        raw = entry.sections.raw
        if raw is not None:
            kept = reader.raw_text(entry.sequence)
            try:
                found = None if kept is None else unpack_texts(kept.data, raw)
            except ValueError as error:
                raise StoreDamagedError(f"{name}: the entry at decision {entry.sequence}: {error}") from error
            texts += found is not None
            erased += found is None
    return Verified(
        entries,
        0 if chain is None else chain[1],
        len(checkpoints),
        texts,
        erased,
        0 if newest is None else newest.sequence,
        accepted,
    )


def verify_checkpoint(
    reader: Reader,
    name: str,
    created: Settings,
    record: CheckpointRecord,
    on_progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Check that a replay comes to the content of a checkpoint: from nothing, or, if entries were pruned, from the oldest one.

    Returns:
        Whether the replay had to follow outcomes that were accepted.

    Raises:
        StoreDamagedError: If something is not what was written; the message names it.
        ReplayDiffersError: If the replay does not come to the journaled outcomes.
    """
    oldest = reader.checkpoints()[-1].number if reader.first_sequence() > 0 else 0
    recovery = Recovery(reader, name, created, on_progress=on_progress)
    replayed = recovery.run(until=record.sequence, checkpoint=oldest)
    restored = Recovery(reader, name, created).run(until=record.sequence, checkpoint=record.number)
    for core in (replayed.core, restored.core):
        load_all(core, reader, name, record.number)
    is_same = replayed.core.digest() == restored.core.digest()
    is_same = is_same and replayed.core.counts() == restored.core.counts()
    if not (is_same and replayed.remembered.has_content_of(restored.remembered)):
        raise StoreDamagedError(
            f"{name}: checkpoint {record.number} (decision {record.sequence}) has another content than a replay of the "
            f"journal; {WAYS_OUT}"
        )
    return bool(recovery.acceptances)


def _check_seals(reader: Reader, name: str, record: CheckpointRecord) -> None:
    """Check every checksum of a checkpoint.

    Raises:
        StoreDamagedError: If something is not what was written; the message names it.
    """
    try:
        open_checkpoint(record)
        for kind in (PAGE_ACCOUNTS, PAGE_RUN, PAGE_CHANGES):
            for page in reader.pages(kind, record.number):
                open_page(kind, page.number, page.data)
    except ValueError as error:
        raise StoreDamagedError(
            f"{name}: checkpoint {record.number} (decision {record.sequence}) is damaged: {error}; {WAYS_OUT}"
        ) from error


def load_all(core: LedgerCore, reader: Reader, name: str, checkpoint: int) -> None:
    """Bring all pages of records into memory.

    Raises:
        StoreDamagedError: If one of them is not what was written.
    """
    for number in core.absent_pages():
        data = reader.page(PAGE_RUN, number, checkpoint)
        if data is None:
            raise StoreDamagedError(f"{name}: page {number} of transactions is missing; {WAYS_OUT}")
        try:
            core.load_page(PAGE_RUN, number, open_page(PAGE_RUN, number, data))
        except ValueError as error:
            raise StoreDamagedError(f"{name}: checkpoint {checkpoint}: {error}; {WAYS_OUT}") from error
