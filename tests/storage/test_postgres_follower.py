"""The tables that follow a journal in PostgreSQL say what the ledger says, whenever the follower runs."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from e2e.command import TIMEOUT_SECONDS, run, start
from holdfast import Chargeback, Deposit, Dispute, Ledger, Withdrawal
from holdfast.domain.outcome import Phase
from holdfast.domain.rules import STANDARD
from holdfast.storage.accepting import accept_outcomes
from holdfast.storage.memory import MemoryStore
from holdfast.storage.ports import StoreDamagedError, StoreError
from holdfast.storage.pruning import prune
from holdfast.storage.stores import open_follower, open_store
from holdfast.storage.view import LedgerView
from storage.ledgers import csv_of, draw_rows
from storage.postgres_tools import ask, cut_connections
from storage.upgrades import upgrade

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from holdfast.storage.postgres.follower import PostgresFollower

pytest.importorskip("psycopg")


def follow(url: str) -> int:
    """Bring the tables up to date; give how many steps that took."""
    with open_follower(url) as follower:
        return catch_up(follower)


def catch_up(follower: PostgresFollower) -> int:
    """The same, with an open follower."""
    steps = 1
    while (followed := follower.step()).sequence < followed.end:
        steps += 1
    return steps


def check_tables(url: str) -> None:
    """Compare every row of every table with what the ledger says."""
    with Ledger.open(url, read_only=True) as ledger:
        accounts = [
            (each.client, each.available, each.held, each.total, each.locked) for each in ledger.accounts()
        ]
        assert (
            ask(url, "SELECT client, available, held, total, locked FROM accounts ORDER BY client")
            == accounts
        )
        check_transactions(url, ledger)
        decided = ledger.decided
        streams = ask(url, "SELECT stream, rows, stopped IS NOT NULL FROM streams")
        for stream, rows, is_stopped in streams:
            known = ledger.find_stream(stream.replace("\N{SYMBOL FOR NULL}", "\0"))
            assert known is not None
            assert (known.rows, known.stopped > 0) == (rows, is_stopped)
    check_rejects(url)
    assert ask(url, "SELECT sequence FROM followed") == [(decided,)]


def check_transactions(url: str, ledger: Ledger) -> None:
    """Compare every applied transaction."""
    found = ask(url, "SELECT tx, client, type, amount, dispute, sequence FROM transactions ORDER BY sequence")
    for tx, client, type_, amount, dispute, _ in found:
        known = ledger.transaction(int(tx))
        state = known.dispute.name.lower().replace("_", " ") if known.dispute else None
        assert (client, type_, amount, dispute) == (
            known.client,
            known.type.name.lower(),
            known.amount,
            state,
        )
    assert len({sequence for *_, sequence in found}) == len(found) == ledger.totals().transactions


def check_rejects(url: str) -> None:
    """Compare every row that was not applied."""
    with open_store(url, read_only=True) as store:
        view = LedgerView(store, owns_store=False)
        expected: list[tuple[Any, ...]] = []
        for row in view.refused():
            stream = row.stream and row.stream.replace("\0", "\N{SYMBOL FOR NULL}")
            place = (row.sequence, stream, row.number or None, row.outcome.name)
            if row.outcome.phase is Phase.DECODE:
                expected.append((*place, None, None, None, None))
                continue
            amount = (
                Decimal(row.amount).scaleb(-view.created.decimals)
                if row.type in {"deposit", "withdrawal"}
                else None
            )
            expected.append((*place, row.type, row.client, row.tx, amount))
        view.close()
    assert (
        ask(
            url,
            "SELECT sequence, stream, number, outcome, type, client, tx, amount FROM rejects ORDER BY sequence",
        )
        == expected
    )


def test_the_tables_say_what_the_ledger_says(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disputes, locks and unlocks, refused and unreadable rows, named streams; followed in many small steps, now and then."""
    monkeypatch.setattr("holdfast.storage.postgres.followed_entries._ROWS_AT_ONCE", 150)
    rows = draw_rows(3000, clients=4, txs=60)
    rng = random.Random(5)
    steps = 0
    for end in range(250, 3001, 250):
        with Ledger.open(postgres_url) as ledger:
            for part in range(end - 200, end + 1, 50):
                ledger.process(csv_of(rows[:part]), stream="a\tb\\c\0%d")
            ledger.process(b"type,client,tx,amount\nnonsense,1,1,1\ndeposit,1,,\ndeposit,900,1,-5\n")
            ledger.apply(Withdrawal(7, 10_000 + end, "0.0001"))
            locked = [each.client for each in ledger.accounts() if each.locked]
            for client in rng.sample(locked, min(2, len(locked))):
                ledger.unlock(client, reason="checked")
        if rng.random() < 0.6:
            steps += follow(postgres_url)
            check_tables(postgres_url)
    follow(postgres_url)
    check_tables(postgres_url)
    assert steps > 10
    disputes = dict(ask(postgres_url, "SELECT dispute, count(*) FROM transactions GROUP BY dispute"))
    assert set(disputes) == {None, "under dispute", "resolved", "charged back"}
    assert ask(postgres_url, "SELECT stream FROM streams") == [("a\tb\\c\N{SYMBOL FOR NULL}%d",)]


