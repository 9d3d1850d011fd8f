"""The engine over bytes in any pieces is the reference decoder followed by the model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from csv_strategies import CsvCase, csv_cases
from holdfast import Action, Engine, InputError, Outcome, Rejection, Rules, TablePolicy
from holdfast.domain.model import Model
from holdfast.domain.outcome import UNDECIDED
from holdfast.domain.transaction import TransactionType
from holdfast.engine import pipeline
from reference_decoder import Row, UnusableHeaderError, decode
from strategies import cut, cuts, rules

if TYPE_CHECKING:
    from holdfast import Account


def expect(case: CsvCase, profile: Rules) -> tuple[list[tuple[Row, Outcome]], list[Account]] | None:
    """Decide every row by the slow and obvious way; None if there is no usable header."""
    try:
        rows = decode(case.data, case.config)
    except UnusableHeaderError:
        return None
    model = Model(profile, case.config.decimals)
    decided = [
        (
            row,
            model.apply(TransactionType(row.type), row.client, row.tx, row.amount)
            if row.outcome == UNDECIDED
            else Outcome(row.outcome),
        )
        for row in rows
    ]
    return decided, model.accounts()


@given(csv_cases(), rules(), cuts(), st.sampled_from([64, 1000, pipeline.BLOCK_BYTES]), st.booleans())
def test_is_reference_and_model(
    case: CsvCase, profile: Rules, places: list[int], block_bytes: int, has_size: bool
) -> None:
    """Counts, every row not applied, and all accounts agree, however the bytes arrive."""
    profile = profile._replace(excess_decimals=case.config.excess_decimals)
    settings = dataclasses.asdict(case.config)
    del settings["excess_decimals"], settings["dialect"]
    engine = Engine(profile, batch_rows=case.batch_rows, **settings)
    seen: list[Rejection] = []

    def decide(rejection: Rejection) -> Action:
        seen.append(rejection)
        return Action.SKIP

    former = pipeline.BLOCK_BYTES
    pipeline.BLOCK_BYTES = block_bytes
    expected = expect(case, profile)
    try:
        source = case.data if has_size else cut(case.data, places)
        report = engine.process(
            source, dialect=case.config.dialect, policy=TablePolicy(Action.CALLBACK, callback=decide)
        )
    except InputError:
        assert expected is None
        return
    finally:
        pipeline.BLOCK_BYTES = former
    assert expected is not None
    decided, accounts = expected
    assert report.rows == engine.decided == len(decided)
    assert [(each.line, each.offset, each.outcome, each.raw) for each in seen] == [
        (row.line, row.offset, outcome, row.raw) for row, outcome in decided if not outcome.is_applied
    ]
    assert list(engine.accounts()) == accounts
