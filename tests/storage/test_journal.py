"""The journal's format: read back by others, and damaged in every byte."""

from __future__ import annotations

import random
import struct
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import Deposit, Ledger, parse_policy
from holdfast.domain.origin import SourcePosition
from holdfast.domain.settings import make_settings
from holdfast.engine.streams import KnownStream
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.packing.decided_rows import DecidedRowBuffer
from holdfast.storage.checkpoint_record import CheckpointState, decode_checkpoint, encode_checkpoint
from holdfast.storage.entry import FORMAT_VERSION, Chain, decode_entry
from holdfast.storage.origin_sections import ActorSection, KeptAt, NamedActor, RequestRows
from holdfast.storage.page_seal import open_page, seal_page
from holdfast.storage.ports import Commit, StoreDamagedError, StoredEntry, StoreError
from holdfast.storage.raw_texts import pack_texts, unpack_texts
from holdfast.storage.remembered import RememberedState
from holdfast.storage.requests import RequestRecords, Requests, pack_requests, unpack_requests
from holdfast.storage.sections import (
    Acceptance,
    EntryKind,
    LaterVersionError,
    Note,
    RawSection,
    Sections,
    Segment,
    decode_sections,
    encode_sections,
)
from holdfast.storage.sqlite.reader import SqliteReader
from holdfast.storage.sqlite.store import SqliteStore
from reference_journal import read_actors, read_journal, read_kept, read_requests, read_sections, read_sources
from storage.ledgers import csv_of, draw_rows

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = make_settings("cards")
ORIGINS: Any = {
    "actors": ActorSection(
        (NamedActor("ann"), NamedActor("token:7", KeptAt(0, 1)), NamedActor("ann", KeptAt(9, 2))),
        ((0, 1), (1, 0)),
    ),
    "sources": ((0, SourcePosition("pay", 3, 2**62, 5)),),
    "requests": (RequestRows(1, 2, 0, bytes(range(16)), "ключ"), RequestRows(4, 1, 9, bytes(16), "k" * 255)),
}
"""Sections about where rows come from."""
_RECORDS = [
    struct.pack("<QQ16sHI", 9, 5, bytes(16), 1, 1) + b"a\x01",
    struct.pack("<QQ16sHI", 11, 6, b"f" * 16, 8, 2) + "ключ".encode() + b"\x01\x28",
]
REQUESTS = (RequestRecords(_RECORDS, 2),)


def entries() -> list[StoredEntry]:
    """Make one entry of each kind."""
    chain = Chain("test")
    segments = (Segment(0, None, 0, 0, 0), Segment(3, "day", 7, 2**64 - 1, 2, 31))
    rows = Sections(b"rows", segments, RawSection(bytes(32), 2, 1), **ORIGINS)
    return [
        chain.append(EntryKind.ROWS, 5, 1_000_000, SETTINGS, rows),
        chain.append(EntryKind.UNLOCK, 1, 1_000_000, SETTINGS, Sections(note=Note("ann", "mistake", 7))),
        chain.append(EntryKind.SETTINGS, 1, 2_000_000, SETTINGS, Sections(settings=SETTINGS)),
        chain.append(EntryKind.NOTE, 1, 2_000_001, SETTINGS, Sections(note=Note(reason="ü", subject="s"))),
        chain.append(
            EntryKind.ACCEPT,
            1,
            2_000_002,
            SETTINGS,
            Sections(note=Note("ann", "an upgrade"), accepted=Acceptance(2**40, 2**63, 17)),
        ),
    ]


def test_entries_come_back() -> None:
    """What an entry says is what was put in, and the chain holds."""
    chain = Chain("test")
    found = [chain.check(decode_entry("test", each)) for each in entries()]
    assert [each.kind for each in found] == [
        EntryKind.ROWS,
        EntryKind.UNLOCK,
        EntryKind.SETTINGS,
        EntryKind.NOTE,
        EntryKind.ACCEPT,
    ]
    assert found[0].sections.segments[1] == Segment(3, "day", 7, 2**64 - 1, 2, 31)
    for name, expected in ORIGINS.items():
        assert getattr(found[0].sections, name) == expected
    assert found[1].sections.note == Note("ann", "mistake", 7)
    assert found[2].sections.settings == SETTINGS
    assert (found[3].sequence, chain.sequence) == (7, 9)
    assert found[4].sections.accepted == (2**40, 2**63, 17)


