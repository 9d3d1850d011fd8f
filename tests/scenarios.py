"""What the scenarios that model and kernel are both held to are made of: see ``ladders`` and ``knob_scenarios``."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.domain.transaction import TransactionType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.domain.rules import Rules

TransactionRow = tuple[int, int, int, int]
"""Type, client, tx, amount in units."""
AccountRow = tuple[int, int, int, bool]
"""Client, available, held, locked."""
Columns = tuple["array[int]", "array[int]", "array[int]", "array[int]"]

DEPOSIT = TransactionType.DEPOSIT
WITHDRAWAL = TransactionType.WITHDRAWAL
DISPUTE = TransactionType.DISPUTE
RESOLVE = TransactionType.RESOLVE
CHARGEBACK = TransactionType.CHARGEBACK


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction and what becomes of it."""

    outcome: Outcome
    type: TransactionType
    client: int
    tx: int
    amount: int = 0

    @property
    def row(self) -> TransactionRow:
        """The step as the columns hold it."""
        return (self.type, self.client, self.tx, self.amount)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Transactions under given rules, their outcomes, and the accounts they leave behind."""

    name: str
    rules: Rules
    steps: tuple[Step, ...]
    accounts: tuple[AccountRow, ...]

    @property
    def rows(self) -> list[TransactionRow]:
        """The steps as the columns hold them."""
        return [step.row for step in self.steps]

    @property
    def outcomes(self) -> list[Outcome]:
        """What becomes of each step."""
        return [step.outcome for step in self.steps]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class DecodeCase:
    """One row of text and what the decoder says to it; UNDECIDED (0) for a well-formed one."""

    row: bytes
    outcome: int
    columns: TransactionRow


@dataclass(frozen=True, slots=True)
class RoundingCase:
    """An amount with more decimals than two, and what becomes of it: units, or the code that refuses it."""

    excess_decimals: str
    text: str
    units: int = 0
    outcome: Outcome | None = field(default=None)


def columns(rows: Iterable[TransactionRow]) -> Columns:
    """Turn rows into the typed columns that a batch is made from."""
    types, clients, txs, amounts = array("B"), array("Q"), array("Q"), array("q")
    for type_, client, tx, amount in rows:
        types.append(type_)
        clients.append(client)
        txs.append(tx)
        amounts.append(amount)
    return types, clients, txs, amounts


def account_rows(chunks: Iterable[bytes]) -> list[AccountRow]:
    """Read accounts back from CSV that was written with no decimals, which shows the units as they are."""
    header, *lines = b"".join(chunks).decode().splitlines()
    assert header == "client,available,held,total,locked"
    accounts = []
    for line in lines:
        client, available, held, total, locked = line.split(",")
        assert int(total) == int(available) + int(held), line
        accounts.append((int(client), int(available), int(held), {"true": True, "false": False}[locked]))
    return accounts


def applied(*rows: TransactionRow) -> tuple[Step, ...]:
    """Give the steps of a scenario's preparation, all of which go well."""
    return tuple(Step(Outcome.APPLIED, TransactionType(type_), *rest) for type_, *rest in rows)
