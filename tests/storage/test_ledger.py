"""The durable ledger: what it decides is there tomorrow, once, and in the same order."""

from __future__ import annotations

import array
import asyncio
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from holdfast import (
    Chargeback,
    Deposit,
    Dispute,
    Engine,
    Ledger,
    LedgerError,
    Outcome,
    PolicyAbort,
    RulesError,
    StoreError,
    StreamChangedError,
    TransactionType,
    Withdrawal,
    parse_policy,
)
from holdfast.kernel.batch import Batch
from holdfast.storage.failures import (
    LedgerClosedError,
    LedgerFailedError,
    LedgerSettingsError,
    ProcessForkedError,
    ReadOnlyError,
    StreamBusyError,
)
from holdfast.storage.ports import StoreBusyError, StoreDamagedError
from holdfast.storage.transaction import DisputeState
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give the path of a ledger that is not there yet."""
    return str(tmp_path / "payments.db")


def test_what_is_applied_is_there_tomorrow(path: str) -> None:
    """A ledger that is closed and opened again has its accounts, its transactions and its place in the order."""
    with Ledger.open(path) as ledger:
        assert ledger.apply(Deposit(client=1, tx=1, amount="1.5")) is Outcome.APPLIED
        assert ledger.durable == 1
        assert ledger.apply(Withdrawal(client=1, tx=2, amount="9")) is Outcome.INSUFFICIENT_FUNDS
        assert ledger.apply(Dispute(client=1, tx=1)) is Outcome.APPLIED
    with Ledger.open(path) as ledger:
        assert (ledger.decided, ledger.durable) == (3, 3)
        account = ledger.account(1)
        assert (account.available_units, account.held_units) == (0, 15_000)
        found = ledger.transaction(1)
        assert (found.type, found.client, str(found.amount)) == (TransactionType.DEPOSIT, 1, "1.5000")
        assert found.dispute is DisputeState.UNDER_DISPUTE
        assert ledger.apply(Deposit(client=1, tx=1, amount="1.5")) is Outcome.DUPLICATE_TX
        with pytest.raises(KeyError):
            ledger.transaction(2)
        with pytest.raises(KeyError):
            ledger.account(7)


@pytest.mark.parametrize("durability", ["always", "interval:50", "none"])
@pytest.mark.parametrize("memory_bytes_max", [None, 3 << 20])
def test_a_ledger_decides_as_an_engine(path: str, durability: str, memory_bytes_max: int | None) -> None:
    """Whatever the durability and the memory: the same outcomes and accounts, now and after opening it again."""
    rows = draw_rows(60_000, txs=60_000)
    engine = Engine()
    plain = engine.process(csv_of(rows))
    for part in range(4):
        with Ledger.open(path, durability=durability, memory_bytes_max=memory_bytes_max) as ledger:
            report = ledger.process(csv_of(rows[part * 15_000 : (part + 1) * 15_000]), stream=f"part {part}")
            assert report.rows == 15_000
            if part == 3:
                assert report.accounts == plain.accounts
                assert found_accounts(ledger.accounts()) == found_accounts(engine.accounts())
                assert ledger.totals()[:5] == engine.totals()[:5]
    with Ledger.open(path, read_only=True) as ledger:
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)


def test_a_stream_is_decided_once(path: str) -> None:
    """The same input again changes nothing; a longer one goes on; another one, or a shorter one, is refused."""
    rows = draw_rows(3000)
    with Ledger.open(path) as ledger:
        first = ledger.process(csv_of(rows[:2000]), stream="day")
        again = ledger.process(csv_of(rows[:2000]), stream="day")
        assert (first.rows, first.skipped, again.rows, again.skipped) == (2000, 0, 0, 2000)
        assert ledger.decided == 2000
    with Ledger.open(path) as ledger:
        rest = ledger.process(csv_of(rows), stream="day")
        assert (rest.rows, rest.skipped, ledger.decided) == (1000, 2000, 3000)
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)
        with pytest.raises(StreamChangedError, match="first 3000 rows are not those"):
            ledger.process(csv_of([(1, 5, 999_999, 1), *rows]), stream="day")
        with pytest.raises(StreamChangedError, match="ends after 10 rows, and 3000"):
            ledger.process(csv_of(rows[:10]), stream="day")
        assert ledger.decided == 3000
        ledger.process(csv_of(rows[:10]))
        assert ledger.decided == 3010


def test_one_at_a_time_brings_a_stream(path: str) -> None:
    """Two loads of one stream at a time would decide its rows twice."""
    with Ledger.open(path) as ledger:

        def lines() -> object:
            yield b"type,client,tx,amount\n"
            with pytest.raises(StreamBusyError):
                ledger.process(b"type,client,tx,amount\n", stream="a")
            yield b"deposit,1,1,1\n"

        assert ledger.process(lines(), stream="a").rows == 1  # type: ignore[arg-type]  # an iterable of bytes
        for name in ("", "x" * 1025, "\udc80"):
            with pytest.raises(ValueError, match="name"):
                ledger.process(b"type,client,tx,amount\n", stream=name)


def test_a_policy_stops_again_where_it_stopped(path: str) -> None:
    """The rows before stand, the same command says the same, and another policy goes on; budgets survive as well."""
    data = csv_of([(1, 1, 1, 5), (1, 1, 1, 5), *[(1, 1, 2, 5)] * 3, (1, 1, 3, 5)])
    abort, budget = parse_policy("abort"), parse_policy("budget:1")
    for _ in range(2):
        with Ledger.open(path) as ledger, pytest.raises(PolicyAbort) as stopped:
            ledger.process(data, stream="s", policy=abort)
        assert "DUPLICATE_TX" in str(stopped.value)
        assert "line 3" in str(stopped.value)
    for _ in range(2):
        with Ledger.open(path) as ledger:
            with pytest.raises(PolicyAbort) as stopped:
                ledger.process(data, stream="s", policy=budget)
            assert "line 6" in str(stopped.value)
            assert ledger.decided == 5
    with Ledger.open(path) as ledger:
        assert ledger.process(data, stream="s").rows == 1


def test_atomic_is_all_or_nothing(path: str) -> None:
    """An exception in the middle leaves the state as it was, with a note; what is kept becomes durable at once."""
    rows = draw_rows(2000)
    with Ledger.open(path) as ledger:
        ledger.process(csv_of(rows[:500]), stream="a")
        with pytest.raises(PolicyAbort), ledger.atomic():
            ledger.process(csv_of(rows), stream="a", policy=parse_policy("abort"))
        assert ledger.decided == 501
        assert found_accounts(ledger.accounts()) == expected_accounts(rows[:500])
        assert ledger.find_stream("a").rows == 500  # type: ignore[union-attr]  # it is known
        with ledger.atomic():
            ledger.process(csv_of(rows), stream="a")
            assert ledger.durable == 501
        assert ledger.durable == 2001
        assert ledger.apply(Deposit(1, 10_000_000, "1")) is Outcome.APPLIED
    with Ledger.open(path) as ledger:
        assert ledger.decided == 2002
        assert found_accounts(ledger.accounts(as_of=2001)) == expected_accounts(rows)
        assert ledger.verify().decisions == 2002


def test_an_operator_unlocks_and_changes_rules(path: str) -> None:
    """Both take a place in the order, need a reason, and are replayed."""
    with Ledger.open(path) as ledger:
        for each in (Deposit(1, 1, "5"), Dispute(1, 1), Chargeback(1, 1)):
            assert ledger.apply(each).is_applied
        assert ledger.apply(Deposit(1, 2, "5")) is Outcome.ACCOUNT_LOCKED
        with pytest.raises(ValueError, match="reason"):
            ledger.unlock(1, reason=" ")
        with pytest.raises(KeyError):
            ledger.unlock(2, reason="mistake")
        ledger.unlock(1, reason="mistake", actor="ann")
        with pytest.raises(ValueError, match="not locked"):
            ledger.unlock(1, reason="mistake")
        assert ledger.apply(Deposit(1, 2, "5")).is_applied
        assert ledger.apply(Withdrawal(1, 3, "1")).is_applied
        assert ledger.apply(Dispute(1, 3)) is Outcome.NOT_DISPUTABLE
        with pytest.raises(RulesError):
            ledger.change_settings(rules="nonesuch", reason="x")
        ledger.change_settings(rules="cards", reason="a new contract", actor="ann")
        assert ledger.apply(Dispute(1, 3)).is_applied
        steps = ledger.history(1)
        assert [step.locked for step in steps] == [
            False,
            False,
            True,
            True,
            False,
            False,
            False,
            False,
            False,
        ]
        assert steps[4].note == "unlocked by ann: mistake"
        assert (steps[-1].available, steps[-1].held) == (40_000, 10_000)
        accounts = found_accounts(ledger.accounts())
    with Ledger.open(path, checkpoint=0) as ledger:
        assert found_accounts(ledger.accounts()) == accounts
        assert ledger.settings.rules.dispute_withdrawal == "provisional_credit"
        assert ledger.decided == 10


def test_settings_belong_to_the_ledger(path: str) -> None:
    """They are given when it is made; other ones are refused, and both are named."""
    with Ledger.open(path, rules="cards", decimals=2, client_bits=32) as ledger:
        assert ledger.settings.decimals == 2
    with Ledger.open(path) as ledger:
        assert (ledger.settings.decimals, ledger.settings.client_bits) == (2, 32)
    with pytest.raises(LedgerSettingsError, match="made with decimals 2, and you asked for 4"):
        Ledger.open(path, decimals=4)
    with pytest.raises(LedgerSettingsError, match="rules cards, and you asked for standard"):
        Ledger.open(path, rules="standard")
    with pytest.raises(ValueError, match="durability"):
        Ledger.open(path, durability="sometimes")
    Ledger.open(path, rules="cards").close()


def test_history_and_as_of(path: str) -> None:
    """Any point in time can be told, from a checkpoint and the journal."""
    rows = draw_rows(3000)
    with Ledger.open(path) as ledger:
        for start in range(0, 3000, 500):
            ledger.process(csv_of(rows[start : start + 500]), stream=f"s{start}")
            if start == 1000:
                assert ledger.checkpoint() == 1500
        for sequence in (0, 1, 700, 1500, 1501, 2999, 3000):
            found = ledger.accounts(as_of=sequence)
            assert found.sequence == sequence
            assert found_accounts(found) == expected_accounts(rows[:sequence])
        with pytest.raises(LedgerError, match="has made 3000 decisions"):
            ledger.accounts(as_of=3001)
        for client in range(9):
            last = ledger.history(client)[-1]
            account = ledger.account(client)
            expected = (account.available_units, account.held_units, account.locked)
            assert (last.available, last.held, last.locked) == expected


def test_an_older_checkpoint_is_gone_on_from(path: str) -> None:
    """What is recovered from the journal alone makes checkpoints of its own, whatever pages there were before."""
    scattered = [(1, number % 9, number * 7_919_777 % 2**32, 5) for number in range(20_000)]
    with Ledger.open(path) as ledger:
        for part in range(2):
            ledger.process(csv_of(scattered[part * 9000 : (part + 1) * 9000]), stream=str(part))
            ledger.checkpoint()
        accounts = ledger.accounts().to_csv()
    for checkpoint in (1, 0):
        with Ledger.open(path, checkpoint=checkpoint) as ledger:
            assert ledger.accounts().to_csv() == accounts
            ledger.process(csv_of(scattered[18_000:]), stream="rest")
            accounts = ledger.accounts().to_csv()
        with Ledger.open(path) as ledger:
            assert ledger.accounts().to_csv() == accounts
            ledger.verify()
            assert ledger.apply(Deposit(1, 7_919_777, "0.0005")) is Outcome.DUPLICATE_TX


def test_looking_back_while_rows_go_on(path: str) -> None:
    """A state of the past and a verification are consistent, however many checkpoints come and go meanwhile."""
    rows = draw_rows(30_000, txs=30_000)
    with Ledger.open(path) as ledger:
        ledger.process(csv_of(rows[:3000]), stream="s")
        ledger.checkpoint()
        is_done = threading.Event()

        def go_on() -> None:
            for stop in range(4000, 30_001, 1000):
                ledger.process(csv_of(rows[:stop]), stream="s")
                ledger.checkpoint()
            is_done.set()

        writer = threading.Thread(target=go_on)
        writer.start()
        looks = 0
        while not is_done.is_set():
            assert found_accounts(ledger.accounts(as_of=3000)) == expected_accounts(rows[:3000])
            ledger.verify()
            looks += 1
        writer.join()
        assert looks >= 2
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)


def test_a_reader_beside_the_writer(path: str) -> None:
    """It sees what is durable, and changes nothing."""
    with Ledger.open(path) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
        with Ledger.open(path, read_only=True) as reader:
            assert found_accounts(reader.accounts()) == [(1, 10_000, 0, False)]
            for change in (lambda: reader.apply(Deposit(1, 2, "1")), reader.checkpoint):
                with pytest.raises(ReadOnlyError):
                    change()
        ledger.apply(Deposit(1, 2, "1"))
    with pytest.raises(StoreError, match="no such ledger"):
        Ledger.open(path + "x", read_only=True)


def test_one_writer(path: str) -> None:
    """A second one is told who writes, in this process and in another."""
    with Ledger.open(path):
        with pytest.raises(StoreBusyError, match=f"process {os.getpid()} "):
            Ledger.open(path)
        code = f"import holdfast; holdfast.Ledger.open({path!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"open for writing in process {os.getpid()} " in other.stderr
    Ledger.open(path).close()


def test_a_child_process_gets_an_error(path: str) -> None:
    """A ledger belongs to the process that opened it."""
    with Ledger.open(path) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                ledger.apply(Deposit(1, 2, "1"))
            except ProcessForkedError:
                code = 42
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        ledger.apply(Deposit(1, 2, "1"))
        assert ledger.decided == 2


def test_closing(path: str) -> None:
    """Closing again does nothing; after it, nothing is decided."""
    ledger = Ledger.open(path)
    ledger.apply(Deposit(1, 1, "1"))
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerClosedError):
        ledger.apply(Deposit(1, 2, "1"))


def test_many_threads_share_a_sync(path: str) -> None:
    """A thousand rows from forty threads are durable when each call returns, in far fewer commits."""
    with Ledger.open(path) as ledger:

        def apply_some(first: int) -> None:
            for tx in range(first, first + 25):
                assert ledger.apply(Deposit(1, tx, "1")).is_applied
                assert ledger.durable >= 1

        threads = [threading.Thread(target=apply_some, args=(25 * number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.durable == 1000
        assert ledger.account(1).available_units == 10_000_000
    with Ledger.open(path) as ledger:
        assert ledger.verify().entries < 900


def test_many_callers_on_an_event_loop(path: str) -> None:
    """A thousand coroutines share syncs, and none blocks the loop."""

    async def main(ledger: Ledger) -> list[Outcome]:
        return await asyncio.gather(*(ledger.apply_async(Deposit(1, tx, "1")) for tx in range(1000)))

    with Ledger.open(path) as ledger:
        assert set(asyncio.run(main(ledger))) == {Outcome.APPLIED}
        assert ledger.durable == 1000
    with Ledger.open(path) as ledger:
        assert ledger.verify().entries < 200


def test_a_commit_that_fails_stops_the_ledger(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is acknowledged after it; what was is there when the ledger is opened again."""
    ledger = Ledger.open(path)
    ledger.apply(Deposit(1, 1, "1"))

    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(ledger._store, "commit", fail)
    for _ in range(2):
        with pytest.raises((LedgerFailedError, RuntimeError), match="the disk is full"):
            ledger.apply(Deposit(1, 2, "1"))
    assert ledger.durable == 1
    assert isinstance(ledger.failure, StoreError)
    with pytest.raises((LedgerError, RuntimeError)):
        ledger.account(1)
    with pytest.raises(LedgerError, match="the disk is full"):
        ledger.close()
    monkeypatch.undo()
    with Ledger.open(path) as again:
        assert found_accounts(again.accounts()) == [(1, 10_000, 0, False)]