@pytest.mark.parametrize("number", range(5))
def test_every_byte_of_an_entry_is_guarded(number: int) -> None:
    """A bit that flips anywhere, and every truncation, is found and named."""
    stored = entries()[number]
    data = stored.data
    damaged = [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] for place in range(len(data))]
    damaged += [data[:place] for place in range(len(data))] + [data + b"\0"]
    for bad in damaged:
        with pytest.raises(
            StoreDamagedError, match=f"test: the entry at decision {stored.sequence} is damaged"
        ):
            decode_entry("test", StoredEntry(stored.sequence, stored.count, stored.time_us, bad))
    with pytest.raises(StoreDamagedError, match="in another's place"):
        decode_entry("test", StoredEntry(stored.sequence + 1, stored.count, stored.time_us, data))


def test_missing_and_reordered_entries_are_found() -> None:
    """The chain knows what comes next."""
    first, second, third, fourth, _ = (decode_entry("test", each) for each in entries())
    for wrong in ([second], [first, third], [first, second, fourth], [first, first]):
        chain = Chain("test")
        *good, bad = wrong
        for each in good:
            chain.check(each)
        with pytest.raises(StoreDamagedError, match="an entry is missing, or was replaced"):
            chain.check(bad)


def test_unknown_sections() -> None:
    """One that may be skipped is; any other needs a later version."""
    assert decode_sections(b"\x09\x80\0\0\x01\0\0\0x").skipped == (0x8009,)
    with pytest.raises(LaterVersionError, match="a section of type 9"):
        decode_sections(b"\x09\0\0\0\x01\0\0\0x")
    for cut in (b"\x09\x80", b"\x09\x80\0\0\x02\0\0\0x"):
        with pytest.raises(ValueError, match="cut off"):
            decode_sections(cut)


def test_what_a_later_version_wrote_is_refused_politely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A section that must be known, another kind, another format: nothing is called damaged, and nothing is written."""
    path = str(tmp_path / "p.db")
    later = {
        "section of type 9": (FORMAT_VERSION, EntryKind.NOTE, b"\x09\0\0\0\x01\0\0\0x"),
        "format 2": (2, EntryKind.NOTE, b""),
        "kind 99": (FORMAT_VERSION, 99, b""),
    }
    with Ledger.open(path) as ledger:
        ledger.apply(Deposit(1, 1, 1))
    for said, (version, kind, body) in later.items():
        with SqliteStore.open(path) as store, monkeypatch.context() as patch:
            with closing(store.reader()) as reader:
                last = reader.last_entry()
            assert last is not None
            chain = Chain(path, 1, decode_entry(path, last).hash)
            patch.setattr("holdfast.storage.entry.encode_sections", lambda _, body=body: body)
            patch.setattr("holdfast.storage.entry.FORMAT_VERSION", version)
            store.commit(Commit([chain.append(kind, 1, last.time_us, SETTINGS, Sections())]))  # type: ignore[arg-type]  # of a later one
        before = Path(path).read_bytes()
        with pytest.raises(
            StoreError, match=f"a later version of Holdfast.*{said}.*use that version"
        ) as caught:
            Ledger.open(path)
        assert not isinstance(caught.value, StoreDamagedError)
        assert Path(path).read_bytes() == before
        delete_entries(path, 1)


def test_sections_of_origins_that_make_no_sense() -> None:
    """An actor or a source of a stretch that is not there, an actor that is not there, what is cut off: named as damage."""
    one = (Segment(0, None, 0, 0, 0),)
    ann = (NamedActor("ann"),)
    for wrong in (
        Sections(b"", one, actors=ActorSection(ann, ((1, 0),))),
        Sections(b"", one, actors=ActorSection(ann, ((0, 1),))),
        Sections(b"", one, sources=((1, SourcePosition("t", 0, 0)),)),
        Sections(
            b"", one, requests=(RequestRows(0, 2, 0, bytes(16), "a"), RequestRows(1, 1, 0, bytes(16), "b"))
        ),
    ):
        with pytest.raises(ValueError, match=r"belongs to no stretch|not in order"):
            decode_sections(encode_sections(wrong))
    whole = Sections(b"", (*one, Segment(3, "day", 7, 1, 2, 31)), **ORIGINS)
    for type_, data in read_sections(encode_sections(whole)):
        if type_ in {0x8006, 7, 8}:
            for end in range(1, len(data)):
                cut = type_.to_bytes(4, "little") + end.to_bytes(4, "little") + data[:end]
                with_stretches = encode_sections(Sections(segments=whole.segments)) + cut
                try:
                    found = decode_sections(with_stretches)
                except ValueError:
                    continue
                # Where one thing ends and the next begins, a shorter list is what is there.
                assert (found.actors, found.sources, found.requests) != (
                    whole.actors,
                    whole.sources,
                    whole.requests,
                )


def flips(data: bytes) -> list[bytes]:
    """Give the data with one bit flipped in each byte, and cut at each."""
    flipped = [data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :] for place in range(len(data))]
    return flipped + [data[:place] for place in range(len(data))]


def test_every_byte_of_pages_and_checkpoints_is_guarded() -> None:
    """A page in another's place is found as well."""
    page = seal_page(2, 7, b"records")
    assert open_page(2, 7, page) == b"records"
    known = RememberedState(
        {"a": KnownStream(5, 2**63, 1, 31, 9)}, (SourcePosition("pay", 3, 2**62, 5),), REQUESTS
    )
    state = CheckpointState(9, 5, bytes(32), b"counters", SETTINGS, known)
    checkpoint = encode_checkpoint(state)
    assert decode_checkpoint(checkpoint) == state
    plain = replace(state, remembered=RememberedState(known.streams))
    assert decode_checkpoint(encode_checkpoint(plain)) == plain
    keyed = replace(state, remembered=RememberedState(known.streams, (), REQUESTS))
    assert decode_checkpoint(encode_checkpoint(keyed)) == keyed
    assert Requests(REQUESTS).content() == {"a": (bytes(16), b"\x01"), "ключ": (b"f" * 16, b"\x01\x28")}
    for end in range(1, len(pack_requests(REQUESTS))):
        if end != len(REQUESTS[0].records[0]):
            with pytest.raises(ValueError, match="cut off"):
                unpack_requests(pack_requests(REQUESTS)[:end])
    # A release that does not know these reads checkpoints without any, and no others.
    assert [encode_checkpoint(each)[4] for each in (plain, state)] == [1, 2]
    texts, section = pack_texts([(3, b"deposit,,"), (9, b"")], 0, [(0, "192.0.2.7:9")])
    assert unpack_texts(texts, section) == ({3: b"deposit,,", 9: b""}, {0: "192.0.2.7:9"})
    assert unpack_texts(b"", section) is None
    readers: list[tuple[bytes, Callable[[bytes], object]]] = [
        (page, lambda data: open_page(2, 7, data)),
        (checkpoint, decode_checkpoint),
        (texts, lambda data: unpack_texts(data or b"x", section)),
    ]
    for data, read in readers:
        for bad in flips(data):
            with pytest.raises(ValueError, match=r"wrong|not those"):
                read(bad)
    for kind, number in ((1, 7), (2, 8)):
        with pytest.raises(ValueError, match="checksum"):
            open_page(kind, number, page)


