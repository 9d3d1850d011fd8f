"""Logging: JSON that is always valid, text that nobody can forge lines in, configuration by the command."""

from __future__ import annotations

import json
import logging
import re
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from holdfast.app.logs import JsonFormatter, TextFormatter, configure_logging, error_as_json

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The library's logger, put back after the test."""
    holdfast = logging.getLogger("holdfast")
    before = (holdfast.handlers[:], holdfast.level, holdfast.propagate)
    yield holdfast
    holdfast.handlers[:], holdfast.level, holdfast.propagate = before


def _record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("holdfast.engine", logging.WARNING, "f.py", 1, message, arguments, None)
    record.__dict__.update(extra)
    return record


def _failure(text: str, stack: str) -> logging.LogRecord:
    """Make the record of a text that is no number."""
    record = _record("failed")
    try:
        int(text)
    except ValueError:
        record.exc_info = sys.exc_info()
    record.stack_info = stack
    return record


def _json(record: logging.LogRecord) -> dict[str, object]:
    line = JsonFormatter().format(record)
    assert "\n" not in line
    fields = json.loads(line, parse_constant=pytest.fail)
    assert isinstance(fields, dict)
    return fields


def test_json_fields() -> None:
    """Time, level, logger, message and extra fields, numbers as numbers."""
    record = _record("%d rows", 5, file="a.csv", rows=5, nested={"a": [1, None]})
    record.created = 1_700_000_000.25
    assert _json(record) == {
        "time": "2023-11-14T22:13:20.250000Z",
        "level": "WARNING",
        "logger": "holdfast.engine",
        "message": "5 rows",
        "file": "a.csv",
        "rows": 5,
        "nested": {"a": [1, None]},
    }


def test_json_time_keeps_its_microseconds() -> None:
    """A whole second has its six zeros: every time is as long as every other."""
    record = _record("")
    record.created = 1_700_000_000.0
    assert _json(record)["time"] == "2023-11-14T22:13:20.000000Z"


def test_json_exception_and_stack() -> None:
    """Tracebacks are fields of the one line."""
    record = _failure("line 1\nline 2", "Stack (most recent call last):")
    fields = _json(record)
    assert str(fields["exception"]).startswith("Traceback (most recent call last):\n")
    assert str(fields["exception"]).endswith(
        "ValueError: invalid literal for int() with base 10: 'line 1\\nline 2'"
    )
    assert fields["stack"] == "Stack (most recent call last):"


def test_json_takes_any_value() -> None:
    """What JSON does not know becomes text: a log record never fails and never is invalid."""
    cycle: list[object] = []
    cycle.append(cycle)
    assert _json(_record("", amount=Decimal("1.50")))["amount"] == "1.50"
    assert _json(_record("", ratio=float("nan"), rows=5))["ratio"] == "nan"
    assert _json(_record("", key={(1, 2): 3}))["key"] == "{(1, 2): 3}"
    assert _json(_record("", cycle=cycle))["cycle"] == "[[...]]"
    assert _json(_record("\udcff\x00\u2028"))["message"] == "\udcff\x00\u2028"


def test_json_own_fields_are_not_overwritten() -> None:
    """An extra field of the same name keeps its value under another."""
    fields = _json(_record("real", level="forged", time=0))
    assert (fields["level"], fields["level_"], fields["time_"]) == ("WARNING", "forged", 0)
    assert fields["time"] != 0


def test_an_error_message_as_json() -> None:
    """The line that a command ends with has the fields of any other; a percent sign in it is one."""
    fields = json.loads(error_as_json("100% of\n\udcff"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", fields.pop("time"))
    assert fields == {"level": "ERROR", "logger": "holdfast.command", "message": "100% of\n\udcff"}


def test_text() -> None:
    """One line for people: the message, and not once more what its extra fields say to machines."""
    record = _record("%d rows", 5, file="a.csv")
    record.created = 1_700_000_000.25
    expected = "2023-11-14T22:13:20.250000Z WARNING holdfast.engine: 5 rows"
    assert TextFormatter().format(record) == expected


def test_text_lines_cannot_be_forged() -> None:
    """Line ends and escape sequences in what a partner sent stay visible and on one line."""
    line = TextFormatter().format(_record("bad type %s", "x\n2023 INFO fine\x1b[2J\r"))
    assert line.endswith("bad type x\\n2023 INFO fine\\x1b[2J\\r")


def test_text_exception_and_stack() -> None:
    """Tracebacks come below the line."""
    record = _failure("no", "Stack:")
    lines = TextFormatter().format(record).splitlines()
    assert lines[0].endswith("holdfast.engine: failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-2:] == ["ValueError: invalid literal for int() with base 10: 'no'", "Stack:"]


@pytest.mark.parametrize(("verbosity", "heard"), [(-5, 1), (-1, 1), (0, 2), (1, 3), (2, 4), (9, 4)])
def test_verbosity(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], verbosity: int, heard: int
) -> None:
    """Each step lets one more level through, and there is no step too far."""
    configure_logging("text", verbosity)
    for level in (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG):
        logging.getLogger("holdfast.engine").log(level, "heard")
    assert len(capsys.readouterr().err.splitlines()) == heard
    assert logger.handlers != []


def test_configuring_again_replaces(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The last call holds, and a record is written once; loggers of others are left alone."""
    root_handlers = logging.getLogger().handlers[:]
    configure_logging("text", 0)
    configure_logging("json", 0)
    logger.warning("once")
    logging.getLogger("other").info("not heard")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["once"]
    assert logging.getLogger().handlers == root_handlers
    assert caplog.messages == []


def test_without_standard_error(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """With standard error closed at the start, records go nowhere and harm nobody."""
    monkeypatch.setattr(sys, "stderr", None)
    configure_logging("json", 2)
    logger.error("nobody hears")
    assert re.fullmatch(r"\[<NullHandler .*>\]", str(logger.handlers))
