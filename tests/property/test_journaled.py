"""Journaled outcomes are followed whatever the rules say: with the effects that the model gives them, or not at all."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.model import Model
from holdfast.domain.outcome import Outcome, Phase
from holdfast.domain.rules import CARDS, STANDARD, Rules
from holdfast.domain.settings import make_settings
from holdfast.domain.transaction import TransactionType
from holdfast.domain.unappliable import UnappliableError
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.packing.decided_rows import DecidedRowBuffer
from holdfast.kernel.packing.unpacking import RowUnpacker
from scenarios import AccountRow, TransactionRow, columns
from strategies import cut, cuts, rules, transaction_streams

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN = 2
WIDTHS = [(16, 32), (16, 64), (64, 32), (64, 64)]
OF_RULES = [outcome for outcome in Outcome if outcome.phase is not Phase.DECODE]
outcomes = st.sampled_from([Outcome.APPLIED] * (2 * len(OF_RULES)) + OF_RULES)


def core_with(profile: Rules, widths: tuple[int, int] = (16, 32)) -> LedgerCore:
    """Make a ledger whose state can be compared."""
    return LedgerCore(make_settings(profile, client_bits=widths[0], tx_bits=widths[1]), pages=True)


def accounts_of(core: LedgerCore) -> list[AccountRow]:
    """List all accounts."""
    image = core.image()
    return image.rows(0, len(image))


def accounts_of_model(model: Model) -> list[AccountRow]:
    """List the model's accounts."""
    return [(acc.client, acc.available_units, acc.held_units, acc.locked) for acc in model.accounts()]


def state_of(core: LedgerCore) -> tuple[object, ...]:
    """Give all that can be told of a state."""
    return core.digest(), core.counts(), accounts_of(core)


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@given(data=st.data(), made_by=rules(), followed_by=rules(), places=cuts())
def test_outcomes_of_other_rules_come_to_their_state(
    data: st.DataObject, widths: tuple[int, int], made_by: Rules, followed_by: Rules, places: list[int]
) -> None:
    """What was decided under some rules comes to the same accounts, transactions and disputes under any others."""
    rows = data.draw(transaction_streams(*widths))
    decided = core_with(made_by, widths)
    same_ids = followed_by._replace(refused_tx_id=made_by.refused_tx_id)
    followed, other_ids = core_with(same_ids, widths), core_with(followed_by, widths)
    for piece in cut(rows, places):
        batch, *undecided = (Batch.from_columns(*columns(piece)) for _ in range(3))
        decided.decide(batch)
        journaled = bytes(batch.outcomes)
        for core, each in zip((followed, other_ids), undecided, strict=True):
            assert core.apply_journaled(each, journaled) == len(piece)
            assert bytes(each.outcomes) == journaled
    assert state_of(followed) == state_of(decided)
    assert accounts_of(other_ids) == accounts_of(decided)
    assert other_ids.open_disputes == decided.open_disputes
    assert other_ids.transactions == decided.transactions


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@given(data=st.data(), profile=rules(), places=cuts())
def test_any_outcomes_are_followed_as_the_model_does(
    data: st.DataObject, widths: tuple[int, int], profile: Rules, places: list[int]
) -> None:
    """Outcomes that no rules came to: the same row is the first that cannot be, and the rows before it stand."""
    rows = data.draw(transaction_streams(*widths))
    made_up = data.draw(st.lists(outcomes, min_size=len(rows), max_size=len(rows)))
    core, model = core_with(profile, widths), Model(profile)
    done = 0
    for piece in cut(rows, places):
        batch = Batch.from_columns(*columns(piece))
        journaled = bytes(made_up[done : done + len(piece)])
        fault = first_fault(model, piece, made_up[done:])
        if fault is not None:
            with pytest.raises(UnappliableError) as caught:
                core.apply_journaled(batch, journaled)
            assert caught.value.row == fault
            done += fault
            break
        assert core.apply_journaled(batch, journaled) == len(piece)
        done += len(piece)
    assert core.decided == done
    assert accounts_of(core) == accounts_of_model(model)
    # What comes next is decided as the rules say, on what was followed.
    more = data.draw(transaction_streams(*widths))
    batch = Batch.from_columns(*columns(rows + more))
    core.decide(batch)
    expected = [model.apply(TransactionType(type_), *rest) for type_, *rest in rows + more]
    assert bytes(batch.outcomes) == bytes(expected)
    assert accounts_of(core) == accounts_of_model(model)


