"""The report: what it derives, and what it says as JSON."""

from __future__ import annotations

import json

from holdfast import Engine, Outcome, Report

HEADER = b"type,client,tx,amount\n"


def test_counts_of_a_run() -> None:
    """The report on one small input has the right numbers."""
    data = (
        HEADER
        + b"deposit,1,1,5\ndeposit,2,2,5\ndispute,2,2\nx\ny\ndispute,1,9\n\nwithdrawal,1,3,6\nchargeback,2,2\n"
    )
    report = Engine().process(data)
    assert report._replace(seconds=0.0) == Report(
        rows=8,
        applied=4,
        refused_by_outcome={
            Outcome.MALFORMED_ROW: 2,
            Outcome.TX_NOT_FOUND: 1,
            Outcome.INSUFFICIENT_FUNDS: 1,
        },
        accounts=2,
        locked_accounts=1,
        transactions=2,
        open_disputes=0,
        sequence=8,
        input_bytes=len(data),
        seconds=0.0,
    )
    assert list(report.refused_by_outcome) == sorted(report.refused_by_outcome)
    assert report.refused == 4
    assert report.seconds > 0


def _report(seconds: float) -> Report:
    return Report(
        rows=10,
        applied=7,
        refused_by_outcome={Outcome.MALFORMED_ROW: 1, Outcome.INSUFFICIENT_FUNDS: 2},
        accounts=3,
        locked_accounts=1,
        transactions=6,
        open_disputes=1,
        sequence=12,
        input_bytes=500,
        seconds=seconds,
    )


def test_speed_is_rows_by_seconds() -> None:
    """A run too short to be timed has no speed, and no division by zero."""
    assert _report(2.5).rows_per_second == 4.0
    assert _report(0.0).rows_per_second == 0.0


def test_json_has_outcomes_by_name() -> None:
    """The report survives a round trip through JSON, codes spelled out."""
    assert json.loads(json.dumps(_report(0.1234567).to_json())) == {
        "rows": 10,
        "applied": 7,
        "refused": 3,
        "refused_by_code": {"MALFORMED_ROW": 1, "INSUFFICIENT_FUNDS": 2},
        "accounts": 3,
        "locked_accounts": 1,
        "transactions": 6,
        "open_disputes": 1,
        "sequence": 12,
        "input_bytes": 500,
        "seconds": 0.123457,
        "rows_per_second": 81,
        "failed": 0,
        "skipped": 0,
    }


def test_an_empty_stream_is_a_report_of_zeros() -> None:
    """A header alone is a valid, empty stream."""
    report = Engine().process(HEADER)
    assert (report.rows, report.applied, report.refused, report.refused_by_outcome) == (0, 0, 0, {})
