"""Outcomes of before an upgrade: refused as long as nobody accepts them, and then followed in everything that a ledger does."""

from __future__ import annotations

import dataclasses
import random
import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from e2e.command import run
from holdfast import Ledger, LedgerError
from holdfast.domain.model import Model
from holdfast.domain.rules import CARDS, STANDARD, Rules
from holdfast.domain.settings import Settings
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.batch import Batch
from holdfast.kernel.packing.decided_rows import DecidedRowBuffer
from holdfast.kernel.packing.unpacking import unpack_rows
from holdfast.storage.accepting import accept_outcomes
from holdfast.storage.copying import backup_ledger, restore_ledger
from holdfast.storage.entry import Chain, decode_entry
from holdfast.storage.failures import ReplayDiffersError, UnfollowableError
from holdfast.storage.memory import MemoryStore
from holdfast.storage.ports import Commit, StoreError
from holdfast.storage.pruning import prune
from holdfast.storage.sections import EntryKind
from holdfast.storage.shipping import Shipper
from holdfast.storage.stores import open_store
from reference_journal import read_journal
from storage.ledgers import csv_of, found_accounts
from storage.upgrades import upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.domain.outcome import Outcome
    from holdfast.storage.ports import Store, StoredEntry
    from scenarios import AccountRow, TransactionRow
    from storage.conftest import Place

THEN = CARDS._replace(refused_tx_id="reusable")
NOW = STANDARD
REASON = "version 2 refuses disputes of withdrawals"


class History:
    """What the model says of a ledger that was made under other rules: every state, every outcome.

    Args:
        rules: Those under which it was made.
    """

    def __init__(self, rules: Rules = THEN) -> None:
        self.model = Model(rules)
        self.states: list[list[AccountRow]] = [[]]
        self.outcomes: list[Outcome | None] = []
        self.rows: list[TransactionRow | None] = []
        """None for what is no row: an unlock, an acceptance."""
        self.differences: list[int] = []
        """The decisions, counted from 1, that a replay by the rules of now comes to in another way."""
        self._again = Model(NOW)

    def decide(self, rows: list[TransactionRow]) -> None:
        """Decide rows."""
        for row in rows:
            type_ = TransactionType(row[0])
            self.outcomes.append(self.model.apply(type_, *row[1:]))
            self._note(row, differs=self._again.apply(type_, *row[1:]) is not self.outcomes[-1])

    def unlock(self) -> int:
        """Unlock a client that is locked, and would not be under the rules of now; give it."""
        locked, locked_again = (
            {account.client for account in model.accounts() if account.locked}
            for model in (self.model, self._again)
        )
        client = min(locked - locked_again)
        self.model.unlock(client)
        self.outcomes.append(None)
        self._note(None, differs=True)
        return client

    def pass_over(self) -> None:
        """Count a decision that changes nothing."""
        self.outcomes.append(None)
        self._note(None, differs=False)

    def upgrade(self, rules: Rules = NOW) -> None:
        """Decide by other rules from here on."""
        self.model._rules = rules

    def _note(self, row: TransactionRow | None, *, differs: bool) -> None:
        self.rows.append(row)
        if differs:
            self.differences.append(len(self.rows))
        accounts = self.model.accounts()
        self.states.append(
            [(acc.client, acc.available_units, acc.held_units, acc.locked) for acc in accounts]
        )


def draw(count: int, seed: int, first_tx: int = 0) -> list[TransactionRow]:
    """Draw rows of which most refer to a transaction of their client, and few lock one."""
    rng = random.Random(seed)
    owners: dict[int, int] = {}
    rows: list[TransactionRow] = []
    for tx in range(first_tx, first_tx + count):
        type_ = rng.choice((1, 1, 1, 2, 3, 3, 4, 5 if rng.random() < 0.3 else 4)) if len(rows) > 350 else 1
        client, about = rng.randrange(9), tx
        if type_ > 2:
            about = rng.choice(list(owners)[-40:])
            client = owners[about] if rng.random() < 0.9 else client
        else:
            owners[tx] = client
        rows.append((type_, client, about, rng.randrange(1, 1_000_000)))
    return rows


