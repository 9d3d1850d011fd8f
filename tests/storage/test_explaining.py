"""Why a decision came out as it did: what it met and what it did are what the model says, at every place in the order."""

from __future__ import annotations

import getpass
import json
import random
from typing import TYPE_CHECKING

import pytest

from e2e.command import run
from holdfast import Chargeback, Deposit, Dispute, Ledger, LedgerError, Outcome
from holdfast.domain.model import Model
from holdfast.domain.transaction import TransactionType
from storage.ledgers import csv_of, draw_rows

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.domain.account import Account
    from storage.conftest import Place


def balances(account: Account | None) -> tuple[int, int, bool] | None:
    """Give what is compared of an account."""
    return None if account is None else (account.available_units, account.held_units, account.locked)


def found_in(model: Model, client: int) -> Account | None:
    """Look a client up in the model."""
    return next((each for each in model.accounts() if each.client == client), None)


def test_every_decision_meets_what_the_model_says(place: Place) -> None:
    """From checkpoints and from the journal; rows of named streams are found by their place there."""
    rows = draw_rows(1500)
    with Ledger.open(place.open()) as ledger:
        for start in range(0, 1500, 250):
            ledger.process(csv_of(rows[start : start + 250]), stream=f"from {start}")
            if start % 500 == 0:
                ledger.checkpoint()
        model = Model()
        wanted = set(random.Random(1).sample(range(1, 1501), 60)) | {1, 250, 251, 1500}
        with ledger._view() as view:
            for sequence, (type_, client, *rest) in enumerate(rows, 1):
                before = balances(found_in(model, client))
                outcome = model.apply(TransactionType(type_), client, *rest)
                if sequence not in wanted:
                    continue
                found = view.explain(sequence)
                assert found.row is not None
                assert (found.row.outcome, found.row.client, found.row.tx) == (outcome, client, rest[0])
                assert balances(found.before) == before
                assert balances(found.after) == balances(found_in(model, client))
                by_row = view.explain(stream=found.row.stream, row=found.row.number)
                assert by_row == found
                if outcome is Outcome.APPLIED:
                    assert (found.transaction is None) is (type_ <= 2)
            for wrong in (0, 1501, 1 << 63):
                with pytest.raises(LedgerError, match="none that the journal has"):
                    view.explain(wrong)
            for stream, row in (("from 0", 0), ("from 0", 251), ("nobody's", 1)):
                with pytest.raises(LedgerError, match="no row"):
                    view.explain(stream=stream, row=row)


def test_the_command(tmp_path: Path) -> None:
    """It shows a refused row with its text, what was recorded, an operator's decision; as lines and as JSON."""
    path, source = tmp_path / "p.db", tmp_path / "rows.csv"
    source.write_bytes(
        b"type,client,tx,amount\ndeposit,1,1,5\nwithdrawal,1,2,7\nwith\x1b[31m,1,2,7\ndispute,1,1,\n"
    )
    assert run("load", source, "--data", path, "--stream", "a day", "-q").code == 0
    with Ledger.open(path) as ledger:
        assert ledger.apply(Chargeback(1, 1)).is_applied
        ledger.unlock(1, reason="by mistake", actor="ann")
    lines = run("ledger", "explain", path, "--stream", "a day", "--row", "2").output.decode().splitlines()
    assert lines[0].startswith("decision      2, at 20")
    assert lines[1:] == [
        "stream        a day, row 2",
        f"actor         {getpass.getuser()}",
        "row           withdrawal of 7.0000, client 1, tx 2",
        "outcome       40 INSUFFICIENT_FUNDS: The amount is more than the account has available.",
        "rules         standard",
        "tx 2          not recorded before",
        "before        client 1: available 5.0000, held 0.0000, total 5.0000",
        "after         the same",
    ]
    broken = run("ledger", "explain", path, "--decision", "3").output.decode()
    assert "row           with\\x1b[31m,1,2,7\n" in broken
    assert "before        no account can be told\n" in broken
    chargeback = run("ledger", "explain", path, "--decision", "5").output.decode()
    assert "tx 1          deposit of 5.0000 by client 1, under dispute\n" in chargeback
    assert "after         client 1: available 0.0000, held 0.0000, total 0.0000, locked\n" in chargeback
    assert (
        "operator      unlock by ann: by mistake\n"
        in run("ledger", "explain", path, "--decision", "6").output.decode()
    )
    record = json.loads(run("ledger", "explain", path, "--decision", "4", "--json").output)
    assert (record["row"]["outcome"], record["row"]["amount"]) == ("APPLIED", None)
    assert record["transaction"]["dispute"] == "never_disputed"
    assert (record["actor"], record["address"]) == (getpass.getuser(), None)
    assert record["after"] == {
        "client": 1,
        "available": "0.0000",
        "held": "5.0000",
        "total": "5.0000",
        "locked": False,
    }
    assert json.loads(run("ledger", "explain", path, "--decision", "6", "--json").output)["row"] is None
    for wrong in (
        (),
        ("--row", "1"),
        ("--stream", "a day"),
        ("--decision", "1", "--stream", "a day", "--row", "1"),
    ):
        assert run("ledger", "explain", path, *wrong).code == 2, wrong
    assert run("ledger", "explain", path, "--decision", "7").code == 1


def test_records_that_are_not_in_memory(tmp_path: Path) -> None:
    """A dispute of an old transaction brings its page back."""
    with Ledger.open(tmp_path / "p.db", memory_bytes_max=3 << 20) as ledger:
        ledger.process(csv_of([(1, 1, tx, 10_000) for tx in range(50_000)]))
        ledger.checkpoint()
        assert ledger.apply(Dispute(1, 3)).is_applied
        assert ledger.apply(Deposit(1, 60_000, "1")).is_applied
        with ledger._view() as view:
            found = view.explain(50_001)
    assert found.transaction is not None
    assert (found.transaction.tx, found.transaction.amount_units) == (3, 10_000)
    assert found.after is not None
    assert found.after.held_units == 10_000
