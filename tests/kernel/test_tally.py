"""Counts, actions and budgets: where applying stops, and that the kernel's numbers are the domain's."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from holdfast.domain.outcome import Outcome
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.tally import BUDGET, BUILD, CODES, CONTINUE, STOP, TYPE_CODES, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_POSITIVE, NOT_FOUND = Outcome.AMOUNT_NOT_POSITIVE, Outcome.TX_NOT_FOUND


def actions(table: Mapping[int, int]) -> bytes:
    """Make the table of a policy that goes on unless it says otherwise."""
    return bytes(table.get(code, CONTINUE) for code in range(256))


def batch_of(text: str) -> Batch:
    """Make a batch: ``.`` is applied, ``x`` not positive, ``?`` a dispute of nothing, ``#`` no type."""
    types = bytes({".": 1, "x": 1, "?": 3, "#": 9}[letter] for letter in text)
    rows = array("q", range(1, len(text) + 1))
    amounts = array("q", [letter == "." for letter in text])
    return Batch.from_columns(types, array("q", [1] * len(text)), rows, amounts)


def run(text: str, tally: Tally) -> list[int]:
    """Apply a batch from stop to stop; give the rows at which it stopped, the end not among them."""
    ledger, batch, start = LedgerCore(), batch_of(text), 0
    stops: list[int] = []
    while True:
        start = ledger.decide(batch, start=start, tally=tally)
        if not tally.is_stopped:
            assert start == len(batch)
            assert 0 not in batch.outcomes
            return stops
        assert list(batch.outcomes[start:]) == [0] * (len(batch) - start)
        stops.append(start)


def test_outcome_codes() -> None:
    """The numbers compiled into the kernel are the domain's outcomes, all of them."""
    assert {outcome.name: outcome.value for outcome in Outcome} == CODES


def test_type_codes() -> None:
    """And so are the transaction types."""
    assert {type_.name: type_.value for type_ in TransactionType} == TYPE_CODES


def test_build() -> None:
    """The kernel says how it was built."""
    assert BUILD in {"release", "debug"}


def test_a_new_tally() -> None:
    """Nothing was counted yet."""
    tally = Tally()
    assert (tally.rows, tally.applied, tally.refused, tally.is_stopped, tally.exceeds_budget) == (
        0,
        0,
        0,
        False,
        False,
    )
    assert tally.refused_by_code() == {}


def test_counts() -> None:
    """Rows are counted by code, in the order of the codes, across batches and ledgers."""
    tally = Tally()
    assert run(".x?#.?", tally) == []
    assert (tally.rows, tally.applied, tally.refused) == (6, 2, 4)
    assert list(tally.refused_by_code().items()) == [
        (Outcome.UNKNOWN_TYPE, 1),
        (NOT_POSITIVE, 1),
        (NOT_FOUND, 2),
    ]
    run("??", tally)
    assert (tally.rows, tally.applied, tally.refused) == (8, 2, 6)
    assert tally.refused_by_code()[NOT_FOUND] == 4


def test_counts_of_a_part() -> None:
    """Only the rows that were asked for are counted."""
    tally = Tally()
    assert LedgerCore().decide(batch_of("..xx.."), start=1, stop=3, tally=tally) == 3
    assert (tally.rows, tally.applied, tally.refused) == (2, 1, 1)


def test_decoded_refusals_are_counted() -> None:
    """So are the rows that the decoder refused."""
    decoder = CsvDecoder()
    decoder.feed(b"type,client,tx,amount\ndeposit,1,1,1\ndeposit,1,2,x\nno,1,1,1\n")
    batch = decoder.finish()
    assert batch is not None
    tally = Tally(actions({Outcome.INVALID_AMOUNT: STOP}))
    ledger = LedgerCore()
    assert ledger.decide(batch, tally=tally) == 2
    assert tally.is_stopped
    assert ledger.decide(batch, start=2, tally=tally) == 3
    assert tally.refused_by_code() == {Outcome.UNKNOWN_TYPE: 1, Outcome.INVALID_AMOUNT: 1}


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 200])
def test_stop_at_every_place(length: int) -> None:
    """Wherever a row stands in the ledger's blocks, applying stops behind it, nothing later is decided."""
    for place in range(length):
        text = "." * place + "x" + "." * (length - place - 1)
        tally = Tally(actions({NOT_POSITIVE: STOP}))
        assert run(text, tally) == [place + 1]
        assert (tally.rows, tally.applied) == (length, length - 1)


