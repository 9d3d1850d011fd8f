"""Idempotency keys: a request that comes again gets its first answer, whatever happened in between, and decides nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from holdfast import (
    Deposit,
    Dispute,
    KeyReusedError,
    Ledger,
    LedgerError,
    LedgerFullError,
    Outcome,
    Transaction,
    Withdrawal,
)
from holdfast.domain.origin import Actor, Origin, RequestKey
from holdfast.kernel.batch import Batch
from holdfast.kernel.tally import Tally
from holdfast.storage import requests
from holdfast.storage.entry import decode_entry
from holdfast.storage.memory import MemoryStore
from holdfast.storage.ports import Commit

if TYPE_CHECKING:
    from storage.conftest import Place

HOUR_US = 3_600_000_000


def test_the_first_answer_again(place: Place) -> None:
    """Also a refusal that would not be one any more; now, after a replay, and from a checkpoint."""
    requested: dict[str, Transaction] = {
        "rent": Deposit(1, 1, "5"),
        "too much": Withdrawal(1, 2, "7"),
        "ключ": Dispute(1, 1),
        "k" * 255: Deposit(1, 3, "1.00001"),
    }
    with Ledger.open(place.open()) as ledger:
        first = {key: ledger.apply(each, idempotency_key=key, actor="ann") for key, each in requested.items()}
        assert first["too much"] is Outcome.INSUFFICIENT_FUNDS
        assert first["k" * 255] is Outcome.AMOUNT_TOO_PRECISE
        assert ledger.apply(Deposit(1, 4, 100)).is_applied
        assert {key: ledger.apply(each, idempotency_key=key) for key, each in requested.items()} == first
        assert ledger.decided == 5
    for checkpoint in (None, 0, None):
        with Ledger.open(place.open(), checkpoint=checkpoint) as ledger:
            assert {key: ledger.apply(each, idempotency_key=key) for key, each in requested.items()} == first
            assert ledger.apply(Deposit(1, 1, "5.0"), idempotency_key="rent").is_applied
            with pytest.raises(
                KeyReusedError, match="'rent' belongs to another request, which was decided as decision 1;"
            ):
                ledger.apply(Deposit(1, 1, "5.5"), idempotency_key="rent")
            assert ledger.decided == 5
            ledger.verify()
    with Ledger.open(place.open(read_only=True), read_only=True) as ledger:
        found = [step.row.request for step in ledger.history(1) if step.row]
        assert found == [*requested, None]
        assert [step.row.actor for step in ledger.history(1) if step.row][:2] == [Actor("ann")] * 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Deposit(1, 1, 5), Deposit(2, 1, 5)),
        (Deposit(1, 1, 5), Deposit(1, 2, 5)),
        (Deposit(1, 1, 5), Deposit(1, 1, 6)),
        (Deposit(1, 1, 5), Withdrawal(1, 1, 5)),
        (Deposit(1, 1, 5), Dispute(1, 1)),
        (Deposit(1, 1, "x"), Deposit(1, 1, "y")),
        (Deposit(1 << 40, 1, 1), Deposit(1 << 41, 1, 1)),
        (Deposit(1, 1 << 40, 1), Deposit(1, 1 << 41, 1)),
    ],
)
def test_another_transaction_under_the_same_key(one: Deposit, other: Deposit) -> None:
    """It is refused with an error of its own, however the transactions differ, and nothing is decided."""
    with Ledger.open(MemoryStore()) as ledger:
        outcome = ledger.apply(one, idempotency_key="a")
        with pytest.raises(KeyReusedError):
            ledger.apply(other, idempotency_key="a")
        assert ledger.decided == 1
        assert ledger.apply(one, idempotency_key="a") is outcome
        ledger.apply(other, idempotency_key="b")
        assert ledger.decided == 2


def test_what_cannot_be_a_key() -> None:
    """It is refused before anything is decided."""
    with Ledger.open(MemoryStore()) as ledger:
        for wrong in ("", "x" * 256, "\udc80"):
            with pytest.raises(ValueError, match="an idempotency key"):
                ledger.apply(Deposit(1, 1, 1), idempotency_key=wrong)
        assert ledger.decided == 0
    with pytest.raises(LedgerError):
        ledger.apply(Deposit(1, 1, 1), idempotency_key="a")


def test_many_threads_and_tasks_bring_one_request() -> None:
    """One of them decides; all get its answer."""
    with Ledger.open(MemoryStore()) as ledger:
        start = threading.Barrier(8)

        def send(number: int) -> list[Outcome]:
            start.wait()
            return [
                ledger.apply(Deposit(number % 2, key, 1), idempotency_key=f"{number % 2}/{key}")
                for key in range(number % 2, 200, 2)
            ]

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(send, range(8)))
        assert all(each is Outcome.APPLIED for outcomes in found for each in outcomes)
        assert ledger.decided == 200

        async def send_all() -> list[Outcome]:
            sent = [ledger.apply_async(Deposit(5, 1000, 1), idempotency_key="async") for _ in range(5)]
            return await asyncio.gather(*sent)

        assert asyncio.run(send_all()) == [Outcome.APPLIED] * 5
        assert ledger.decided == 201


def test_a_window_of_keys_and_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least so many keys, and at most twice as many, are known, each for a day; a checkpoint and a replay know the same."""
    monkeypatch.setattr(requests, "KEYS_MAX", 10)
    store = MemoryStore()
    with Ledger.open(store) as ledger:
        for tx in range(35):
            assert ledger.apply(Deposit(1, tx, 1), idempotency_key=str(tx)).is_applied
    for checkpoint in (None, 0):
        with Ledger.open(store, checkpoint=checkpoint) as ledger:
            known = ledger._remembered.requests
            assert [int(key) for key in known.content()] == list(range(20, 35))
            assert sum(count for _, count in known.copy()) == 15
    with Ledger.open(store) as ledger:
        assert ledger.apply(Deposit(1, 20, 1), idempotency_key="20").is_applied
        assert ledger.apply(Deposit(1, 19, 1), idempotency_key="19") is Outcome.DUPLICATE_TX
        now = time.time_ns()
        later = now + (24 * HOUR_US - 60_000_000) * 1000
        monkeypatch.setattr(time, "time_ns", lambda: later)
        assert ledger.apply(Deposit(1, 34, 1), idempotency_key="34").is_applied
        monkeypatch.setattr(time, "time_ns", lambda: now + 25 * HOUR_US * 1000)
        # A day later it is a new request, and remembered anew.
        assert ledger.apply(Deposit(1, 34, 1), idempotency_key="34") is Outcome.DUPLICATE_TX
        assert ledger.apply(Deposit(1, 34, 1), idempotency_key="34") is Outcome.DUPLICATE_TX
        assert ledger.decided == 37
        ledger.verify()


