"""Where rows come from: who sent them, from which address; and addresses that can be erased."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Ledger
from holdfast.domain.origin import Actor, Origin
from holdfast.kernel.batch import Batch
from holdfast.storage.entry import decode_entry
from holdfast.storage.memory import MemoryStore
from holdfast.storage.stores import open_store
from storage.ledgers import csv_of, draw_rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.conftest import Place

ANN = Actor("token:00000000000000aa", "192.0.2.7:50311")
LATER = ANN._replace(address="192.0.2.7:50312")
BOB = Actor("token:00000000000000bb", "[2001:db8::1]:9")


def decide(ledger: Ledger, client: int, tx: int, origin: Origin | str | None, position: int = 0) -> None:
    """Decide one row; a client of 0 makes it one that cannot be decoded."""
    row = (1, 0, 0, 0, 12) if client == 0 else (1, client, tx, 10_000, 0)
    ledger.decide(Batch.from_rows([row]), 0, 1, None, origin, position)


def actors_of(place: Place, client: int) -> list[Actor | None]:
    """Tell who sent the rows of a client, in order."""
    with Ledger.open(place.open(read_only=True), read_only=True) as ledger:
        return [step.row.actor for step in ledger.history(client) if step.row is not None]


def test_who_sent_rows_and_what_is_erased(place: Place) -> None:
    """Rows of many senders share entries; addresses go with redact, who it was stays, and verify still passes."""
    ann, bob, carol = Origin(actor=ANN), Origin("day", actor=BOB), Origin(actor=Actor("carol"))
    with Ledger.open(place.open()) as ledger:
        decide(ledger, 1, 1, ann)
        decide(ledger, 1, 2, ann)
        decide(ledger, 1, 3, bob)
        decide(ledger, 1, 4, None)
        decide(ledger, 1, 5, bob, 1)
        decide(ledger, 0, 6, ann)
        decide(ledger, 1, 7, "other")
        decide(ledger, 1, 8, carol)
        ledger.wait_durable()
        half = ledger.decided
        decide(ledger, 1, 9, Origin(actor=LATER))
        with ledger._view() as view:
            explained = view.explain(3).row
            refused = [each.actor for each in view.refused()]
    assert explained is not None
    assert (explained.stream, explained.number, explained.actor) == ("day", 1, BOB)
    assert refused == [ANN]
    expected = [ANN, ANN, BOB, None, BOB, None, Actor("carol"), LATER]
    assert actors_of(place, 1) == expected
    with place.open() as store:
        assert store.erase_raw_texts(half) >= 1
    assert actors_of(place, 1) == [each and each._replace(address="") for each in expected[:-1]] + [LATER]
    with Ledger.open(place.open()) as ledger:
        verified = ledger.verify()
        assert ledger.find_stream("day") is not None
    assert verified.raw_texts_erased >= 1
    assert verified.raw_texts == 1


def test_addresses_are_nowhere_in_the_file_after_redact(tmp_path: Path) -> None:
    """Not in its pages, and not in SQLite's log."""
    path = tmp_path / "p.db"
    with Ledger.open(path) as ledger:
        decide(ledger, 1, 1, Origin(actor=ANN))
    files = [path, tmp_path / "p.db-wal"]

    def found(what: str) -> bool:
        return any(what.encode() in file.read_bytes() for file in files if file.exists())

    assert found(ANN.address)
    with open_store(str(path)) as store:
        store.erase_raw_texts(1)
    assert not found(ANN.address)
    assert found(ANN.id)


def test_no_address_is_kept_where_no_text_is() -> None:
    """raw_bytes_max=0 keeps who it was, and nothing outside the chain."""
    store = MemoryStore()
    with Ledger.open(store, raw_bytes_max=0) as ledger:
        decide(ledger, 1, 1, Origin(actor=ANN))
        decide(ledger, 1, 2, Origin(actor=ANN._replace(address="192.0.2.8:1")))
        assert [step.row and step.row.actor for step in ledger.history(1)] == [Actor(ANN.id)] * 2
        assert ledger.verify().raw_texts == 0
    with closing(store.reader()) as reader:
        assert reader.raw_text(0) is None


def test_library_calls_can_say_who(place: Place) -> None:
    """With process and with apply; what cannot be a name is refused before anything is decided."""
    with Ledger.open(place.open()) as ledger:
        ledger.process(csv_of(draw_rows(300)), stream="day", actor="ann")
        ledger.apply(Deposit(77, 5000, 1), actor="bob")
        ledger.apply(Deposit(77, 5001, 1))
        for wrong in ("x" * 256, "\udc80"):
            with pytest.raises(ValueError, match="an actor"):
                ledger.apply(Deposit(77, 5002, 1), actor=wrong)
            with pytest.raises(ValueError, match="an actor"):
                ledger.process(csv_of(draw_rows(3)), actor=wrong)
        assert ledger.decided == 302
        assert ledger.process(csv_of(draw_rows(300)), stream="day", actor="carol").skipped == 300
    assert actors_of(place, 77) == [Actor("bob"), None]
    assert set(actors_of(place, 3)) == {Actor("ann")}