def make(store: Store, seed: int = 1) -> History:
    """Fill a ledger under the rules of then, with unlocks and checkpoints; the first rows come to the same under all rules."""
    history = History()
    drawn = draw(1200, seed)
    with Ledger.open(store, rules=THEN, checkpoints_keep=3) as ledger:
        for start in range(0, 1200, 300):
            piece = drawn[start : start + 300]
            if start == 0:
                # An id that is used again, after a refusal that does not burn it under either rules.
                piece += [(2, 8, 50_000, 10**12), (1, 8, 50_000, 7)]
            if start >= 600:
                # A client that the rules of now would not have locked.
                client, tx = 100 + start, 100_000 + start
                piece += [
                    (1, client, tx, 9),
                    (2, client, tx + 1, 5),
                    (3, client, tx + 1, 0),
                    (5, client, tx + 1, 0),
                ]
            ledger.process(csv_of(piece), stream=f"from {start}")
            history.decide(piece)
            if start == 0:
                # An id that is used again, after a refusal that does not burn it under either rules.
                piece += [(2, 8, 50_000, 10**12), (1, 8, 50_000, 7)]
            if start >= 600:
                ledger.unlock(history.unlock(), reason="a mistake", actor="ann")
            if start != 300:
                ledger.checkpoint()
    return history


def upgraded(place: Place, seed: int = 1) -> History:
    """Make a ledger at a place that was filled under the rules of then, and has those of now."""
    source = MemoryStore()
    history = make(source, seed=seed)
    with place.open() as target:
        upgrade(source, target, NOW)
    history.upgrade()
    return history


def accepted_at(place: Place, history: History) -> int:
    """Accept the outcomes, compare what is said of them, and give the first that differs."""
    end = len(history.rows)
    found = accept_outcomes(place.open(), reason=REASON, actor="ben")
    assert found is not None
    expected = history.differences
    assert (found.first, found.last, found.differences) == (expected[0], end, len(expected))
    assert [each.sequence for each in found.shown] == expected[:5]
    for each in found.shown:
        outcome = history.outcomes[each.sequence - 1]
        assert outcome is not None
        assert each.journaled == outcome.name != each.found
    history.pass_over()
    return found.first


def test_a_ledger_refuses_and_then_follows_its_journal(place: Place) -> None:
    """From every checkpoint and from nothing; what comes later is decided by the rules of now."""
    history = upgraded(place)
    end = len(history.rows)
    first = history.differences[0]
    assert 300 < first < 600
    with pytest.raises(ReplayDiffersError, match=rf"replaying decision {first} gives.*accept-outcomes"):
        Ledger.open(place.open(), checkpoint=0)
    assert accepted_at(place, history) == first
    again = draw(900, 7, first_tx=5000)
    for number, checkpoint in enumerate((None, 0, None)):
        with Ledger.open(place.open(), checkpoint=checkpoint) as ledger:
            assert found_accounts(ledger.accounts()) == history.states[-1]
            assert ledger.settings.rules == NOW
            piece = again[number * 300 : number * 300 + 300]
            history.decide(piece)
            assert ledger.process(csv_of(piece), stream=f"more {number}").rows == 300
            assert found_accounts(ledger.accounts()) == history.states[-1]
            found = ledger.verify()
            assert (found.decisions, found.accepted >= 1) == (len(history.rows), True)
    with Ledger.open(place.open(), read_only=True) as ledger:
        assert found_accounts(ledger.accounts()) == history.states[-1]
    # The streams of before are still known as they were.
    with Ledger.open(place.open()) as ledger:
        assert ledger.process(csv_of(draw(1200, 1)[300:600]), stream="from 300").rows == 0
        assert ledger.decided == end + 1 + 900


def test_the_past_follows_the_journal(place: Place) -> None:
    """Accounts as of any decision, histories, explanations: before, at and after what was accepted."""
    history = upgraded(place, seed=3)
    first = accepted_at(place, history)
    end = len(history.rows)
    places = {0, 1, first - 1, first, first + 1, 300, 301, 601, 602, 603, end - 1, end}
    with Ledger.open(place.open()) as ledger, ledger._view() as view:
        for at in sorted(places | set(random.Random(1).sample(range(end), 10))):
            assert found_accounts(ledger.accounts(as_of=at)) == history.states[at]
        for client in range(3):
            for step in ledger.history(client):
                state = {row[0]: row[1:] for row in history.states[step.sequence]}
                assert (step.available, step.held, step.locked) == state.get(client, (0, 0, False))
        for at in (
            first,
            first + 1,
            *[each for each in history.differences if history.rows[each - 1]][-3:],
            end,
        ):
            found = view.explain(at)
            if at == end:
                assert (found.kind, found.note and found.note.reason) == (EntryKind.ACCEPT, REASON)
                continue
            assert found.row is not None
            client = found.row.client
            for shown, states in ((found.before, history.states[at - 1]), (found.after, history.states[at])):
                expected = next((row[1:] for row in states if row[0] == client), None)
                assert (shown and (shown.available_units, shown.held_units, shown.locked)) == expected


