"""Details: for every row that cannot be read, a cause that is true, whatever the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from csv_strategies import CsvCase, csv_cases, seeded_csv
from holdfast.domain.outcome import Outcome, Severity
from holdfast.io.rejects import find_rejection
from holdfast.kernel.csv.decoder import CsvDecoder
from reference_details import CHECKS, check_details, malformed_rows

if TYPE_CHECKING:
    from holdfast.io.rejects import Rejection


def rejections(case: CsvCase) -> list[Rejection]:
    """Give what there is to say of a stream's malformed rows."""
    return malformed_rows(case.data, case.config)


def check(case: CsvCase) -> int:
    """Hold every detail against its row; give how many there were."""
    return check_details(case.data, case.config)


@given(csv_cases())
def test_details_are_true(case: CsvCase) -> None:
    """Any bytes, any settings: a detail is there, and says what is so."""
    check(case)


@pytest.mark.parametrize("seed", range(8))
def test_details_are_true_in_volume(seed: int) -> None:
    """Thousands of rows, seeded."""
    assert check(seeded_csv(seed, 2_000)) > 100


def test_every_detail_occurs() -> None:
    """The seeded streams meet all that a detail can say, so that none goes unchecked."""
    import re  # noqa: PLC0415  # only here

    said = {rejection.detail for seed in range(8) for rejection in rejections(seeded_csv(seed, 2_000))}
    unmet = [
        pattern for pattern in CHECKS if not any(re.fullmatch(pattern, each, re.DOTALL) for each in said)
    ]
    assert unmet == []


@pytest.mark.parametrize("outcome", [each for each in Outcome if each.severity is not Severity.MALFORMED])
def test_rules_speak_for_themselves(outcome: Outcome) -> None:
    """What the rules refuse has one cause, which its explanation says."""
    decoder = CsvDecoder(keep_source=True)
    decoder.feed(b"type,client,tx,amount\ndeposit,1,1,1\n")
    batch = decoder.finish()
    assert batch is not None
    assert find_rejection(batch, 0, outcome, "t.csv", number=1, decimals=4).detail == ""