def test_rows_without_actors_cost_no_byte() -> None:
    """Entries have the sections that they had before there were actors."""
    stores = [MemoryStore(), MemoryStore()]
    for store, actor in zip(stores, ("", "ann"), strict=True):
        with Ledger.open(store) as ledger:
            ledger.process(csv_of(draw_rows(2000)), stream="day", actor=actor)
    plain, told = (sum(len(each.data) for each in store._published.entries) for store in stores)
    with closing(stores[0].reader()) as reader:
        sections = [decode_entry("test", each).sections for each in reader.entries(0)]
    assert all(each.actors is None and not each.sources and not each.requests for each in sections)
    # One section for each entry, however many rows it has.
    assert plain < told <= plain + 30 * len(sections)


def test_a_stretch_belongs_to_one_sender() -> None:
    """The same stream sent by others is another stretch; by the same one, the same."""
    store = MemoryStore()
    with Ledger.open(store, durability="interval:60000") as ledger:
        ann, bob = Origin("day", actor=ANN), Origin("day", actor=BOB)
        origins: list[Origin | str] = [ann, ann, bob, ann, "day", "day"]
        for number, origin in enumerate(origins):
            decide(ledger, 1, number, origin, number)
    with closing(store.reader()) as reader:
        entries = [decode_entry("test", each) for each in reader.entries(0)]
    found = []
    for entry in entries:
        actors = entry.sections.actors
        mapped = {} if actors is None else dict(actors.stretches)
        for number, segment in enumerate(entry.sections.segments):
            who = None if actors is None or number not in mapped else actors.actors[mapped[number]].id
            found.append((entry.sequence + segment.first_row, segment.position, who))
    assert [each[0] for each in found] == [each[1] for each in found]
    places = {place: who for place, _, who in found}
    assert {place: places.get(place) for place in (0, 2, 3, 4)} == {0: ANN.id, 2: BOB.id, 3: ANN.id, 4: None}


def test_an_address_is_kept_once_in_ten_minutes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries refer to an earlier one, whoever else is in them; what is erased there is erased for them, not for later ones."""
    now = time.time_ns()
    ann, bob = Origin(actor=ANN), Origin("day", actor=BOB)
    with Ledger.open(place.open()) as ledger:
        for minute in (0, 1, 9, 11, 12):
            monkeypatch.setattr(time, "time_ns", lambda minute=minute: now + minute * 60_000_000_000)
            decide(ledger, 1, minute, ann)
            if minute == 9:
                decide(ledger, 2, 50, bob)
            ledger.wait_durable()
    with place.open() as store, closing(store.reader()) as reader:
        entries = [decode_entry("test", each) for each in reader.entries(0)]
        kept = [entry.sequence for entry in entries if reader.raw_text(entry.sequence) is not None]
        minutes = {entry.sequence: (entry.time_us - now // 1000) // 60_000_000 for entry in entries}
        assert 0 in kept
        assert {minutes[each] for each in kept} == {0, 9, 11}
    assert actors_of(place, 1) == [ANN] * 5
    with place.open() as store:
        store.erase_raw_texts(1)
    erased = ANN._replace(address="")
    assert actors_of(place, 1) == [erased, erased, erased, ANN, ANN]
    assert actors_of(place, 2) == [BOB]
    with Ledger.open(place.open()) as ledger:
        assert ledger.verify().raw_texts_erased == 1
        # A process that was started again keeps it anew.
        decide(ledger, 1, 60, ann)
        ledger.wait_durable()
    assert actors_of(place, 1)[-1] == ANN


def test_an_address_that_was_pruned_with_its_entry(place: Place) -> None:
    """Who it was is still there, and everything else."""
    with Ledger.open(place.open(), checkpoints_keep=1) as ledger:
        for tx in range(3):
            decide(ledger, 1, tx, Origin(actor=ANN))
            decide(ledger, 0, tx, Origin(actor=ANN))
            ledger.wait_durable()
    with place.open() as store:
        with closing(store.reader()) as reader:
            first, second, *_ = reader.entries(0)
        store.prune_entries(first.count)
    with Ledger.open(place.open(read_only=True), read_only=True) as ledger, ledger._view() as view:
        assert {row.actor for row in view.refused()} == {ANN._replace(address="")}
        assert second.sequence == first.count
