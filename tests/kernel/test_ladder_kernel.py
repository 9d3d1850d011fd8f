"""The order of the outcomes and every knob, on the kernel: the scenarios that the model is held to."""

from __future__ import annotations

import pytest

from holdfast.domain.model import Model
from holdfast.domain.rules import make_rules
from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.csv.encoder import encode_accounts
from holdfast.kernel.ledger.ledger import LedgerCore
from knob_scenarios import ROUNDING_CASES, SCENARIOS
from ladders import DECODE_LADDER, LADDER_HEADER, LADDER_ROW_BYTES_MAX
from reference_decoder import rows_of
from scenarios import DecodeCase, RoundingCase, Scenario, account_rows, columns

# Ids at the far end of their widths have to behave like small ones.
WIDTHS = [(16, 32), (32, 16), (64, 64)]


def decode_one(data: bytes, decoder: CsvDecoder) -> tuple[int, int, int, int, int]:
    """Decode a stream of one row into outcome, type, client, tx and amount."""
    batches = [*decoder.feed(data), decoder.finish()]
    (row,) = rows_of(batch for batch in batches if batch is not None)
    # Of a row that could not be decoded, the amount is a hash of its text.
    return row.outcome, row.type, row.client, row.tx, 0 if row.outcome else row.amount


@pytest.mark.parametrize("case", DECODE_LADDER, ids=lambda case: case.row[:24].decode())
def test_decode_ladder(case: DecodeCase) -> None:
    """Each row of text repairs the fault of the one before and exposes the next code."""
    decoder = CsvDecoder(make_settings(row_bytes_max=LADDER_ROW_BYTES_MAX), keep_source=True)
    assert decode_one(LADDER_HEADER + b"\n" + case.row + b"\n", decoder) == (case.outcome, *case.columns)


def test_decode_ladder_in_one_stream() -> None:
    """The rows of the ladder do not disturb each other."""
    decoder = CsvDecoder(make_settings(row_bytes_max=LADDER_ROW_BYTES_MAX))
    assert decoder.feed(b"\n".join([LADDER_HEADER, *(case.row for case in DECODE_LADDER)])) == []
    batch = decoder.finish()
    assert batch is not None
    assert list(batch.outcomes) == [case.outcome for case in DECODE_LADDER]
    assert decoder.finish() is None


@pytest.mark.parametrize("case", ROUNDING_CASES, ids=lambda case: f"{case.excess_decimals} {case.text}")
def test_rounding(case: RoundingCase) -> None:
    """Further decimals are refused, rounded half to even or cut off, and the range is checked afterwards."""
    decoder = CsvDecoder(
        make_settings(make_rules({"excess_decimals": case.excess_decimals}), decimals=2), keep_source=True
    )
    row = decode_one(f"type,client,tx,amount\ndeposit,1,1,{case.text}\n".encode(), decoder)
    assert row == (case.outcome or 0, 1, 1, 1, case.units)


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_scenario(scenario: Scenario, widths: tuple[int, int]) -> None:
    """Every step has its outcome, and the accounts are what they should be."""
    ledger = LedgerCore(make_settings(scenario.rules, client_bits=widths[0], tx_bits=widths[1]))
    batch = Batch.from_columns(*columns(scenario.rows))
    assert ledger.decide(batch) == len(scenario.steps)
    assert list(batch.outcomes) == scenario.outcomes
    assert account_rows(encode_accounts(ledger.image(), 0)) == list(scenario.accounts)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_scenario_row_by_row_at_the_last_ids(scenario: Scenario) -> None:
    """Batches of one row, ids mirrored to the end of 64 bits: same outcomes, balances as in the model."""
    ledger = LedgerCore(make_settings(scenario.rules, client_bits=64, tx_bits=64))
    model = Model(scenario.rules)
    for step in scenario.steps:
        client, tx = 2**64 - 1 - step.client, 2**64 - 1 - step.tx
        batch = Batch.from_columns(*columns([(step.type, client, tx, step.amount)]))
        assert ledger.decide(batch) == 1
        assert list(batch.outcomes) == [step.outcome]
        model.apply(step.type, client, tx, step.amount)
        accounts = {account.client: account for account in model.accounts()}
        expected = accounts.get(client)
        found = ledger.account(client)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert tuple(found) == (expected.available_units, expected.held_units, expected.locked)
        assert ledger.accounts == len(accounts)


def test_apply_from_a_row_on() -> None:
    """Rows before the start are left undecided and change nothing."""
    ledger = LedgerCore(make_settings(SCENARIOS[0].rules))
    batch = Batch.from_columns(*columns([(1, 1, 1, 10), (1, 1, 2, 20), (1, 1, 3, 30)]))
    ledger.decide(batch, start=1)
    assert list(batch.outcomes) == [0, 1, 1]
    assert account_rows(encode_accounts(ledger.image(), 0)) == [(1, 50, 0, False)]


def test_decided_rows_are_left_alone() -> None:
    """A malformed row keeps the decoder's code, has no effect and brings no account into being."""
    decoder = CsvDecoder()
    decoder.feed(b"type,client,tx,amount\ndeposit,1,1,1\ndeposit,2,2,x\ndeposit,1,2,1\n")
    batch = decoder.finish()
    assert batch is not None
    ledger = LedgerCore(make_settings(SCENARIOS[0].rules))
    ledger.decide(batch)
    assert list(batch.outcomes) == [1, 16, 1]
    assert account_rows(encode_accounts(ledger.image(), 0)) == [(1, 20_000, 0, False)]
    assert (ledger.accounts, ledger.transactions) == (1, 2)