def test_records_that_are_not_in_memory_come_back(tmp_path: Path) -> None:
    """With less memory than the records take: following the journal waits for their pages, as deciding does."""
    source, path = MemoryStore(), str(tmp_path / "p.db")
    deposits: list[TransactionRow] = [(2 if tx % 40 == 7 else 1, 1, tx, 5) for tx in range(60_000)]
    disputes: list[TransactionRow] = [(3, 1, tx, 0) for tx in range(7, 60_000, 4_000)]
    with Ledger.open(source, rules=THEN) as ledger:
        ledger.process(csv_of(deposits))
        ledger.checkpoint()
        ledger.process(csv_of(disputes))
        expected = found_accounts(ledger.accounts())
    source.discard_checkpoints(1)
    with open_store(path) as target:
        upgrade(source, target, NOW)
    with pytest.raises(
        ReplayDiffersError, match="decision 60001 gives NOT_DISPUTABLE, and the journal says APPLIED"
    ):
        Ledger.open(path)
    assert accept_outcomes(path, reason=REASON) is not None
    # Replayed from the checkpoint before the disputes, with next to no memory.
    with open_store(path) as store:
        store.discard_checkpoints(1)
    with Ledger.open(path, memory_bytes_max=1 << 20) as ledger:
        assert found_accounts(ledger.accounts()) == expected
        assert ledger.totals().open_disputes == len(disputes)


def test_checkpoints_after_the_first_difference_go(place: Place) -> None:
    """Those before it stay; the new one is after the entry that accepts."""
    history = upgraded(place)
    first = history.differences[0]
    with place.open() as store, closing(store.reader()) as reader:
        before = [each.sequence for each in reader.checkpoints()]
    accepted_at(place, history)
    with place.open() as store, closing(store.reader()) as reader:
        found = [each.sequence for each in reader.checkpoints()]
    assert found == [len(history.rows), *(each for each in before if each <= first - 1)]


def test_nothing_is_accepted_where_nothing_differs(place: Place) -> None:
    """Once is enough: the second time nothing is written."""
    history = upgraded(place)
    accepted_at(place, history)
    assert accept_outcomes(place.open(), reason=REASON) is None
    with Ledger.open(place.open(), read_only=True) as ledger:
        assert ledger.decided == len(history.rows)
    with pytest.raises(ValueError, match="need a reason"):
        accept_outcomes(place.open(), reason=" ")


def test_the_next_upgrade_is_accepted_as_well(place: Place) -> None:
    """Ranges add up: rows of before the first acceptance may differ again, and those between are followed once more."""
    history = upgraded(place)
    accepted_at(place, history)
    piece = [*draw(600, 9, first_tx=9000), (1, 500, 9999, 5), (2, 500, 10_000, 5), (3, 500, 9999, 0)]
    with Ledger.open(place.open()) as ledger:
        ledger.process(csv_of(piece), stream="between")
    history.decide(piece)
    later = NOW._replace(negative_available_on_dispute="allow", refused_tx_id="burned")
    source = MemoryStore()
    with place.open() as store:
        upgrade(store, source, later)
    history.upgrade(later)
    with pytest.raises(
        ReplayDiffersError, match="decision 302 gives TX_ID_REUSED, and the journal says APPLIED"
    ):
        Ledger.open(source, checkpoint=0)
    found = accept_outcomes(source, reason="again")
    assert found is not None
    assert (found.first, found.last) == (302, len(history.rows))
    assert found.shown[0].found == "TX_ID_REUSED"
    history.pass_over()
    for checkpoint in (None, 0):
        with Ledger.open(source, checkpoint=checkpoint) as ledger:
            assert found_accounts(ledger.accounts()) == history.states[-1]
            assert found_accounts(ledger.accounts(as_of=400)) == history.states[400]
            ledger.verify()
    assert accept_outcomes(source, reason="again") is None