def test_an_independent_reader_agrees(tmp_path: Path) -> None:
    """A hundred lines of plain Python, which know only the page about the format, read the same rows and outcomes."""
    path = str(tmp_path / "p.db")
    rng = random.Random(2)
    data = csv_of(draw_rows(3000)) + b"deposit,x,1,1\nnonsense\n" + csv_of(draw_rows(500, seed=3))[22:]
    with Ledger.open(path) as ledger:
        ledger.process(data, stream="day", policy=parse_policy("skip"))
        for tx in range(5):
            ledger.apply(Deposit(rng.randrange(9), 10**6 + tx, "1.25"))
        ledger.change_settings(rules="cards", reason="why not")
    reader = SqliteReader(path)
    found = list(read_journal([each.data for each in reader.entries(0)]))
    assert len(found) == 3000 + 2 + 500 + 5
    texts = {}
    for entry in reader.entries(0):
        raw = reader.raw_text(entry.sequence)
        if raw is not None:
            section = decode_entry(path, entry).sections.raw
            assert section is not None
            kept = unpack_texts(raw.data, section)
            assert kept is not None
            texts.update(kept.texts)
    assert sorted(texts.values()) == [b"deposit,x,1,1", b"nonsense"]
    reader.close()
    with Ledger.open(path, read_only=True) as ledger, ledger._view() as view:
        refused = {row.sequence: row for row in view.refused()}
    for sequence, (_, client, tx, _, code) in enumerate(found, 1):
        if code != 1:
            assert (refused[sequence].outcome, refused[sequence].client) == (code, client)
            assert refused[sequence].tx == tx
    assert sum(code == 1 for *_, code in found) == len(found) - len(refused)
    assert found[-1][0] == 1
    assert found[-1][3:] == (12_500, 1)


