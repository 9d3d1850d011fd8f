"""What every store does: one suite for all adapters."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Ledger
from holdfast.storage.ports import (
    CheckpointRecord,
    Commit,
    RawText,
    StoreBusyError,
    StoredEntry,
    StoredPage,
    StoreError,
)
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.storage.ports import Reader, Store
    from storage.conftest import Place

META = {"settings": b"\x00\xff", "ledger": b""}


def entry(sequence: int, count: int = 1, data: bytes = b"x") -> StoredEntry:
    """Make an entry whose time follows its sequence."""
    return StoredEntry(sequence, count, 1000 + sequence, data)


def publish(number: int, sequence: int = 0) -> CheckpointRecord:
    """Make a checkpoint's record."""
    return CheckpointRecord(number, sequence, b"record %d" % number)


@contextmanager
def created(place: Place) -> Iterator[tuple[Store, Reader]]:
    """Give a new store, and a reader of it."""
    with place.open() as store:
        store.create(META)
        with closing(store.reader()) as reader:
            yield store, reader


def test_nothing_is_there_at_first(place: Place) -> None:
    """A store without a ledger reads as empty; one that was just made, too."""

    def check_empty(reader: Reader) -> None:
        assert reader.first_sequence() == 0
        assert reader.last_entry() is None
        assert reader.entry_at(1 << 60) is None
        assert list(reader.entries(0)) == list(reader.entries(0, newest_first=True)) == []
        assert reader.checkpoints() == []
        assert reader.raw_text(0) is None
        assert reader.page(1, 0) is None
        assert list(reader.pages(1)) == []
        assert reader.page_numbers(1) == []
        assert reader.sizes()[:5] == (0, 0, 0, 0, 0)

    with place.open() as store:
        store.discard_unpublished()
        with closing(store.reader()) as reader:
            check_empty(reader)
            assert reader.meta("settings") is None
            store.create(META)
            check_empty(reader)
            assert {key: reader.meta(key) for key in META} == META
            assert reader.meta("other") is None
        with pytest.raises(StoreError, match="a ledger here already"):
            store.create(META)
    with place.open() as store, pytest.raises(StoreError, match="a ledger here already"):
        store.create(META)


def test_entries_are_read_in_order(place: Place) -> None:
    """From any decision, forwards and backwards, by time, across any number of them; after opening again, too."""
    entries = [entry(3 * number, 3, b"%d" % number) for number in range(30)]
    with created(place) as (store, reader):
        for start in range(0, 30, 7):
            store.commit(Commit(entries[start : start + 7]), sync=start % 2 == 0)
        store.sync()
        assert reader.last_entry() == entries[-1]
    with place.open(read_only=True) as store, closing(store.reader()) as reader:
        for sequence in (0, 1, 2, 3, 44, 45, 88, 89, 90, 1000):
            later = [each for each in entries if each.sequence + each.count > sequence]
            assert list(reader.entries(sequence)) == later
            assert list(reader.entries(sequence, newest_first=True)) == later[::-1]
        assert reader.entry_at(999) is None
        assert [reader.entry_at(1000 + time) for time in (0, 2, 3, 86, 87, 900)] == [
            entries[number] for number in (0, 0, 1, 28, 29, 29)
        ]


def test_a_commit_is_there_whole_or_not_at_all(place: Place) -> None:
    """One part that cannot be written leaves nothing of the others."""
    with created(place) as (store, reader):
        store.commit(Commit([entry(0)], [RawText(0, b"text")], 1, [StoredPage(1, 0, b"page")], publish(1)))
        with pytest.raises(StoreError):
            store.commit(Commit([entry(1), entry(0)], (), 2, [StoredPage(1, 0, b"later")], publish(2)))
        assert list(reader.entries(0)) == [entry(0)]
        assert reader.page(1, 0) == b"page"
        assert reader.checkpoints() == [publish(1)]
    with place.open() as store:
        store.commit(Commit([entry(1)]))
        with closing(store.reader()) as reader:
            assert list(reader.entries(0)) == [entry(0), entry(1)]


