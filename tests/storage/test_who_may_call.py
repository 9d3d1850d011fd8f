"""Every public method of a ledger, where it must not be called: on one that is open to read only, and in a forked child.

The methods are those that the class has. One that is new is in no table, and the first test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import Deposit, Ledger
from holdfast.kernel.batch import Batch
from holdfast.kernel.tally import Tally
from holdfast.storage.failures import LedgerError, ProcessForkedError, ReadOnlyError
from holdfast.storage.ports import Commit, Store, StoredEntry, StoreError
from storage.ledgers import csv_of, draw_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.conftest import Place

ROW = Deposit(1, 10**6, "1")
CSV = b"type,client,tx,amount\ndeposit,1,1000000,1\n"


def rows() -> Batch:
    """Give a row that was not decided."""
    return Batch.from_rows([(1, 1, 10**6, 1, 0)])


def columns() -> tuple[Any, ...]:
    """Give it as columns."""
    batch = rows()
    return batch.types, batch.clients, batch.txs, batch.amounts


def enter(context: contextlib.AbstractContextManager[object]) -> None:
    """Begin and end what is a context manager."""
    with context:
        pass


CHANGING: dict[str, Callable[[Ledger], object]] = {
    "apply": lambda ledger: ledger.apply(ROW),
    "apply_async": lambda ledger: asyncio.run(ledger.apply_async(ROW)),
    "apply_batch": lambda ledger: ledger.apply_batch(*columns()),
    "atomic": lambda ledger: enter(ledger.atomic()),
    "begin_atomic": lambda ledger: ledger.begin_atomic(),
    "change_settings": lambda ledger: ledger.change_settings(rules="cards", reason="x"),
    "checkpoint": lambda ledger: ledger.checkpoint(),
    "decide": lambda ledger: ledger.decide(rows(), 0, 1, None, None, 0),
    "decide_present": lambda ledger: ledger.decide_present and ledger.decide_present(rows(), 0, 1, Tally(), None, 0),
    "end_atomic": lambda ledger: ledger.end_atomic(None),
    "process": lambda ledger: ledger.process(CSV),
    "process_each": lambda ledger: ledger.process_each([CSV], stream="new"),
    "unlock": lambda ledger: ledger.unlock(1, reason="x"),
}  # fmt: skip
"""What decides something or writes something."""
LOOKING: dict[str, Callable[[Ledger], object]] = {
    "account": lambda ledger: ledger.account(1),
    "accounts": lambda ledger: (ledger.accounts(), ledger.accounts(as_of=1)),
    "claim_source": lambda ledger: enter(ledger.claim_source("pay", 0)),
    "claim_stream": lambda ledger: enter(ledger.claim_stream("new")),
    "commit_now": lambda ledger: ledger.commit_now(),
    "decided_accounts": lambda ledger: ledger.decided_accounts(),
    "find_balances": lambda ledger: ledger.find_balances(1),
    "find_stream": lambda ledger: ledger.find_stream("day"),
    "history": lambda ledger: ledger.history(1),
    "load_pages": lambda ledger: ledger.load_pages([0]),
    "new_decoder": lambda ledger: ledger.new_decoder(keep_source=True),
    "source_position": lambda ledger: ledger.source_position("pay", 0),
    "totals": lambda ledger: ledger.totals(),
    "transaction": lambda ledger: ledger.transaction(999_999),
    "verify": lambda ledger: ledger.verify(),
    "wait_durable": lambda ledger: ledger.wait_durable(),
    "wait_durable_async": lambda ledger: asyncio.run(ledger.wait_durable_async()),
    "wait_for_room": lambda ledger: ledger.wait_for_room(),
    "wanted_pages": lambda ledger: ledger.wanted_pages(rows(), 0, 1),
}
"""What looks at the state, or waits for it."""
HARMLESS: dict[str, Callable[[Ledger], object]] = {
    "engine_of": lambda ledger: ledger.engine_of("x"),
    "on_durable": lambda ledger: ledger.on_durable(lambda: None)(),
    "__repr__": repr,
    "name": lambda ledger: ledger.name,
    "close": lambda ledger: ledger.close(),
}
"""What may be called anywhere."""
PROPERTIES = {
    "decided", "durable", "failure", "is_congested", "name", "records_origins", "settings", "spreads_sources",
}  # fmt: skip
OPENING = {"open"}


def public_names(thing: object) -> set[str]:
    """List what an object has for others."""
    return {name for name in dir(thing) if not name.startswith("_")}


def error_of(call: Callable[[], object]) -> BaseException | None:
    """Give the error that a call ends with."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  # whatever it is
        return error
    return None