def test_copies_follow_too(tmp_path: Path) -> None:
    """Backups, shipped entries, and copies that end before the entry that accepts: they say so themselves."""
    path = str(tmp_path / "p.db")
    source = MemoryStore()
    history = make(source)
    with open_store(path) as target:
        upgrade(source, target, NOW)
    history.upgrade()
    first = history.differences[0]
    with pytest.raises(ReplayDiffersError):
        restore_ledger(path, str(tmp_path / "refused.db"), 1000, None)
    assert not (tmp_path / "refused.db").exists()
    accept_outcomes(path, reason=REASON, actor="ben")
    history.pass_over()
    end = len(history.rows)
    backup_ledger(path, str(tmp_path / "backup.db"))
    with (
        open_store(path, read_only=True) as store,
        closing(Shipper(store, str(tmp_path / "shipped"))) as shipper,
    ):
        shipper.ship()
    copies = {"backup.db": end}
    for number, (origin, until) in enumerate(
        [
            (path, 602),
            (str(tmp_path / "shipped"), 602),
            (path, None),
            (str(tmp_path / "shipped"), None),
            (path, 302),
        ]
    ):
        name = f"{number}.db"
        restore_ledger(origin, str(tmp_path / name), until, None)
        copies[name] = until or end
    for name, until in copies.items():
        copy = str(tmp_path / name)
        with Ledger.open(copy) as ledger:
            assert found_accounts(ledger.accounts()) == history.states[until]
            assert ledger.decided == until + (first <= until < end)
            ledger.verify()
        with open_store(copy, read_only=True) as store, closing(store.reader()) as reader:
            stored = list(reader.entries(0))
        list(read_journal([each.data for each in stored]))
        if until >= first:
            entry = decode_entry(copy, stored[-1])
            assert entry.kind is EntryKind.ACCEPT
            assert entry.sections.note is not None
            assert entry.sections.note[:2] == ("ben", REASON)
            assert entry.sections.accepted is not None
            assert entry.sections.accepted[:2] == (first - 1, min(until, end - 1))


def test_an_archive_of_pruned_entries_opens(tmp_path: Path) -> None:
    """The ledger goes on without them, and the archive has the state of its end."""
    path, archive = str(tmp_path / "p.db"), str(tmp_path / "archive.db")
    source = MemoryStore()
    history = make(source)
    with open_store(path) as target:
        upgrade(source, target, NOW)
    history.upgrade()
    accept_outcomes(path, reason=REASON)
    history.pass_over()
    more = [(1, 3, 100_000 + number, 5) for number in range(100)]
    history.decide(more)
    with Ledger.open(path, checkpoints_keep=1) as ledger:
        ledger.process(csv_of(more))
    with open_store(path) as store:
        with closing(store.reader()) as reader:
            numbers = [each.number for each in reader.checkpoints()]
        for number in numbers[1:]:
            store.drop_checkpoint(number)
        assert prune(store, 900, None, archive).entries > 0
    with Ledger.open(archive) as ledger:
        at = ledger.decided - 1
        assert 600 <= at <= 902
        assert found_accounts(ledger.accounts()) == history.states[at]
    with Ledger.open(path) as ledger:
        assert found_accounts(ledger.accounts()) == history.states[-1]
        ledger.verify()
    assert accept_outcomes(path, reason=REASON) is None


def edited(entries: list[StoredEntry], codes: dict[int, int]) -> list[StoredEntry]:
    """Change journaled outcomes, by decision counted from 1, and make the chain anew."""
    chain, made = Chain("edited"), []
    for stored in entries:
        entry = decode_entry("edited", stored)
        sections = entry.sections
        if entry.kind is EntryKind.ROWS:
            unpacked = unpack_rows(sections.rows)
            unpacked.adopt_outcomes()
            batch = unpacked.batch
            rows = [
                (*row, codes.get(entry.sequence + number + 1, batch.outcome(number)))
                for number, row in enumerate(
                    zip(batch.types, batch.clients, batch.txs, batch.amounts, strict=True)
                )
            ]
            buffer = DecidedRowBuffer(len(rows))
            buffer.append(Batch.from_rows(rows), 0, len(rows))
            sections = dataclasses.replace(sections, rows=buffer.pack())
        made.append(chain.append(entry.kind, entry.count, entry.time_us, Settings(), sections))
    return made


def edited_ledger(path: str, rows: list[TransactionRow], codes: dict[int, int]) -> None:
    """Make a ledger in a file whose journal says other outcomes than the rules come to."""
    source = MemoryStore()
    with Ledger.open(source) as ledger:
        ledger.process(csv_of(rows), stream="day")
    with closing(source.reader()) as reader, open_store(path) as store:
        meta = {key: reader.meta(key) or b"" for key in ("settings", "ledger")}
        store.create(meta)
        store.commit(Commit(entries=edited(list(reader.entries(0)), codes)))


