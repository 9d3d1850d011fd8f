"""The yardstick is right: a race against a program that does another job would say nothing."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from benchmarks.measure import naive_command
from benchmarks.workloads import ID_KINDS, MIXES, Workload, csv_bytes, csv_file, make_columns

from benchmarks import naive
from holdfast.domain.amount import format_units, parse_units
from holdfast.domain.model import Model
from holdfast.domain.transaction import TransactionType

ROWS = 20_000
WORKLOADS = [
    *(Workload(ROWS, clients=clients, mix=mix) for mix in MIXES for clients in (1, 100, 2000)),
    *(Workload(ROWS, clients=300, mix="mixed", ids=kind, separator=", ") for kind in ID_KINDS),
    Workload(ROWS, clients=300, mix="dispute-heavy", popularity="zipf"),
]


def from_model(workload: Workload) -> str:
    """Give the accounts that the executable specification comes to."""
    model = Model()
    for type_, client, tx, units in zip(*(column.tolist() for column in make_columns(workload)), strict=True):
        model.apply(TransactionType(type_), client, tx, units)
    lines = ["client,available,held,total,locked\n"]
    for account in model.accounts():
        amounts = (account.available_units, account.held_units, account.total_units)
        text = ",".join(map(format_units, amounts))
        lines.append(f"{account.client},{text},{'true' if account.locked else 'false'}\n")
    return "".join(lines)


def from_naive(text: str) -> str:
    """Give the accounts that naive.py comes to."""
    output = io.StringIO()
    naive.write_accounts(naive.process(text.splitlines(keepends=True)), output)
    return output.getvalue()


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_same_accounts_as_the_model(workload: Workload) -> None:
    """On every mix, byte by byte."""
    text = b"".join(csv_bytes(make_columns(workload), workload.separator)).decode()
    assert from_naive(text) == from_model(workload)


def test_refused_rows_change_nothing_but_the_existence_of_an_account() -> None:
    """One row for each thing that the standard rules refuse."""
    text = """\
type, client, tx, amount
deposit, 1, 1, 5.0
deposit, 1, 1, 7
deposit, 2, 2, 0
withdrawal, 3, 3, 1
withdrawal, 1, 4, 5.0001
withdrawal, 1, 5, 1
dispute, 1, 5,
dispute, 1, 99
dispute, 9, 1,
dispute, 1, 1,
resolve, 1, 1
chargeback, 1, 1,
deposit, 4, 6, .5
dispute, 4, 6,
dispute, 4, 6
resolve, 1, 6,
chargeback, 4, 6

deposit, 4, 7, 3
withdrawal, 4, 8, 3
dispute, 4, 6,
"""
    assert from_naive(text) == (
        "client,available,held,total,locked\n"
        "1,4.0000,0.0000,4.0000,false\n"
        "2,0.0000,0.0000,0.0000,false\n"
        "3,0.0000,0.0000,0.0000,false\n"
        "4,0.0000,0.0000,0.0000,true\n"
    )


@pytest.mark.parametrize(
    "text", ["5", "5.", ".5", "+5.25", "-0.5", "-3", "1.50000", " 7.1234 ", "922337203685477.5807"]
)
def test_amounts_are_read_as_holdfast_reads_them(text: str) -> None:
    """Every well-formed way to write one."""
    assert naive.parse_amount(text) == parse_units(text.strip())


def test_dispute_can_be_opened_again_after_a_resolve() -> None:
    """As the standard rules say; columns come in any order."""
    text = (
        "tx,amount,Type,client\n1,2,deposit,7\n1,,dispute,7\n1,,resolve,7\n1,,dispute,7\n2,1,withdrawal,7\n"
    )
    assert from_naive(text).splitlines()[1] == "7,0.0000,2.0000,2.0000,false"


def test_runs_as_a_program() -> None:
    """File in, accounts out, as the benchmarks run it."""
    workload = Workload(1000, clients=50)
    command = [*naive_command(), csv_file(workload)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == from_model(workload)
    assert command[0] == sys.executable
