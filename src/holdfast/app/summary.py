"""The summary that a command ends with: lines for people, a JSON log line, a JSON file."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping
    from typing import Protocol

    from holdfast.app.runner import Runner
    from holdfast.domain.outcome import Outcome

    class Counts(Protocol):
        """What became of rows."""

        @property
        def rows(self) -> int:
            """Rows decided."""

        @property
        def applied(self) -> int:
            """Rows applied."""

        @property
        def refused(self) -> int:
            """Rows not applied."""

        @property
        def refused_by_outcome(self) -> Mapping[Outcome, int]:
            """The same by outcome."""

        def to_json(self) -> dict[str, object]:
            """Give all there is as what JSON knows."""


def write_summary(runner: Runner, options: argparse.Namespace, counts: Counts) -> None:
    """Write the file that ``--json-summary`` asks for; a failure is noted by the runner."""
    if options.json_summary is not None:
        import json  # noqa: PLC0415  # on request

        with runner.output(options.json_summary) as file:
            file.write(json.dumps(counts.to_json(), indent=2).encode() + b"\n")


def say_summary(
    runner: Runner, options: argparse.Namespace, counts: Counts, more_lines: Iterable[str]
) -> None:
    """Say on standard error what ``--summary`` and ``-v`` ask for.

    Args:
        runner: Whose standard error it is.
        options: The command line.
        counts: What became of the rows.
        more_lines: What comes after that, for people; for machines it is part of the counts.
    """
    if options.quiet or not (options.summary or options.verbose):
        return
    if options.log_format == "json":
        import logging  # noqa: PLC0415  # configured by now

        logging.getLogger("holdfast.command").warning("summary", extra=counts.to_json())
        return
    lines = [
        f"rows       {counts.rows:,}",
        f"applied    {counts.applied:,}",
        f"refused    {counts.refused:,}",
        *(f"  {outcome.name:<21}{count:,}" for outcome, count in counts.refused_by_outcome.items()),
        *more_lines,
    ]
    runner.stderr.write("\n".join(lines) + "\n")