def test_large_values_come_back_as_they_were(place: Place) -> None:
    """Also bytes of every value, and none."""
    values = [os.urandom(3_000_000), bytes(range(256)), b"", b"\\x00'\";--"]
    with created(place) as (store, reader):
        for number, value in enumerate(values):
            page = StoredPage(2, (1 << 32) // 8192 + number, value)
            store.commit(Commit([entry(number, data=value)], [RawText(number, value)], 1, [page]))
        assert [each.data for each in reader.entries(0)] == values
        assert [reader.raw_text(number) for number in range(4)] == [*map(RawText, range(4), values)]
        assert [page.data for page in reader.pages(2)] == values
        far = entry((1 << 62) - 1)
        store.commit(Commit([far]))
        assert reader.last_entry() == far


def test_versions_of_pages(place: Place) -> None:
    """The newest, the newest at or before a checkpoint, all in order; what was never published goes after a crash."""
    with created(place) as (store, reader):
        for checkpoint in (1, 2, 3):
            pages = [
                StoredPage(2, number, b"%d of %d" % (number, checkpoint))
                for number in range(0, 200, checkpoint)
            ]
            store.commit(Commit((), (), checkpoint, pages, publish(checkpoint, checkpoint)))
        store.commit(Commit((), (), 4, [StoredPage(2, 7, b"unpublished"), StoredPage(3, 0, b"other kind")]))
        assert reader.page(2, 7) == b"unpublished"
        assert [reader.page(2, 6, newest) for newest in (0, 1, 2, 3, 4)] == [
            None, b"6 of 1", b"6 of 2", b"6 of 3", b"6 of 3",
        ]  # fmt: skip
        assert reader.page(2, 200) is None
        assert reader.page_numbers(2) == list(range(200))
        assert reader.page_numbers(2, 0) == []
        expected = [
            b"%d of %d" % (number, max(each for each in (1, 2, 3) if number % each == 0))
            for number in range(200)
        ]
        assert [page.data for page in reader.pages(2, 3)] == expected
        assert [page.number for page in reader.pages(2, 3)] == list(range(200))
        assert [page.data for page in reader.pages(2, 1)] == [b"%d of 1" % number for number in range(200)]
    with place.open() as store, closing(store.reader()) as reader:
        store.discard_unpublished()
        assert reader.page(2, 7) == b"7 of 1"
        assert reader.page_numbers(3) == []
        store.discard_checkpoints(1)
        assert reader.checkpoints() == [publish(1, 1)]
        assert reader.page(2, 6) == b"6 of 1"


def test_what_only_a_withdrawn_checkpoint_needs_goes(place: Place) -> None:
    """And what others need stays; housekeeping works in pieces."""
    with created(place) as (store, reader):
        for checkpoint in (1, 2, 3):
            pages = [
                StoredPage(1, number, b"%d" % checkpoint) for number in range(150) if number % checkpoint == 0
            ]
            store.commit(Commit((), (), checkpoint, pages, publish(checkpoint)))
        whole = reader.sizes().pages
        store.tidy()
        assert reader.sizes().pages == whole
        store.drop_checkpoint(1)
        for _ in range(10):
            store.tidy()
        assert reader.checkpoints() == [publish(3), publish(2)]
        assert reader.sizes().pages == whole - 75
        assert [page.data for page in reader.pages(1, 2)] == [b"2", b"1"] * 75
        store.drop_checkpoint(2)
        store.compact()
    with place.open() as store, closing(store.reader()) as reader:
        for _ in range(10):
            store.tidy(is_idle=True)
        assert reader.sizes().pages == 150
        assert [page.data for page in reader.pages(1)] == [
            b"3" if number % 3 == 0 else b"2" if number % 2 == 0 else b"1" for number in range(150)
        ]


def test_a_transaction_of_many_commits(place: Place) -> None:
    """Nobody sees it before its end; it can be dropped, and one that is never ended is dropped as well."""
    with created(place) as (store, reader):
        store.begin_atomic()
        store.commit(Commit([entry(0)]))
        store.commit(Commit([entry(1)]))
        store.tidy()
        assert reader.last_entry() is None
        store.end_atomic(keep=False)
        assert reader.last_entry() is None
        store.begin_atomic()
        store.commit(Commit([entry(0), entry(1)]))
        store.commit(Commit([entry(2)]))
        store.end_atomic(keep=True)
        assert len(list(reader.entries(0))) == 3
        store.commit(Commit([entry(3)]))
        store.begin_atomic()
        store.commit(Commit([entry(4)]))
    with place.open() as store, closing(store.reader()) as reader:
        assert reader.last_entry() == entry(3)


def test_a_frozen_reader(place: Place) -> None:
    """It sees one state, whatever is committed meanwhile."""
    with created(place) as (store, reader):
        store.commit(Commit([entry(0)]))
        with reader.frozen():
            assert reader.last_entry() == entry(0)
            store.commit(Commit([entry(1)], (), 1, [StoredPage(1, 0, b"")], publish(1)))
            assert reader.last_entry() == entry(0)
            assert reader.checkpoints() == []
            assert reader.page(1, 0) is None
        assert reader.last_entry() == entry(1)


def test_pruning_and_erasing(place: Place) -> None:
    """Old entries go with their texts; texts are erased and counted."""
    with created(place) as (store, reader):
        entries = [entry(10 * number, 10) for number in range(6)]
        texts = [RawText(10 * number, b"card %d" % number) for number in range(6)]
        store.commit(Commit(entries, texts))
        assert store.erase_raw_texts(30) == 3
        assert store.erase_raw_texts(30) == 0
        assert [reader.raw_text(10 * number) for number in range(6)] == [
            RawText(0, b""), RawText(10, b""), RawText(20, b""), *texts[3:],
        ]  # fmt: skip
        assert reader.sizes().raw_text_bytes == 18
        store.prune_entries(25)
        assert list(reader.entries(0)) == entries[2:]
        assert reader.first_sequence() == 20
        assert reader.raw_text(0) is None
        assert reader.raw_text(20) == RawText(20, b"")
        store.prune_entries(30)
        assert reader.first_sequence() == 30


def test_one_writer_and_any_number_of_readers(place: Place) -> None:
    """A second writer is told who the first one is; a store that is closed, or only read, writes nothing."""
    if not place.is_durable:
        pytest.skip("a store in memory is one object")
    with created(place) as (store, _):
        with pytest.raises(StoreBusyError, match=str(os.getpid())):
            place.open()
        with place.open(read_only=True) as beside, pytest.raises(StoreError, match="read only"):
            beside.commit(Commit([entry(0)]))
    with pytest.raises(StoreError, match="closed"):
        store.commit(Commit([entry(0)]))
    with place.open():
        pass


def test_a_ledger_on_any_store(place: Place) -> None:
    """Rows, checkpoints, history; closed, opened and verified: the accounts are those of the rows."""
    rows = draw_rows(3000)
    with Ledger.open(place.open()) as ledger:
        for end in (700, 1500, 2200):
            ledger.process(csv_of(rows[:end]), stream="day")
            ledger.checkpoint()
        assert ledger.apply(Deposit(1, 10**6, "1")).is_applied
        assert ledger.durable == 2201
    with Ledger.open(place.open()) as ledger:
        assert ledger.decided == 2201
        report = ledger.process(csv_of(rows), stream="day")
        assert (report.skipped, ledger.durable) == (2200, 3001)
        assert found_accounts(ledger.accounts(as_of=2200)) == expected_accounts(rows[:2200])
        ledger.verify()