def test_what_is_no_ledger(tmp_path: Path) -> None:
    """Each wrong place is one sentence that says what it is, and nothing is harmed."""
    csv = tmp_path / "rows.csv"
    csv.write_bytes(csv_of(draw_rows(500)))
    before = csv.read_bytes()
    with pytest.raises(StoreDamagedError, match="no SQLite file"):
        Ledger.open(str(csv))
    assert csv.read_bytes() == before
    with pytest.raises(StoreError, match="is a directory"):
        Ledger.open(tmp_path)
    with pytest.raises(StoreError, match="there is no directory"):
        Ledger.open(tmp_path / "nowhere" / "p.db")
    other = tmp_path / "other.db"
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sqlite3; sqlite3.connect({str(other)!r}).execute('CREATE TABLE t (a)')",
        ],
        check=True,
    )
    with pytest.raises(StoreError, match="is no ledger"):
        Ledger.open(other)


def test_a_limit_of_memory_has_room_for_more_than_the_state(path: str) -> None:
    """The state stays clearly below it, at every moment, while four times as much is recorded."""
    limit, step = 16 << 20, 16_384
    most = 0
    with Ledger.open(path, memory_bytes_max=limit) as ledger:
        for start in range(0, 5_500_000, step):
            ledger.wait_for_room()
            batch = Batch.from_columns(
                b"\x01" * step,
                array.array("Q", bytes(8 * step)),
                array.array("Q", range(start, start + step)),
                array.array("q", [1]) * step,
            )
            ledger.decide(batch, 0, step, None, None, 0)
            most = max(most, ledger.totals().memory_bytes)
    assert limit // 2 < most < limit - limit // 16