def test_stop_counts_rows_up_to_the_stop() -> None:
    """At a stop, what was decided so far is counted and no more."""
    tally = Tally(actions({NOT_POSITIVE: STOP}))
    ledger, batch = LedgerCore(), batch_of("." * 70 + "x" + "." * 70)
    assert ledger.decide(batch, tally=tally) == 71
    assert (tally.rows, tally.applied, tally.refused) == (71, 70, 1)
    assert ledger.transactions == 70


def test_stop_at_every_row() -> None:
    """Rows to stop behind may follow each other; other codes do not stop."""
    assert run("xx?.x", Tally(actions({NOT_POSITIVE: STOP}))) == [1, 2, 5]
    assert run("xx?.x", Tally(actions({NOT_FOUND: STOP}))) == [3]
    assert run("xx?.x", Tally(actions({Outcome.APPLIED: STOP}))) == []


@pytest.mark.parametrize(
    ("budget", "stops"), [(0, [2, 4, 7]), (1, [4, 7]), (2, [7]), (3, []), (2**64 - 1, [])]
)
def test_budget_of_rows(budget: int, stops: list[int]) -> None:
    """The budget covers so many rows; each row beyond stops. Rows of other codes are free."""
    tally = Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=budget)
    assert run(".x?x.?x", tally) == stops
    assert tally.exceeds_budget == bool(stops)


def test_codes_share_a_budget() -> None:
    """It is one budget for all codes that count against it."""
    tally = Tally(actions({NOT_POSITIVE: BUDGET, NOT_FOUND: BUDGET}), budget_rows=2)
    assert run(".x?x.?x", tally) == [4, 6, 7]


def test_budget_per_million() -> None:
    """A part of the rows decided so far, the failing one among them, rounded down."""
    tally = Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=0, budget_ppm=200_000)
    assert run("....x....x....xx", tally) == [16]
    assert run("...x", Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=0, budget_ppm=200_000)) == [4]
    assert run("x", Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=0, budget_ppm=1_000_000)) == []


def test_budgets_add_up() -> None:
    """So many rows whatever their number, and so many per million on top."""
    tally = Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=1, budget_ppm=500_000)
    assert run(".xx.xx", tally) == []
    tally = Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=1, budget_ppm=500_000)
    assert run("xxxx", tally) == [3, 4]


def test_budget_from_a_number_of_rows_on() -> None:
    """Before so many rows are decided, nothing stops; then what came before counts too."""
    tally = Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=1, budget_from_rows=5)
    assert run("xxx..x.x", tally) == [6, 8]


def test_few_rows_may_exceed_a_budget_without_a_stop() -> None:
    """Where a stream ends early, ``exceeds_budget`` still tells."""
    tally = Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=1, budget_from_rows=100)
    assert run("xx.", tally) == []
    assert tally.exceeds_budget


def test_budget_across_batches() -> None:
    """A tally is a stream's: the budget goes on in the next batch."""
    tally = Tally(actions({NOT_POSITIVE: BUDGET}), budget_rows=2)
    assert run("x", tally) == []
    assert run("x.", tally) == []
    assert run(".x", tally) == [2]


def test_the_stop_is_forgotten() -> None:
    """Going on clears the mark of the stop before."""
    tally = Tally(actions({NOT_POSITIVE: STOP}))
    ledger, batch = LedgerCore(), batch_of("x..")
    ledger.decide(batch, tally=tally)
    assert tally.is_stopped
    ledger.decide(batch, start=1, tally=tally)
    assert not tally.is_stopped


@pytest.mark.parametrize("length", [0, 255, 257])
def test_actions_of_another_length(length: int) -> None:
    """There is an action for each of 256 codes."""
    with pytest.raises(ValueError, match=f"256 codes, not {length}"):
        Tally(bytes(length))


def test_a_tally_is_read_only() -> None:
    """Nobody counts from outside."""
    tally = Tally()
    with pytest.raises(AttributeError):
        tally.rows = 5  # type: ignore[misc]  # that it is refused is what is tested
