"""What a command says at its end without being asked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

import holdfast
from holdfast import Outcome
from holdfast.app.remarks import EmptyInputs, describe_empty, describe_unapplied, say_remarks
from holdfast.io.compression import open_source

if TYPE_CHECKING:
    from holdfast.engine.report import Report

HEADER = b"type,client,tx,amount\n"


def report(refused: dict[Outcome, int], applied: int = 0) -> Report:
    """Make a report of so many rows."""
    whole = holdfast.Engine().process(HEADER)
    rows = applied + sum(refused.values())
    return whole._replace(rows=rows, applied=applied, refused_by_outcome=refused)


@pytest.mark.parametrize(
    ("refused", "applied", "said"),
    [
        ({Outcome.INSUFFICIENT_FUNDS: 1}, 0, "1 of 1 rows was not applied (INSUFFICIENT_FUNDS 1)"),
        (
            {Outcome.MALFORMED_ROW: 2, Outcome.INSUFFICIENT_FUNDS: 9},
            30,
            "11 of 41 rows were not applied (INSUFFICIENT_FUNDS 9, MALFORMED_ROW 2)",
        ),
        (
            dict.fromkeys(list(Outcome)[1:8], 1234),
            0,
            (
                "8,638 of 8,638 rows were not applied (ROW_TOO_LONG 1,234, MALFORMED_ROW 1,234, UNKNOWN_TYPE 1,234, "
                "INVALID_CLIENT 1,234, others 3,702)"
            ),
        ),
    ],
)
def test_rows_that_were_not_applied(refused: dict[Outcome, int], applied: int, said: str) -> None:
    """How many of how many, the most frequent reasons first, and what lists them unless something did."""
    assert describe_unapplied(report(refused, applied), is_listed=True) == said
    assert (
        describe_unapplied(report(refused, applied), is_listed=False) == f"{said}; --rejects FILE lists them"
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.csv"], "a.csv: 0 rows, a header at most"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more: 0 rows, a header at most"),
        (["a\n\x1b[2J"], "a\\n\\x1b[2J: 0 rows, a header at most"),
    ],
)
def test_inputs_without_rows(names: list[str], said: str) -> None:
    """They are named, a few of them, on one line."""
    assert describe_empty(names) == said


def test_empty_inputs_are_noted() -> None:
    """Whichever of several inputs had no rows, the last one as well; refused rows are rows."""
    engine = holdfast.Engine()
    empty = EmptyInputs()
    inputs = [HEADER, HEADER + b"x,1,1,1\n", HEADER + b"\n\n", HEADER + b"deposit,1,1,1\n", HEADER]
    streams = [open_source(data) for data in inputs]
    for number, stream in enumerate(streams):
        stream.name = str(number)
    engine.process_each(empty.watch(iter(streams), lambda: engine.decided))
    assert empty.names == ["0", "2", "4"]


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("rejects", [None, "r.csv"])
def test_silence_is_asked_for(quiet: bool, rejects: str | None) -> None:  # a parameter of the test
    """With -q nothing is said; without, each remark is one line of the command."""
    options = argparse.Namespace(quiet=quiet, rejects=rejects, log_format="text")
    said: list[str] = []
    say_remarks(options, report({Outcome.INVALID_TX: 2}, 1), ["a.csv"], said.append)
    hint = "" if rejects else "; --rejects FILE lists them"
    expected = [
        "holdfast: a.csv: 0 rows, a header at most\n",
        f"holdfast: 2 of 3 rows were not applied (INVALID_TX 2){hint}\n",
    ]
    assert said == ([] if quiet else expected)


def test_nothing_is_said_of_what_went_well() -> None:
    """All rows applied: silence."""
    options = argparse.Namespace(quiet=False, rejects=None, log_format="text")
    said: list[str] = []
    say_remarks(options, report({}, 3), [], said.append)
    assert said == []