def first_fault(model: Model, rows: Sequence[TransactionRow], made_up: list[Outcome]) -> int | None:
    """Have the model follow rows; give the first that it cannot follow."""
    for place, ((type_, client, tx, amount), outcome) in enumerate(zip(rows, made_up, strict=False)):
        try:
            model.follow(TransactionType(type_), client, tx, amount, outcome)
        except ValueError:
            return place
    return None


DEPOSIT, WITHDRAWAL, DISPUTE, RESOLVE, CHARGEBACK = range(1, 6)
MAX = 2**63 - 1
FAULTS = {
    "never applied": [(DISPUTE, 1, 9, 0)],
    "another client": [(DEPOSIT, 1, 1, 5), (DISPUTE, 2, 1, 0)],
    "recorded before": [(DEPOSIT, 1, 1, 5), (WITHDRAWAL, 1, 1, 5)],
    "not positive": [(DEPOSIT, 1, 1, 0)],
    "under dispute already": [(DEPOSIT, 1, 1, 5), (DISPUTE, 1, 1, 0), (DISPUTE, 1, 1, 0)],
    "not open": [(DEPOSIT, 1, 1, 5), (RESOLVE, 1, 1, 0)],
    "would not fit": [(DEPOSIT, 1, 1, MAX), (DEPOSIT, 1, 2, 1)],
    "allow": [(DEPOSIT, 1, 1, 5), (DEPOSIT, 70_000, 2, 5)],
}


@pytest.mark.parametrize("reason", FAULTS)
def test_what_cannot_have_been_applied_is_named(reason: str) -> None:
    """The row and the reason; the rows before it stand, and it can be followed as refused."""
    rows = FAULTS[reason]
    core = core_with(STANDARD)
    batch = Batch.from_columns(*columns(rows))
    last = len(rows) - 1
    with pytest.raises(UnappliableError, match=rf"row {last} cannot have been applied: .*{reason}"):
        core.apply_journaled(batch, b"\1" * len(rows))
    assert core.decided == last
    assert core.apply_journaled(batch, b"\1" * last + bytes([Outcome.INSUFFICIENT_FUNDS]), last) == last + 1
    assert core.decided == len(rows)


def test_a_withdrawal_may_go_below_zero_up_to_the_last_unit() -> None:
    """Where the rules of then allowed it; the next unit has no room."""
    core = core_with(STANDARD)
    rows = [(WITHDRAWAL, 1, 1, MAX), (WITHDRAWAL, 1, 2, 1), (WITHDRAWAL, 1, 3, 1)]
    with pytest.raises(UnappliableError, match=r"row 2 cannot have been applied: .*would not fit"):
        core.apply_journaled(Batch.from_columns(*columns(rows)), b"\1\1\1")
    assert core.account(1) == (-(2**63), 0, False)


def test_what_is_refused() -> None:
    """Too few outcomes, none at all, rows that are decided, rows that are not there, a ledger that records its rows."""
    core = core_with(STANDARD)
    batch = Batch.from_columns(*columns([(DEPOSIT, 1, 1, 5), (DEPOSIT, 1, 2, 5)]))
    with pytest.raises(ValueError, match="1 outcomes for rows up to 2"):
        core.apply_journaled(batch, b"\1")
    with pytest.raises(ValueError, match="row 1 of the batch has no journaled outcome"):
        core.apply_journaled(batch, b"\1\0")
    with pytest.raises(ValueError, match="row 0 of the batch was decided before"):
        core.apply_journaled(batch, b"\1\1")
    with pytest.raises(IndexError):
        core.apply_journaled(batch, b"\1\1\1", 0, 3)
    assert core.apply_journaled(batch, b"\1\1", 1) == 2
    assert core.apply_journaled(batch, b"", 0, 0) == 0

    class Recorder:
        def record(self, *_: object) -> None:
            raise AssertionError

    core.recorder = Recorder()
    with pytest.raises(RuntimeError, match="follows no journal"):
        core.apply_journaled(Batch.from_columns(*columns([(DEPOSIT, 1, 3, 5)])), b"\1")
    assert (core.decided, core.account(1)) == (2, (10, 0, False))