def test_what_cannot_be_is_not_accepted(tmp_path: Path) -> None:
    """An applied dispute of nothing: it is named, and the file stays as it is."""
    path = str(tmp_path / "p.db")
    rows: list[TransactionRow] = [(1, 1, 1, 10_000), (3, 1, 2, 0), (2, 1, 3, 20_000)]
    edited_ledger(path, rows, {2: 1})
    before = (tmp_path / "p.db").read_bytes()
    with pytest.raises(
        UnfollowableError, match="decision 2 was applied, and that cannot be: it refers to a transaction"
    ):
        accept_outcomes(path, reason=REASON)
    assert (tmp_path / "p.db").read_bytes() == before
    explained = run("ledger", "explain", path, "--decision", "2")
    assert (explained.code, "decision 2 was applied, and that cannot be" in explained.errors) == (1, True)


def test_a_crash_before_the_entry_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger refuses to open, as before, and its outcomes can be accepted again."""
    history = upgraded(place)

    store = place.open()
    commit = store.commit

    def crash(commit_: Commit, *, sync: bool = True) -> None:
        if any(decode_entry("", each).kind is EntryKind.ACCEPT for each in commit_.entries):
            raise StoreError("the disk is gone")
        commit(commit_, sync=sync)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "commit", lambda _, each, *, sync=True: crash(each, sync=sync))
        with pytest.raises(LedgerError, match="the disk is gone"):
            accept_outcomes(store, reason=REASON)
    with pytest.raises(ReplayDiffersError):
        Ledger.open(place.open())
    accepted_at(place, history)
    with Ledger.open(place.open()) as ledger:
        assert found_accounts(ledger.accounts()) == history.states[-1]


def test_the_command(tmp_path: Path) -> None:
    """A file that no command opens, until one accepts it: with a reason, and with words about what differs."""
    path = tmp_path / "p.db"
    rows: list[TransactionRow] = [
        (1, 1, 1, 10_000),
        (2, 1, 2, 20_000),
        (3, 1, 1, 0),
        *((2, 1, tx, 10_000) for tx in range(3, 9)),
    ]
    # Withdrawals of more than there is, as if a version had allowed them once; and then a dispute below zero.
    edited_ledger(str(path), rows, dict.fromkeys(range(2, 10), 1))
    later = tmp_path / "later.csv"
    later.write_bytes(csv_of([(1, 1, 99, 100_000)]))
    refused = run("load", later, "--data", path)
    assert refused.code == 1
    assert "replaying decision 2 gives INSUFFICIENT_FUNDS, and the journal says APPLIED" in refused.errors
    assert "holdfast ledger accept-outcomes" in refused.errors
    assert run("ledger", "verify", path).code == 1
    explained = run("ledger", "explain", path, "--decision", "2")
    assert b"available -1.0000" in explained.output

    missing = run("ledger", "accept-outcomes", path)
    assert (missing.code, "--reason TEXT" in missing.errors) == (2, True)
    nothing = run("ledger", "accept-outcomes", tmp_path / "none.db", "--reason", "x")
    assert (nothing.code, (tmp_path / "none.db").exists()) == (1, False)
    accepted = run("ledger", "accept-outcomes", path, "--reason", "overdrafts were allowed", "--actor", "ann")
    assert accepted.code == 0, accepted.errors
    said = accepted.errors.splitlines()
    assert said[0] == "holdfast: decision 2: the journal says APPLIED, a replay says INSUFFICIENT_FUNDS"
    assert re.fullmatch(r"holdfast: … and \d+ more", said[5])
    assert said[-1].startswith("holdfast: the journaled outcomes of decisions 2 to 9 are accepted: ")
    again = run("ledger", "accept-outcomes", path, "--reason", "overdrafts were allowed")
    assert (again.code, "nothing to accept" in again.errors) == (0, True)

    assert run("load", later, "--data", path, "--stream", "later").code == 0
    assert run("ledger", "accounts", path).output.splitlines()[1] == b"1,2.0000,1.0000,3.0000,false"
    verified = run("ledger", "verify", path)
    assert (verified.code, b"outcomes stand by an operator's decision" in verified.output) == (0, True)
    assert (
        b"accept by ann: overdrafts were allowed" in run("ledger", "explain", path, "--decision", "10").output
    )
    with open_store(str(path), read_only=True) as store, closing(store.reader()) as reader:
        list(read_journal([each.data for each in reader.entries(0)]))
