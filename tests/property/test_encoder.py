"""The encoder's bytes are those of a plain rendering in Python."""

from __future__ import annotations

import itertools
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.amount import UNITS_MAX, UNITS_MIN
from holdfast.domain.rules import Rules, make_rules
from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.encoder import encode_accounts
from holdfast.kernel.ledger.ledger import LedgerCore
from scenarios import CHARGEBACK, DEPOSIT, DISPUTE, WITHDRAWAL, AccountRow, TransactionRow, columns
from strategies import edge_integers, ids

HEADER = "client,available,held,total,locked\n"
WIDE = Context(prec=60)

RULES: Rules = make_rules(
    {
        "dispute_withdrawal": "provisional_credit",
        "negative_available_on_dispute": "allow",
        "locked_deposit": "accept",
        "locked_withdrawal": "accept",
        "locked_dispute": "accept",
    }
)
"""Rules under which an account can be brought to any balances at all."""


def money(units: int, decimals: int) -> str:
    """Write units with exactly this many decimals."""
    return f"{Decimal(units).scaleb(-decimals, WIDE):f}"


def render(accounts: list[AccountRow], decimals: int) -> bytes:
    """Write accounts as the contract says."""
    lines = [
        f"{client},{money(available, decimals)},{money(held, decimals)},{money(available + held, decimals)},"
        f"{'true' if locked else 'false'}\n"
        for client, available, held, locked in sorted(accounts)
    ]
    return (HEADER + "".join(lines)).encode()


def recipe(account: AccountRow, tx: int) -> list[TransactionRow]:
    """Give transactions, with ids from ``tx`` on, that bring an account to these balances."""
    client, available, held, locked = account
    rows: list[TransactionRow] = []
    if held:
        # The withdrawal is disputed later: that is held, and came from nowhere.
        rows += [(DEPOSIT, client, tx, held), (WITHDRAWAL, client, tx + 1, held)]
    # No single amount reaches -2**63, so the last unit is a debt of its own.
    debts = [debt for debt in (min(-available, UNITS_MAX), -available - UNITS_MAX) if debt > 0]
    for place, debt in enumerate(debts):
        rows += [(DEPOSIT, client, tx + 2 + place, debt), (WITHDRAWAL, client, tx + 4 + place, debt)]
    for place, _ in enumerate(debts):
        rows += [(DISPUTE, client, tx + 2 + place, 0), (CHARGEBACK, client, tx + 2 + place, 0)]
    if locked:
        rows += [(DEPOSIT, client, tx + 6, 1), (DISPUTE, client, tx + 6, 0), (CHARGEBACK, client, tx + 6, 0)]
    # A deposit of nothing is refused and still opens the account.
    rows.append((DEPOSIT, client, tx + 7, max(available, 0)))
    return [*rows, (DISPUTE, client, tx + 1, 0)] if held else rows


def build(accounts: list[AccountRow]) -> LedgerCore:
    """Bring a ledger to exactly these accounts."""
    ledger = LedgerCore(make_settings(RULES, client_bits=64, tx_bits=64))
    rows = [row for place, account in enumerate(accounts) for row in recipe(account, 10 * place)]
    ledger.decide(Batch.from_columns(*columns(rows)))
    for client, *balances in accounts:
        found = ledger.account(client)
        assert found is not None
        assert list(found) == balances
    return ledger


@st.composite
def account_lists(draw: st.DrawFn) -> list[AccountRow]:
    """Draw accounts with balances on all limits."""
    accounts: list[AccountRow] = []
    for client in draw(st.lists(ids(64), max_size=12, unique=True)):
        available = draw(edge_integers(UNITS_MIN, UNITS_MAX))
        held = draw(edge_integers(0, UNITS_MAX - max(available, 0)))
        # What brings available below zero for good is a chargeback, and that locks.
        locked = available < 0 or draw(st.booleans())
        accounts.append((client, available, held, locked))
    return accounts


@given(account_lists(), st.integers(0, 9))
def test_is_the_plain_rendering(accounts: list[AccountRow], decimals: int) -> None:
    """Sorted by client, exact decimals, negative balances and both ends of 64 bits included."""
    image = build(accounts).image()
    assert b"".join(encode_accounts(image, decimals)) == render(accounts, decimals)


@pytest.mark.parametrize("decimals", range(10))
def test_extremes(decimals: int) -> None:
    """The largest, the smallest and the shortest of everything."""
    accounts: list[AccountRow] = [
        (0, UNITS_MAX, 0, False),
        (1, UNITS_MIN, 0, True),
        (2, UNITS_MIN, UNITS_MAX, True),
        (3, 0, UNITS_MAX, False),
        (4, 0, 0, False),
        (5, -1, 1, True),
        (6, 1, 0, True),
        (2**63 - 1, -1, 0, True),
        (2**63, 9, 10, False),
        (2**64 - 1, 999_999_999, 1_000_000_000, False),
    ]
    assert b"".join(encode_accounts(build(accounts).image(), decimals)) == render(accounts, decimals)


def test_example_of_the_contract() -> None:
    """The contract's own example, literally."""
    ledger = build([(2, 20_000, 0, False), (1, 15_000, 0, False)])
    text = b"client,available,held,total,locked\n1,1.5000,0.0000,1.5000,false\n2,2.0000,0.0000,2.0000,false\n"
    assert b"".join(encode_accounts(ledger.image(), 4)) == text


def test_no_accounts() -> None:
    """A file without accounts is a header alone."""
    assert b"".join(encode_accounts(LedgerCore(make_settings(RULES)).image(), 4)) == HEADER.encode()


@pytest.mark.parametrize(
    ("client_bits", "stride"), [(16, 40_503), (32, 2_654_435_761), (64, 11_400_714_819_323_198_485)]
)
def test_many_accounts(client_bits: int, stride: int) -> None:
    """Ten thousand accounts in random order are written sorted, in chunks of any size."""
    ledger = LedgerCore(make_settings(RULES, client_bits=client_bits))
    # An odd stride visits every client once before it visits one twice.
    clients = [step * stride % 2**client_bits for step in range(2**16)]
    ledger.decide(
        Batch.from_columns(*columns((DEPOSIT, client, tx, tx) for tx, client in enumerate(clients)))
    )
    accounts: list[AccountRow] = [(client, tx, 0, False) for tx, client in enumerate(clients)]
    image = ledger.image()
    chunks = list(encode_accounts(image, 4))
    assert all(chunks)
    assert b"".join(chunks) == render(accounts, 4)


def test_encoding_twice_at_once() -> None:
    """Two readers of one image, in step, do not disturb each other."""
    ledger = LedgerCore(make_settings(RULES))
    ledger.decide(Batch.from_columns(*columns((DEPOSIT, client, client, 5) for client in range(5_000))))
    image = ledger.image()
    first, second = encode_accounts(image, 4), encode_accounts(image, 2)
    one, other = zip(*itertools.zip_longest(first, second, fillvalue=b""), strict=True)
    accounts: list[AccountRow] = [(client, 5, 0, False) for client in range(5_000)]
    assert b"".join(one) == render(accounts, 4)
    assert b"".join(other) == render(accounts, 2)