def fill(place: Place) -> None:
    """Make a ledger with some rows, and a locked client."""
    with Ledger.open(place.open()) as ledger:
        ledger.process(csv_of(draw_rows(500, txs=500)), stream="day")
        assert ledger.apply(Deposit(20, 999_999, "1")).is_applied


def test_the_tables_have_every_method(place: Place) -> None:
    """Whoever adds a method says here what it is."""
    with Ledger.open(place.open()) as ledger:
        assert public_names(ledger) == {
            *CHANGING, *LOOKING, *(each for each in HARMLESS if each[0] != "_"), *PROPERTIES, *OPENING,
        }  # fmt: skip
        for name in PROPERTIES:
            getattr(ledger, name)


def test_a_ledger_to_read_only(place: Place) -> None:
    """Whatever would change it raises one error, and nothing is changed; everything else works."""
    fill(place)
    with place.open() as store:
        reader = store.reader()
        before = (list(reader.entries(0)), reader.checkpoints())
        reader.close()
    with Ledger.open(place.open(read_only=True), read_only=True) as ledger:
        accounts, totals = ledger.accounts().to_csv(), ledger.totals()
        for name, call in CHANGING.items():
            with pytest.raises(ReadOnlyError, match="is open to read only; open it without read_only=True"):
                call(ledger)
            assert (ledger.accounts().to_csv(), ledger.totals()) == (accounts, totals), name
        for call in (*LOOKING.values(), *HARMLESS.values()):
            call(ledger)
    with place.open() as store:
        reader = store.reader()
        assert (list(reader.entries(0)), reader.checkpoints()) == before
        reader.close()


def test_a_ledger_that_is_closed(place: Place) -> None:
    """Nothing changes it any more, nothing waits for it, and no error is one of the store's driver."""
    fill(place)
    ledger = Ledger.open(place.open(), memory_bytes_max=3 << 20)
    ledger.close()
    for name, call in CHANGING.items():
        assert isinstance(error_of(lambda call=call: call(ledger)), LedgerError), name  # type: ignore[misc]  # a default
    for call in (*LOOKING.values(), *HARMLESS.values()):
        with contextlib.suppress(LedgerError, StoreError):
            call(ledger)


WRITING: dict[str, Callable[[Store], object]] = {
    "begin_atomic": lambda store: store.begin_atomic(),
    "commit": lambda store: store.commit(Commit([StoredEntry(1 << 40, 1, 1 << 60, b"x")])),
    "compact": lambda store: store.compact(),
    "create": lambda store: store.create({"settings": b""}),
    "discard_checkpoints": lambda store: store.discard_checkpoints(0),
    "discard_unpublished": lambda store: store.discard_unpublished(),
    "drop_checkpoint": lambda store: store.drop_checkpoint(1),
    "end_atomic": lambda store: store.end_atomic(keep=True),
    "erase_raw_texts": lambda store: store.erase_raw_texts(1 << 40),
    "prune_entries": lambda store: store.prune_entries(1 << 40),
    "sync": lambda store: store.sync(),
    "tidy": lambda store: store.tidy(),
}
READING = {"close", "disk_free_bytes", "name", "reader"}


