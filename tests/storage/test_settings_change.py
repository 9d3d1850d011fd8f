"""Settings that change while a ledger lives: ids become wider, from one decision on, and every state of the past stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.command import run
from holdfast import Deposit, Dispute, Ledger, LedgerError, Outcome, Withdrawal
from holdfast.storage.copying import restore_ledger
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios import TransactionRow
    from storage.conftest import Place

WIDE_CLIENT, WIDE_TX = 70_000, 1 << 40


def widened(rows: list[TransactionRow], *, by: int) -> list[TransactionRow]:
    """Move the ids of rows to where narrow ids end."""
    return [(type_, client + WIDE_CLIENT, tx + by, amount) for type_, client, tx, amount in rows]


@pytest.mark.parametrize("memory_bytes_max", [None, 3 << 20])
def test_ids_become_wider(place: Place, memory_bytes_max: int | None) -> None:
    """Rows of wide ids are refused before and decided after; each way to open the ledger comes to the same accounts."""
    before, after = draw_rows(3000), widened(draw_rows(2000, seed=2), by=WIDE_TX)
    with Ledger.open(place.open(), memory_bytes_max=memory_bytes_max) as ledger:
        ledger.process(csv_of(before), stream="before")
        assert ledger.process(csv_of(after[:1])).applied == 0
        ledger.change_settings(client_bits=32, tx_bits=64, reason="a partner with wide ids", actor="ann")
        assert (ledger.settings.client_bits, ledger.settings.tx_bits) == (32, 64)
        ledger.process(csv_of(after[:1000]), stream="after")
        assert found_accounts(ledger.accounts(as_of=3001)) == expected_accounts(before)
    expected = expected_accounts(before + after)
    for checkpoint in (None, 1, 0, None):
        # The first time, the replay begins before the change; the last time, after it.
        with Ledger.open(place.open(), memory_bytes_max=memory_bytes_max, checkpoint=checkpoint) as ledger:
            ledger.process(csv_of(after), stream="after")
            assert ledger.decided == 5002
            assert found_accounts(ledger.accounts()) == expected
            assert ledger.settings.client_bits == 32
            assert ledger.history(WIDE_CLIENT)
            ledger.verify()
    with Ledger.open(place.open(), read_only=True) as ledger:
        assert found_accounts(ledger.accounts()) == expected


def test_step_by_step_and_undone(tmp_path: Path) -> None:
    """One width after the other; a load that is undone after it, copies, and records of before stay reachable."""
    path = str(tmp_path / "p.db")
    with Ledger.open(path, tx_bits=16) as ledger:
        assert ledger.apply(Deposit(1, 1, "5")).is_applied
        ledger.change_settings(tx_bits=32, reason="more")
        assert ledger.apply(Deposit(1, 65_536, "5")).is_applied
        ledger.change_settings(client_bits=64, reason="more")
        with ledger.atomic() as load:
            assert ledger.process(b"type,client,tx,amount\ndeposit,1152921504606846976,2,1\n").applied == 1
            load.is_kept = False
        assert ledger.apply(Deposit(1 << 60, 2, "1")).is_applied
        ledger.change_settings(tx_bits=64, row_bytes_max=100, reason="more")
        assert ledger.apply(Withdrawal(1 << 60, 1 << 60, "1")).is_applied
        for tx in (1, 65_536):
            assert ledger.apply(Dispute(1, tx)).is_applied
        accounts = found_accounts(ledger.accounts())
    copy = str(tmp_path / "copy.db")
    restore_ledger(path, copy, None, None)
    with Ledger.open(copy) as ledger:
        assert found_accounts(ledger.accounts()) == accounts
        assert ledger.settings[2:5] == (64, 64, 100)


def test_what_is_refused(tmp_path: Path) -> None:
    """Narrower ids, no reason, a ledger that is only read; nothing changes."""
    path = str(tmp_path / "p.db")
    with Ledger.open(path, client_bits=32) as ledger:
        for wrong, message in (
            ({"client_bits": 16, "tx_bits": 64}, "wider, and never narrower"),
            ({"tx_bits": 33}, "16, 32 or 64 bits"),
            ({"row_bytes_max": 0}, "row_bytes_max is 1 to"),
        ):
            with pytest.raises(ValueError, match=message):
                ledger.change_settings(**wrong, reason="x")  # type: ignore[arg-type]  # names and numbers
        with pytest.raises(ValueError, match="a reason"):
            ledger.change_settings(tx_bits=64, reason="")
        assert ledger.decided == 0
    with Ledger.open(path, read_only=True) as ledger, pytest.raises(LedgerError):
        ledger.change_settings(tx_bits=64, reason="x")


def test_the_command(tmp_path: Path) -> None:
    """It says what is in force, and changes it with a reason."""
    path = tmp_path / "p.db"
    with Ledger.open(path) as ledger:
        assert ledger.apply(Deposit(1, 1, "1")).is_applied
    assert run("ledger", "settings", path, "--client-bits", "32").code == 2
    assert run("ledger", "settings", path, "--client-bits", "32", "--reason", "wide").code == 0
    refused = run("ledger", "settings", path, "--client-bits", "16", "--reason", "narrow")
    assert (refused.code, "never narrower" in refused.errors) == (2, True)
    assert b"client_bits = 32" in run("ledger", "settings", path).output
    with Ledger.open(path, client_bits=32) as ledger:
        assert ledger.apply(Deposit(1, 1, "1")) is Outcome.DUPLICATE_TX
        assert ledger.apply(Deposit(WIDE_CLIENT, 2, "1")).is_applied