def test_an_id_that_was_burned_is_recorded_where_the_journal_says_so() -> None:
    """In runs and in the index; a cut restores what came of it."""
    burning = CARDS._replace(refused_tx_id="burned")
    core = core_with(burning, (16, 64))
    for tx in (1, 1 << 40):
        rows = [(WITHDRAWAL, 1, tx, 7), (DEPOSIT, 1, tx, 5), (DISPUTE, 1, tx, 0)]
        assert core.apply_journaled(Batch.from_columns(*columns(rows)), b"\x28\1\1") == 3
        assert core.transaction(tx) == (DEPOSIT, 1, 5, 1)
    assert (core.transactions, core.open_disputes) == (2, 2)
    pages = []
    taken = core.cut()
    while (page := taken.next_page()) is not None:
        pages.append(page)
    again = core_with(burning, (16, 64))
    for kind, number, data in sorted(pages):
        if kind != RUN:
            again.load_page(kind, number, data)
        else:
            again.add_absent_run(number)
    again.finish_restore(taken.counters)
    for kind, number, data in pages:
        if kind == RUN:
            again.load_page(kind, number, data)
    assert state_of(again) == state_of(core)


def test_it_stops_before_a_row_whose_record_is_not_in_memory() -> None:
    """And goes on once its page is there, with the same state in the end."""
    count = 40_000
    core, whole = core_with(STANDARD), core_with(STANDARD)
    deposits = Batch.from_columns(
        array("B", [DEPOSIT]) * count,
        array("Q", [1]) * count,
        array("Q", range(count)),
        array("q", [2]) * count,
    )
    core.decide(deposits)
    whole.apply_journaled(deposits_again(deposits), b"\1" * count)
    pages = {}
    taken = core.cut()
    while (page := taken.next_page()) is not None:
        pages[page[:2]] = page[2]
    taken.done()
    assert core.evict(1 << 40) > 0
    rows = [(DISPUTE, 1, tx, 0) for tx in range(0, count, 1000)]
    batch = Batch.from_columns(*columns(rows))
    journaled = b"\1" * len(rows)
    reached = stops = 0
    while (reached := core.apply_journaled(batch, journaled, reached)) < len(rows):
        assert core.lacks_page
        for number in core.wanted_pages(batch, reached, len(rows), 1):
            core.load_page(RUN, number, pages[RUN, number])
        stops += 1
    assert stops == 5
    assert not core.lacks_page
    whole.apply_journaled(Batch.from_columns(*columns(rows)), journaled)
    assert state_of(core) == state_of(whole)


def deposits_again(batch: Batch) -> Batch:
    """Make a batch of the same rows, undecided."""
    return Batch.from_columns(batch.types, batch.clients, batch.txs, batch.amounts)


def test_an_unpacker_gives_the_outcomes_of_its_piece() -> None:
    """Piece by piece, unreadable rows among them."""
    count = 8192 + 100
    codes = [(1, 12, 31, 40)[number % 4] for number in range(count)]
    buffer = DecidedRowBuffer(count)
    buffer.append(
        Batch.from_rows([(DEPOSIT, 1, number, 5, codes[number]) for number in range(count)]), 0, count
    )
    unpacker = RowUnpacker()
    unpacker.open(buffer.pack())
    found = b""
    core = core_with(STANDARD)
    while unpacker.next_piece():
        found += unpacker.journaled()
        assert core.apply_journaled(unpacker.batch, unpacker.journaled()) == unpacker.batch.rows
        assert unpacker.first_difference(0, -1) == -1
    assert found == bytes(codes)
    assert core.account(1) == (5 * codes.count(1), 0, False)
    assert unpacker.journaled() == b""