@pytest.mark.parametrize("decimals", [0, 1, 4, 5, 9])
@pytest.mark.parametrize("bits", [32, 64])
def test_amounts_and_ids_of_every_size(postgres_url: str, decimals: int, bits: int) -> None:
    """The smallest and the largest ones, with any number of decimals."""
    units = [1, 9, 9999, 10_000, 10_001, 99_999_999, 100_000_000, 10**12, 2**63 - 1]
    with Ledger.open(
        postgres_url, rules="cards", decimals=decimals, client_bits=bits, tx_bits=bits
    ) as ledger:
        for number, amount in enumerate(units):
            client = (1 << bits) - 1 - number
            ledger.apply(Deposit(client, number, Decimal(amount).scaleb(-decimals)))
            ledger.apply(Withdrawal(client, (1 << bits) - 1 - number, Decimal(1).scaleb(-decimals)))
            ledger.process(f"type,client,tx,amount\ndispute,{client},{(1 << bits) - 1 - number},\n".encode())
    follow(postgres_url)
    check_tables(postgres_url)


def test_ids_that_become_wider(postgres_url: str) -> None:
    """The tables make room for them from the decision on that does."""
    with Ledger.open(postgres_url) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
    follow(postgres_url)
    with Ledger.open(postgres_url) as ledger:
        ledger.apply(Deposit(2, 2, "1"))
        ledger.change_settings(client_bits=64, tx_bits=64, reason="wider")
        ledger.apply(Deposit((1 << 64) - 1, (1 << 64) - 1, "1"))
        ledger.process(f"type,client,tx,amount\ndispute,{(1 << 64) - 1},{(1 << 64) - 1},\n".encode())
    follow(postgres_url)
    check_tables(postgres_url)


def test_followers_that_are_cut_off_and_get_in_each_others_way(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry is taken once, whatever happens to whom."""
    monkeypatch.setattr("holdfast.storage.postgres.followed_entries._ROWS_AT_ONCE", 100)
    rows = draw_rows(1500)
    with Ledger.open(postgres_url) as ledger:
        for end in range(100, 1501, 100):
            ledger.process(csv_of(rows[:end]), stream="day")
    with ThreadPoolExecutor(3) as pool, ExitStack() as stack:
        followers = [stack.enter_context(open_follower(postgres_url)) for _ in range(3)]
        works = [pool.submit(catch_up, each) for each in followers]
        for _ in range(12):
            cut_connections(postgres_url, "follower")
            time.sleep(0.1)
        assert sum(each.result() for each in works) >= 10
    follow(postgres_url)
    check_tables(postgres_url)


def test_tables_that_cannot_follow(postgres_url: str) -> None:
    """Rows that somebody took away, entries that were pruned, tables of another version: said, with the way out."""
    with Ledger.open(postgres_url) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
        follow(postgres_url)
        ask(postgres_url, "DELETE FROM transactions")
        ledger.process(b"type,client,tx,amount\ndispute,1,1,\n")
        with pytest.raises(StoreDamagedError, match="lacks some that disputes"):
            follow(postgres_url)
        ask(postgres_url, "DROP TABLE followed, accounts, transactions, rejects, streams")
        follow(postgres_url)
        for tx in range(2, 9):
            ledger.apply(Deposit(1, tx, "1"))
        ledger.checkpoint()
    with open_store(postgres_url) as store:
        prune(store, 8, None)
    with pytest.raises(StoreError, match="entries after these were pruned"):
        follow(postgres_url)
    ask(postgres_url, "UPDATE followed SET version = 99")
    with pytest.raises(StoreError, match="of version 99"):
        follow(postgres_url)


def test_the_command_follows(postgres_url: str, tmp_path: Path) -> None:
    """Until it is told to stop, and with a lag that nobody notices; once, if that is asked for; a file has no tables."""
    with Ledger.open(postgres_url) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
        once = run("ledger", "follow", postgres_url, "--once")
        assert (once.code, once.errors) == (0, "holdfast: the tables know all 1 decisions\n")
        with start("ledger", "follow", postgres_url, "-q") as following:
            until = time.monotonic() + TIMEOUT_SECONDS
            for tx in range(2, 12):
                ledger.apply(Deposit(1, tx, "1"))
                while ask(postgres_url, "SELECT count(*) FROM transactions") != [(tx,)]:
                    assert following.poll() is None
                    assert time.monotonic() < until
            following.terminate()
            assert following.wait(TIMEOUT_SECONDS) == 143
    check_tables(postgres_url)
    refused = run("ledger", "follow", tmp_path / "p.db")
    assert (refused.code, "a ledger in PostgreSQL only" in refused.errors) == (1, True)
    missing = run("ledger", "follow", postgres_url.replace("holdfast_schema=", "holdfast_schema=no_"))
    assert (missing.code, "there is no ledger here yet" in missing.errors) == (1, True)


def test_tables_follow_outcomes_that_were_accepted(postgres_url: str) -> None:
    """The tables know what the journal says from the beginning; the ledger says the same once it may open."""
    source = MemoryStore()
    with Ledger.open(source, rules="cards") as ledger:
        assert ledger.apply(Deposit(1, 1, "9")).is_applied
        assert ledger.apply(Withdrawal(1, 2, "5")).is_applied
        assert ledger.apply(Dispute(1, 2)).is_applied
        assert ledger.apply(Chargeback(1, 2)).is_applied
        ledger.unlock(1, reason="a mistake")
    with open_store(postgres_url) as store:
        upgrade(source, store, STANDARD)
    follow(postgres_url)
    assert ask(postgres_url, "SELECT available, locked FROM accounts") == [(Decimal(9), False)]
    assert accept_outcomes(postgres_url, reason="an upgrade") is not None
    follow(postgres_url)
    check_tables(postgres_url)
