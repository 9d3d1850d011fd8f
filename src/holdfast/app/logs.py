"""Log records as text for people or JSON for machines. Only commands configure logging, never the library."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, Protocol

from holdfast.app.escaping import one_line

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_OWN_FIELDS = frozenset({"time", "level", "logger", "message", "exception", "stack"})
_RECORD_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what ``extra`` holds, and the exception's text.

    Every record is valid JSON: a value that JSON does not know becomes its text, and an extra field that is named like one
    of the formatter's own gets a ``_`` after its name.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line of JSON."""
        fields: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _extra(record).items():
            fields[f"{key}_" if key in _OWN_FIELDS else key] = value
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return _dump(fields)


class TextFormatter(logging.Formatter):
    """One line for people, ``TIME LEVEL LOGGER: MESSAGE``, and below it the exception, if any.

    The message says everything; ``extra`` has the same for machines. A message may quote what a partner sent: its control
    characters are escaped, so that it forges no line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as text."""
        parts = [one_line(f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}")]
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return "\n".join(parts)


class LogStream(Protocol):
    """Where log lines go."""

    def write(self, text: str, /) -> object:
        """Write text."""

    def flush(self) -> None:
        """Write what is still in a buffer."""


def configure_logging(
    format: Literal["text", "json"],  # noqa: A002  # the option's name
    verbosity: int,
    stream: LogStream | None = None,
) -> None:
    """Send the records of ``holdfast`` and ``asyncio`` to standard error; a second call replaces the first.

    Args:
        format: For people or for machines.
        verbosity: 0 for warnings and worse, 1 for information too, 2 and more for everything, -1 and less for
            errors only.
        stream: Where they go instead of ``sys.stderr``: something that bears a failure.
    """
    handler: logging.Handler = logging.NullHandler()
    # Closed at the start (2>&-), standard error is None.
    if stream is not None or sys.stderr is not None:
        handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(make_formatter(format))
    level = logging.ERROR if verbosity < 0 else _LEVELS[min(verbosity, len(_LEVELS) - 1)]
    # The event loop's warnings are for the same reader. Nobody asked for its debugging.
    for name, least in (("holdfast", level), ("asyncio", max(level, logging.WARNING))):
        logger = logging.getLogger(name)
        for former in logger.handlers[:]:
            logger.removeHandler(former)
            former.close()
        logger.addHandler(handler)
        logger.setLevel(least)
        logger.propagate = False


def make_formatter(format: Literal["text", "json"]) -> logging.Formatter:  # noqa: A002  # the option's name
    """Make the formatter for people or for machines."""
    return JsonFormatter() if format == "json" else TextFormatter()


def describe_dropped(format: Literal["text", "json"], count: int) -> str:  # noqa: A002  # the option's name
    """Write the line that says how many lines of the log nobody will read."""
    record = logging.makeLogRecord(
        {
            "name": "holdfast.log",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "%d lines of the log were dropped: standard error was not read fast enough",
            "args": (count,),
            "dropped": count,
        }
    )
    return f"{make_formatter(format).format(record)}\n"


def error_as_json(message: str) -> str:
    """Write the error that a command ends with as the JSON line that a log record of it would be."""
    return JsonFormatter().format(
        logging.makeLogRecord({"name": "holdfast.command", "levelname": "ERROR", "msg": message})
    )


def _time(record: logging.LogRecord) -> str:
    """When the record was made, as RFC 3339 in UTC with microseconds."""
    moment = datetime.fromtimestamp(record.created, tz=UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds") + "Z"


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _RECORD_ATTRIBUTES}


def _dump(fields: dict[str, object]) -> str:
    try:
        return json.dumps(fields, default=str, allow_nan=False)
    except (TypeError, ValueError):
        # A NaN, a cycle, a key that is no text: the log line matters more than the types of its fields.
        return json.dumps({key: str(value) for key, value in fields.items()})
