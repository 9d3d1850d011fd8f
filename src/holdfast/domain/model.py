"""The executable specification: what a transaction does, over dicts, slow and obvious.

The kernel is held to this page row by row. It takes well-formed transactions as numbers (the decoder's codes
are the decoder's), so that a test can feed both sides the same columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.domain.account import Account
from holdfast.domain.amount import UNITS_MAX, UNITS_MIN
from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import STANDARD, Rules
from holdfast.domain.settings import DECIMALS_DEFAULT
from holdfast.domain.transaction import TransactionType


@dataclass(slots=True)
class _Balance:
    available: int = 0
    held: int = 0
    locked: bool = False


@dataclass(frozen=True, slots=True)
class _Record:
    """What is remembered of a transaction; it never changes."""

    type: TransactionType
    client: int
    amount: int
    burned: bool = False


class Model:
    """The ledger as a dozen lines per transaction type.

    Args:
        rules: The profile to decide by.
        decimals: How many decimals a unit stands for; matters to the accounts' Decimals alone.
    """

    def __init__(self, rules: Rules = STANDARD, decimals: int = DECIMALS_DEFAULT) -> None:
        self._rules = rules
        self._decimals = decimals
        self._balances: dict[int, _Balance] = {}
        self._records: dict[int, _Record] = {}
        self._disputes: dict[int, str] = {}  # tx -> "open", "resolved", "charged back"

    def apply(self, type_: TransactionType, client: int, tx: int, amount: int = 0) -> Outcome:
        """Decide one well-formed transaction and apply it if the rules allow it.

        Args:
            type_: What it is.
            client: The client's id.
            tx: The transaction's own id, or the id of the one referred to.
            amount: Units; ignored for disputes, resolves and chargebacks.
        """
        if type_ is TransactionType.DEPOSIT or type_ is TransactionType.WITHDRAWAL:
            return self._transfer(_Record(type_, client, amount), tx)
        record = self._records.get(tx)
        if record is None or record.burned:
            return Outcome.TX_NOT_FOUND
        if record.client != client:
            return Outcome.CLIENT_MISMATCH
        if type_ is TransactionType.DISPUTE:
            return self._dispute(record, tx)
        return self._settle(type_, record, tx)

    def follow(self, type_: TransactionType, client: int, tx: int, amount: int, outcome: Outcome) -> None:
        """Do what an outcome says that was decided elsewhere, whatever the rules say.

        Args:
            type_: What the transaction is.
            client: The client's id.
            tx: The transaction's own id, or the id of the one referred to.
            amount: Units; ignored for disputes, resolves and chargebacks.
            outcome: What became of it.

        Raises:
            ValueError: If it cannot have been applied: the books would not add up. Nothing is changed.
        """
        if type_ is TransactionType.DEPOSIT or type_ is TransactionType.WITHDRAWAL:
            self._follow_transfer(_Record(type_, client, amount), tx, outcome)
        elif outcome is Outcome.APPLIED:
            self._follow_reference(type_, client, tx)

    def unlock(self, client: int) -> None:
        """End the lock of an account, as an operator's decision.

        Raises:
            KeyError: If there is no such account.
            ValueError: If it is not locked.
        """
        balance = self._balances[client]
        if not balance.locked:
            raise ValueError(f"the account of client {client} is not locked")
        balance.locked = False

    def accounts(self) -> list[Account]:
        """Every account, sorted by client."""
        return [
            Account(client, balance.available, balance.held, balance.locked, self._decimals)
            for client, balance in sorted(self._balances.items())
        ]

    def _transfer(self, record: _Record, tx: int) -> Outcome:
        balance = self._balances.setdefault(record.client, _Balance())
        earlier = self._records.get(tx)
        outcome = self._check_transfer(record, balance, earlier)
        if outcome is Outcome.APPLIED:
            balance.available += record.amount if record.type is TransactionType.DEPOSIT else -record.amount
            self._records[tx] = record
        elif earlier is None and self._rules.refused_tx_id == "burned":
            self._records[tx] = _Record(record.type, record.client, record.amount, burned=True)
        return outcome

    def _check_transfer(self, record: _Record, balance: _Balance, earlier: _Record | None) -> Outcome:
        if record.amount <= 0:
            return Outcome.AMOUNT_NOT_POSITIVE
        if earlier is not None:
            return Outcome.DUPLICATE_TX if earlier == record else Outcome.TX_ID_REUSED
        if self._refused_by_lock(record.type, balance):
            return Outcome.ACCOUNT_LOCKED
        if record.type is TransactionType.WITHDRAWAL:
            return Outcome.APPLIED if record.amount <= balance.available else Outcome.INSUFFICIENT_FUNDS
        return _fitting(balance.available + record.amount, balance.held)

    def _follow_transfer(self, record: _Record, tx: int, outcome: Outcome) -> None:
        earlier = self._records.get(tx)
        balance = self._balances.get(record.client, _Balance())
        if outcome is Outcome.APPLIED:
            change = record.amount if record.type is TransactionType.DEPOSIT else -record.amount
            if record.amount <= 0 or (earlier is not None and not earlier.burned):
                raise ValueError("no amount, or an id that is recorded already")
            if _fitting(balance.available + change, balance.held) is not Outcome.APPLIED:
                raise ValueError("the balance has no room")
            balance.available += change
            self._records[tx] = record
        elif (
            earlier is None
            and self._rules.refused_tx_id == "burned"
            and outcome not in {Outcome.DUPLICATE_TX, Outcome.TX_ID_REUSED}
        ):
            self._records[tx] = _Record(record.type, record.client, record.amount, burned=True)
        self._balances[record.client] = balance

    def _follow_reference(self, type_: TransactionType, client: int, tx: int) -> None:
        record = self._records.get(tx)
        if record is None or record.burned or record.client != client:
            raise ValueError("no transaction of this client")
        is_dispute = type_ is TransactionType.DISPUTE
        if (self._disputes.get(tx) == "open") is is_dispute:
            raise ValueError("a dispute of what is under dispute, or the end of a dispute that is not open")
        balance = self._balances[client]
        is_deposit = record.type is TransactionType.DEPOSIT
        is_chargeback = type_ is TransactionType.CHARGEBACK
        held = record.amount if is_dispute else -record.amount
        available = 0
        if is_dispute and is_deposit:
            available = -record.amount
        elif not is_dispute and is_chargeback is not is_deposit:
            available = record.amount
        if _fitting(balance.available + available, balance.held + held) is not Outcome.APPLIED:
            raise ValueError("the balance has no room")
        balance.available += available
        balance.held += held
        balance.locked = balance.locked or is_chargeback
        self._disputes[tx] = "open" if is_dispute else "charged back" if is_chargeback else "resolved"

    def _dispute(self, record: _Record, tx: int) -> Outcome:
        balance = self._balances[record.client]
        outcome = self._check_dispute(record, balance, self._disputes.get(tx))
        if outcome is Outcome.APPLIED:
            if record.type is TransactionType.DEPOSIT:
                balance.available -= record.amount
            balance.held += record.amount
            self._disputes[tx] = "open"
        return outcome

    def _check_dispute(self, record: _Record, balance: _Balance, dispute: str | None) -> Outcome:
        of_deposit = record.type is TransactionType.DEPOSIT
        if not of_deposit and self._rules.dispute_withdrawal == "refuse":
            return Outcome.NOT_DISPUTABLE
        if self._refused_by_lock(TransactionType.DISPUTE, balance):
            return Outcome.ACCOUNT_LOCKED
        if dispute == "open" or (dispute == "resolved" and self._rules.redispute_after_resolve == "refuse"):
            return Outcome.ALREADY_DISPUTED
        if dispute == "charged back":
            return Outcome.ALREADY_CHARGED_BACK
        if not of_deposit:
            return _fitting(balance.available, balance.held + record.amount)
        if record.amount > balance.available and self._rules.negative_available_on_dispute == "refuse":
            return Outcome.INSUFFICIENT_FUNDS
        return _fitting(balance.available - record.amount, balance.held + record.amount)

    def _settle(self, type_: TransactionType, record: _Record, tx: int) -> Outcome:
        """Resolve or charge back. What is held came from available, so no sum can leave its 64 bits here."""
        balance = self._balances[record.client]
        if self._refused_by_lock(type_, balance):
            return Outcome.ACCOUNT_LOCKED
        if self._disputes.get(tx) != "open":
            return Outcome.NOT_DISPUTED
        charged_back = type_ is TransactionType.CHARGEBACK
        returned = charged_back != (record.type is TransactionType.DEPOSIT)
        available = balance.available + (record.amount if returned else 0)
        outcome = _fitting(available, balance.held - record.amount)
        if outcome is Outcome.APPLIED:
            balance.available = available
            balance.held -= record.amount
            balance.locked = balance.locked or charged_back
            self._disputes[tx] = "charged back" if charged_back else "resolved"
        return outcome

    def _refused_by_lock(self, type_: TransactionType, balance: _Balance) -> bool:
        knob = f"locked_{type_.name.lower()}"
        return balance.locked and getattr(self._rules, knob) == "refuse"


def _fitting(available: int, held: int) -> Outcome:
    """APPLIED if available, held and their total each fit a signed 64-bit integer."""
    fits = all(UNITS_MIN <= units <= UNITS_MAX for units in (available, held, available + held))
    return Outcome.APPLIED if fits else Outcome.BALANCE_OVERFLOW
