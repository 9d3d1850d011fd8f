"""Rows of a broker's partitions: how far they are is journaled with them, so each is decided once, whatever happens."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from holdfast import (
    Ledger,
    LedgerError,
    MessageChangedError,
    PolicyAbort,
    SourceMessages,
    SourcePosition,
    parse_policy,
)
from holdfast.domain.origin import Actor, Origin, SourceRows
from holdfast.kernel.batch import Batch
from holdfast.kernel.tally import Tally
from holdfast.storage.entry import decode_entry
from holdfast.storage.memory import MemoryStore
from holdfast.storage.ports import Commit
from holdfast.storage.sources import SourcePositionError
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from scenarios import TransactionRow
    from storage.conftest import Place

TOPIC = "pay"


def messages_of(rows: list[TransactionRow], seed: int = 1) -> dict[int, list[TransactionRow]]:
    """Cut rows into messages of one to twenty rows, at offsets with gaps."""
    rng = random.Random(seed)
    found, offset, start = {}, 100, 0
    while start < len(rows):
        size = rng.randrange(1, 20)
        found[offset] = rows[start : start + size]
        start += size
        offset += rng.choice((1, 1, 1, 3))
    return found


def consume(ledger: Ledger, messages: dict[int, list[TransactionRow]], partition: int = 0) -> None:
    """Do what a consumer does that has been started again: go on with what the ledger says, some messages at a time."""

    def make_durable(*_: int) -> None:
        ledger.wait_durable()

    position = ledger.source_position(TOPIC, partition)
    left = [each for each in messages if position is None or each >= position.next_offset]
    for start in range(0, len(left), 7):
        offsets = left[start : start + 7]
        inputs = [csv_of(messages[offset]) for offset in offsets]
        ledger.process(
            *inputs,
            messages=SourceMessages(TOPIC, partition, offsets),
            on_progress=make_durable,
        )


def test_a_consumer_goes_on_where_it_was(place: Place) -> None:
    """From the journal alone and from a checkpoint; partitions and topics do not touch each other."""
    rows = draw_rows(400)
    messages = messages_of(rows)
    offsets = list(messages)
    half = {offset: messages[offset] for offset in offsets[:20]}
    with Ledger.open(place.open()) as ledger:
        assert ledger.source_position(TOPIC, 0) is None
        consume(ledger, half)
        last = SourcePosition(TOPIC, 0, offsets[19], len(half[offsets[19]]))
        assert ledger.source_position(TOPIC, 0) == last
        ledger.process(csv_of([(1, 50, 10**6, 1)]), messages=SourceMessages("other", 0, [5]))
    for checkpoint in (None, 0):
        with Ledger.open(place.open(), checkpoint=checkpoint) as ledger:
            assert ledger.source_position(TOPIC, 0) == last
            assert ledger.source_position("other", 0) == SourcePosition("other", 0, 5, 1)
            assert ledger.source_position(TOPIC, 1) is None
    with Ledger.open(place.open()) as ledger:
        # Everything comes again, as after a consumer that has told the broker nothing.
        report = ledger.process(*map(csv_of, messages.values()), messages=SourceMessages(TOPIC, 0, offsets))
        assert report.rows == 400 - sum(map(len, half.values()))
        ledger.verify()
        found = [each for each in found_accounts(ledger.accounts()) if each[0] != 50]
    assert found == expected_accounts(rows)


@pytest.mark.parametrize("seed", [3, 4])
def test_every_prefix_of_the_journal_goes_on(seed: int) -> None:
    """A crash leaves some first entries: from each of them a consumer comes to the same accounts, every row decided once."""
    rows = draw_rows(300, seed=seed)
    messages = messages_of(rows, seed)
    store = MemoryStore()
    # Batches end in the middle of messages.
    with Ledger.open(store, batch_rows=8) as ledger:
        consume(ledger, messages)
    with closing(store.reader()) as reader:
        entries = list(reader.entries(0))
        meta = {key: reader.meta(key) or b"" for key in ("settings", "ledger")}
    # Most entries end in the middle of a message.
    assert len(entries) > 40
    for kept in range(0, len(entries), 3):
        copy = MemoryStore()
        copy.create(meta)
        copy.commit(Commit(entries[:kept]))
        with Ledger.open(copy) as ledger:
            consume(ledger, messages)
            assert ledger.decided == 300
            assert found_accounts(ledger.accounts()) == expected_accounts(rows)


def test_a_message_that_was_cut_off_goes_on_in_the_middle(place: Place) -> None:
    """A policy stops at a row; later the rows after it are decided, and those before it are not decided again."""
    head = b"type,client,tx,amount\n"
    message = head + b"deposit,1,1,1\ndeposit,1,2,1\nbroken\ndeposit,1,3,1\ndeposit,1,4,1\n"
    given = SourceMessages(TOPIC, 2, (41,))
    with Ledger.open(place.open()) as ledger, pytest.raises(PolicyAbort):
        ledger.process(message, messages=given, policy=parse_policy("abort"))
    with Ledger.open(place.open()) as ledger:
        assert ledger.source_position(TOPIC, 2) == SourcePosition(TOPIC, 2, 41, 3)
        with pytest.raises(
            MessageChangedError, match="offset 41 of partition 2 of topic 'pay' has fewer rows than the 3"
        ):
            ledger.process(
                head + b"deposit,1,1,1\n",
                head + b"deposit,9,9,1\n",
                messages=SourceMessages(TOPIC, 2, (41, 42)),
            )
        report = ledger.process(
            message, head + b"deposit,1,5,1\n", messages=SourceMessages(TOPIC, 2, (41, 45))
        )
        assert (report.skipped, report.rows, ledger.decided) == (3, 3, 6)
        assert ledger.source_position(TOPIC, 2) == SourcePosition(TOPIC, 2, 45, 1)
        assert str(ledger.account(1).available) == "5.0000"
        again = ledger.process(message, messages=given)
        assert (again.rows, ledger.decided) == (0, 6)


def test_what_makes_no_sense_decides_nothing() -> None:
    """Offsets that do not fit the inputs, a partition that cannot be, a stream besides, two consumers at a time."""
    row = csv_of([(1, 1, 1, 1)])
    with Ledger.open(MemoryStore()) as ledger:
        for given in (
            SourceMessages(TOPIC, 0, (1,)),
            SourceMessages(TOPIC, 0, (2, 2)),
            SourceMessages(TOPIC, 0, (2, 1)),
            SourceMessages(TOPIC, 0, (-1, 1)),
            SourceMessages(TOPIC, -1, (1, 2)),
            SourceMessages("", 0, (1, 2)),
        ):
            with pytest.raises(ValueError, match=r"offset|partition|topic"):
                ledger.process(row, row, messages=given)
        with pytest.raises(ValueError, match="no stream"):
            ledger.process(row, stream="day", messages=SourceMessages(TOPIC, 0, (1,)))
        with ledger.claim_source(TOPIC, 0):
            with pytest.raises(LedgerError, match="partition 0 of topic 'pay' are being processed already"):
                ledger.process(row, messages=SourceMessages(TOPIC, 0, (1,)))
            ledger.process(csv_of([(1, 1, 2, 1)]), messages=SourceMessages(TOPIC, 1, (1,)))
        assert ledger.decided == 1


def test_an_adapter_that_decodes_by_itself() -> None:
    """It says where messages begin, and decides rows of many of them in one batch; each stretch moves the partition on."""
    store = MemoryStore()
    rows = draw_rows(60)
    with Ledger.open(store) as ledger:
        batch = Batch.from_rows([(*row, 0) for row in rows])
        source = SourceRows(TOPIC, 7)
        source.begin(10, 0)
        source.begin(11, 20)
        source.begin(15, 40)
        source.end(60)
        origin = Origin(source=source, actor=Actor("consumer"))
        for start, stop, expected in (
            (0, 5, (10, 5)),
            (5, 20, (11, 0)),
            (20, 41, (15, 1)),
            (41, 60, (16, 0)),
        ):
            ledger.decide(batch, start, stop, Tally(), origin, start)
            found = ledger.source_position(TOPIC, 7)
            assert found is not None
            assert found[2:] == expected
        with pytest.raises(SourcePositionError, match="decided up to row 0 of the message at offset 16"):
            ledger.decide(batch, 41, 60, Tally(), origin, 41)
        with pytest.raises(ValueError, match="belong to no message"):
            ledger.decide(batch, 0, 1, Tally(), Origin(source=SourceRows(TOPIC, 8)), 0)
        assert ledger.decided == 60
        ledger.wait_durable()
        with ledger._view() as view:
            row = view.explain(60).row
        assert row is not None
        assert (row.actor, row.source) == (Actor("consumer"), SourcePosition(TOPIC, 7, 16, 0))
    with Ledger.open(store, checkpoint=0) as ledger:
        assert ledger.source_position(TOPIC, 7) == SourcePosition(TOPIC, 7, 16, 0)
    with pytest.raises(ValueError, match="each has its own position"):
        Origin("day", source=source)


def test_rows_of_a_partition_share_a_stretch() -> None:
    """However many messages they are, their position is there once for a stretch."""
    store = MemoryStore()
    with Ledger.open(store) as ledger:
        rows = draw_rows(2000)
        values = [csv_of(rows[start : start + 10]) for start in range(0, 2000, 10)]
        ledger.process(*values, messages=SourceMessages(TOPIC, 0, range(200)))
    with closing(store.reader()) as reader:
        sections = [decode_entry("test", each).sections for each in reader.entries(0)]
    assert {len(each.segments) for each in sections} == {1}
    assert sections[-1].sources == ((0, SourcePosition(TOPIC, 0, 199, 10)),)