def test_a_store_to_read_only(place: Place) -> None:
    """What redacts, prunes and compacts is a store's, and has its error; nothing is changed."""
    assert public_names(Store) == {*WRITING, *READING}
    if not place.is_durable:
        pytest.skip("a store in memory is one object")
    fill(place)
    with place.open(read_only=True) as store, contextlib.closing(store.reader()) as reader:
        before = (list(reader.entries(0)), reader.checkpoints(), reader.sizes()[:5])
        for name, call in WRITING.items():
            error = error_of(lambda call=call: call(store))  # type: ignore[misc]  # mypy knows no such default
            assert isinstance(error, StoreError), name
            assert "read only" in str(error), name
        assert (list(reader.entries(0)), reader.checkpoints(), reader.sizes()[:5]) == before


def in_a_child(call: Callable[[], object]) -> str:
    """Call something in a forked child; say what came of it, within some seconds."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    with warnings.catch_warnings():
        # Python from 3.12 on warns of what is tried here: a fork of a process with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        said = "no error"
        try:
            call()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is told
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        said = told.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said or f"nothing: it ended with {status}"


def test_a_forked_child(place: Place) -> None:
    """Whatever it calls, it hears whose ledger it is, at once; the parent goes on deciding rows all the while."""
    fill(place)
    is_done = threading.Event()
    with Ledger.open(place.open(), memory_bytes_max=3 << 20) as ledger:

        def go_on() -> None:
            tx = 2 * 10**6
            while not is_done.is_set():
                ledger.apply(Deposit(2, tx, "1"))
                tx += 1

        threads = [threading.Thread(target=go_on) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for name, call in (*CHANGING.items(), *LOOKING.items()):
                said = in_a_child(lambda call=call: call(ledger))  # type: ignore[misc]  # mypy knows no such default
                assert said.startswith(f"{ProcessForkedError.__name__}: {ledger.name} was opened by"), (
                    name,
                    said,
                )
                assert said.endswith("open it after the fork"), name
            for name, call in HARMLESS.items():
                assert in_a_child(lambda call=call: call(ledger)) == "no error", name  # type: ignore[misc]
            for name in PROPERTIES:
                said = in_a_child(lambda name=name: getattr(ledger, name))  # type: ignore[misc]
                assert said == "no error" or said.startswith(ProcessForkedError.__name__), (name, said)
        finally:
            is_done.set()
            for thread in threads:
                thread.join()
        assert ledger.failure is None
        decided = ledger.decided
        assert ledger.apply(Deposit(1, 10**6, "1")).is_applied
    with Ledger.open(place.open()) as ledger:
        assert ledger.decided == decided + 1
        ledger.verify()


def test_a_forked_child_and_a_ledger_to_read_only(place: Place) -> None:
    """The same, though no thread is lost there."""
    fill(place)
    with Ledger.open(place.open(read_only=True), read_only=True) as ledger:
        for name, call in (*CHANGING.items(), *LOOKING.items()):
            said = in_a_child(lambda call=call: call(ledger))  # type: ignore[misc]  # mypy knows no such default
            assert said.startswith(ProcessForkedError.__name__), (name, said)
        assert ledger.history(1)


def test_a_child_opens_what_its_parent_has_let_go(place: Place) -> None:
    """The lock is the parent's alone: the child is told who writes, and writes itself once that one has closed the ledger."""
    if not place.is_durable:
        pytest.skip("a store in memory belongs to one process")
    ledger = Ledger.open(place.open())
    ledger.apply(Deposit(1, 1, "1"))
    reading, writing = os.pipe()

    def take_over() -> None:
        with pytest.raises(StoreError, match=str(os.getppid())):
            Ledger.open(place.open())
        os.write(writing, b"x")
        until = time.monotonic() + 15
        while True:
            try:
                with Ledger.open(place.open()) as own:
                    assert own.apply(Deposit(1, 2, "1")).is_applied
                    return
            except StoreError:
                assert time.monotonic() < until
                time.sleep(0.02)

    def close_when_asked() -> None:
        os.read(reading, 1)
        ledger.close()

    closing = threading.Thread(target=close_when_asked)
    closing.start()
    said = in_a_child(take_over)
    closing.join()
    os.close(reading)
    os.close(writing)
    assert said == "no error"
    with Ledger.open(place.open()) as again:
        assert again.decided == 2