def damage(path: str, table: str, column: str, change: str) -> None:
    """Change what a store holds, behind everybody's back."""
    import sqlite3  # noqa: PLC0415  # only here

    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {table} SET {column} = {change}")  # noqa: S608  # a test's own words
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("table", "said"),
    [("entries", "entry at decision"), ("pages", "checkpoint 1"), ("checkpoints", "checkpoint 1")],
)
def test_a_damaged_store_serves_nothing_wrong(tmp_path: Path, table: str, said: str) -> None:
    """What is damaged is named, with a way out; verify finds it too."""
    path = str(tmp_path / "p.db")
    with Ledger.open(path) as ledger:
        ledger.process(csv_of(draw_rows(500)), stream="a")
    half = "length(data) / 2"
    middle = f"CAST(substr(data, 1, {half}) || x'7f01' || substr(data, {half} + 3) AS BLOB)"
    damage(path, table, "data", middle)
    with pytest.raises(StoreDamagedError, match=said):
        Ledger.open(path, checkpoint=0 if table == "entries" else None)
    if table != "entries":
        with Ledger.open(path, checkpoint=0, read_only=True) as ledger:
            assert ledger.decided == 500
            with pytest.raises(StoreDamagedError, match=said):
                ledger.verify()


def delete_entries(path: str, sequence: int) -> None:
    """Remove entries from this one on, behind everybody's back."""
    import sqlite3  # noqa: PLC0415  # only here

    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM entries WHERE sequence >= ?", (sequence,))
    connection.commit()
    connection.close()


def test_nothing_but_the_journal_is_needed(tmp_path: Path) -> None:
    """Without any checkpoint, a replay comes to the same state; a missing entry is found."""
    path = str(tmp_path / "p.db")
    with Ledger.open(path) as ledger:
        for part in range(4):
            ledger.process(csv_of(draw_rows(200, seed=part)), stream=str(part))
        accounts = ledger.accounts().to_csv()
    damage(path, "pages", "number", "number + 1000")
    with Ledger.open(path, checkpoint=0) as ledger:
        assert ledger.accounts().to_csv() == accounts
    import sqlite3  # noqa: PLC0415  # only here

    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM entries WHERE sequence = 200")
    connection.commit()
    connection.close()
    with pytest.raises(StoreDamagedError, match="an entry is missing"):
        Ledger.open(path, checkpoint=0)
    assert Path(path).exists()


def test_the_page_shows_a_real_entry() -> None:
    """The bytes on the page are those that are written today."""
    page = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")
    lines = page.split("```hex\n")[1].split("```")[0].splitlines()
    shown = bytes.fromhex(" ".join(line[6:] for line in lines))
    batch = Batch.from_rows([(1, 7, 1, 15000, 0), (1, 7, 2, 20000, 0), (3, 7, 1, 0, 0)])
    LedgerCore().decide(batch)
    buffer = DecidedRowBuffer(10)
    buffer.append(batch, 0, 3)
    segment = Segment(0, "day", 0, batch.digest(0, 3, 0), 0)
    sections = Sections(buffer.pack(), (segment,))
    stored = Chain("x").append(EntryKind.ROWS, 3, 1_795_651_200_000_000, make_settings(), sections)
    assert stored.data == shown
    assert list(read_journal([shown])) == [(1, 7, 1, 15000, 1), (1, 7, 2, 20000, 1), (3, 7, 1, 0, 1)]


def test_the_page_shows_where_rows_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second and the third block of bytes: a body without its rows, and what is kept beside it."""
    page = (Path(__file__).parents[2] / "docs" / "journal.md").read_text(encoding="utf-8")
    body, kept = (
        bytes.fromhex(" ".join(line[6:] for line in block.split("```")[0].splitlines()))
        for block in page.split("```hex\n")[2:4]
    )
    monkeypatch.setattr("os.urandom", lambda count: bytes(range(count)))
    packed, raw = pack_texts([], 0, [(0, "192.0.2.7:50311")])
    assert packed == kept
    sections = Sections(
        segments=(Segment(0, None, 0, 0, 0), Segment(2, None, 0, 0, 0)),
        raw=raw,
        actors=ActorSection((NamedActor("token:3fa9c1d2e4b50617", KeptAt(1_000, 0)),), ((0, 0),)),
        sources=((1, SourcePosition("pay", 4, 1700, 1)),),
        requests=(RequestRows(1, 1, 0, bytes.fromhex("5e" * 16), "order-8"),),
    )
    assert encode_sections(sections) == body
    found = dict(read_sections(body))
    assert read_actors(found[0x8006]) == ([("token:3fa9c1d2e4b50617", (1_000, 0))], {0: 0})
    assert read_sources(found[7]) == {1: ("pay", 4, 1700, 1)}
    assert read_requests(found[8]) == [(1, 1, 0, b"^" * 16, "order-8")]
    assert read_kept(kept, found[3]) == ({}, {0: "192.0.2.7:50311"})
    assert read_kept(b"", found[3]) is None