def test_a_request_that_a_crash_took_is_new() -> None:
    """From every prefix of the journal on: what is in it is answered as before, what is not is decided now."""
    store = MemoryStore()
    with Ledger.open(store) as ledger:
        for tx in range(12):
            ledger.apply(Deposit(1, tx, 1), idempotency_key=f"k{tx}")
    with closing(store.reader()) as reader:
        entries = list(reader.entries(0))
        meta = {key: reader.meta(key) or b"" for key in ("settings", "ledger")}
    for kept in range(len(entries) + 1):
        copy = MemoryStore()
        copy.create(meta)
        copy.commit(Commit(entries[:kept]))
        with Ledger.open(copy) as ledger:
            assert all(
                ledger.apply(Deposit(1, tx, 1), idempotency_key=f"k{tx}").is_applied for tx in range(12)
            )
            assert ledger.decided == 12


def test_what_was_not_decided_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, and a load that was undone: the same request is decided later."""
    with Ledger.open(MemoryStore()) as ledger:
        with monkeypatch.context() as patch:
            patch.setattr(ledger._committer, "is_low", True)
            with pytest.raises(LedgerFullError):
                ledger.apply(Deposit(1, 1, 1), idempotency_key="a")
        with ledger.atomic() as load:
            assert ledger.apply(Deposit(1, 1, 1), idempotency_key="a").is_applied
            load.is_kept = False
        before = ledger.decided
        assert ledger.apply(Deposit(1, 1, 1), idempotency_key="a").is_applied
        assert ledger.decided == before + 1


def test_a_request_of_many_rows() -> None:
    """One way in for later fronts: its rows may be decided in several pieces, and its answer is all of their outcomes."""
    store = MemoryStore()
    request = RequestKey("batch", b"f" * 16)
    with Ledger.open(store) as ledger:
        batch = Batch.from_rows([(1, 1, tx, 10_000, 0) for tx in (1, 2, 2, 3)])
        origin = Origin(request=request)
        ledger.decide(batch, 0, 3, Tally(), origin, 0)
        ledger.decide(Batch.from_rows([(1, 9, 9, 1, 0)]), 0, 1, Tally(), None, 0)
        ledger.decide(batch, 3, 4, Tally(), origin, 3)
    for checkpoint in (None, 0):
        with (
            Ledger.open(store, checkpoint=checkpoint) as ledger,
            ledger._remembered.requests.claimed(request) as known,
        ):
            assert known is not None
            assert (known.outcomes, known.decided_at) == (bytes((1, 1, 31, 1)), 5)
    with closing(store.reader()) as reader:
        found = [each for entry in reader.entries(0) for each in decode_entry("t", entry).sections.requests]
    assert [(each.rows, each.rows_before) for each in found] == [(3, 0), (1, 3)]
