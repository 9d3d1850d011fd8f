"""The command line: what can be said, and who does it. Everything that is not needed to read it is imported later."""

from __future__ import annotations

import argparse
import os
import sys

from holdfast import __version__

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DESCRIPTION = """\
Fold CSV files of deposits, withdrawals, disputes, resolves and chargebacks into client accounts.

  holdfast transactions.csv > accounts.csv      the accounts (the same as holdfast process)
  holdfast check transactions.csv               is every row applied? the exit code says so
  holdfast explain transactions.csv --client 7  what happened to a client, row by row
"""
_EPILOG = """\
exit codes: 0 done, 1 error (input, output, policy), 2 usage, 3 rows were refused (check, --fail-on-reject),
129/130/143 stopped by SIGHUP/SIGINT/SIGTERM
"""
_ON_ERROR_HELP = (
    "what to do about rows that are not applied: skip (the default; logged with -v), silent, abort, budget:ROWS, "
    "budget:PERCENT%%; "
    "by severity (malformed, refused, partner, duplicate) or code: skip,malformed=abort,DUPLICATE_TX=silent"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code.

    Args:
        arguments: What stands behind the command's name; the process's own if not given.
    """
    from holdfast.app.runner import Runner  # noqa: PLC0415  # after the parser, which may end everything

    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(Runner().run(lambda runner: _job(runner, given)))


def _job(runner: object, arguments: list[str]) -> int:
    given = _with_command(arguments)
    parser = build_parser(given[0] if given else None)
    options = parser.parse_args(given)
    if not options.files:
        if sys.stdin is None or sys.stdin.isatty():
            parser.error("give a FILE, or pipe transactions in")
        options.files = ["-"]
    from holdfast.app import commands  # noqa: PLC0415  # --help does without

    job: commands.Job = getattr(commands, options.command)
    return job(runner, options, parser.error)  # type: ignore[arg-type]  # the runner's type would have to be imported


def _with_command(arguments: list[str]) -> list[str]:
    """Put ``process`` in front unless another command, or help on all of them, is asked for."""
    if arguments and arguments[0] in {*_COMMANDS, "-h", "--help", "--version"}:
        return arguments
    return ["process", *arguments]


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """As it says, but knows the width of the terminal without an import; argparse makes one for every option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_help_columns())


def _help_columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return int(columns) - 2
    try:
        return os.get_terminal_size().columns - 2
    except OSError:
        return 78


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Make the parser of the command line.

    Args:
        command: The one that will be parsed, to leave out the options of the others; all of them if not given.
    """
    parser = argparse.ArgumentParser(
        prog="holdfast",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    # With its name given, argparse need not format a usage line (and import shutil) to find it out.
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="holdfast")
    for name, (summary, add_options) in _COMMANDS.items():
        # The summary is the help line that belongs to the whole; the options are made when they are asked for.
        described = f"{summary[0].upper()}{summary[1:]}."
        one = commands.add_parser(
            name, help=summary, description=described, allow_abbrev=False, formatter_class=_HelpFormatter
        )
        if command is None or command == name:
            _add_inputs(one)
            add_options(one)
    return parser


def _add_process(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the accounts here, whole or not at all (standard output)",
    )
    parser.add_argument(
        "--snapshot-on-signal",
        action="store_true",
        help="when SIGINT, SIGTERM or SIGHUP stops the work, write the accounts as they are by then",
    )
    parser.add_argument(
        "--fail-on-reject", action="store_true", help="exit with 3 if any row was not applied"
    )
    _add_run(parser)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--client", type=_whole_number, metavar="ID", help="the client to follow")
    subject.add_argument("--tx", type=_whole_number, metavar="ID", help="the transaction to follow")
    parser.add_argument("--format", choices=("table", "csv"), default="table", help="how to write it (table)")


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add what all commands have in common."""
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="CSV with a header; plain, .gz, .zst, .bz2 or .xz; - is standard input, as is a pipe where no file is named",
    )
    rules = parser.add_argument_group("rules and widths")
    rules.add_argument(
        "--rules", default="standard", metavar="PROFILE", help="standard, cards, or a .toml file (standard)"
    )
    rules.add_argument(
        "--decimals", type=int, default=4, choices=range(10), metavar="0-9", help="decimals of an amount (4)"
    )
    rules.add_argument(
        "--client-bits", type=int, default=16, choices=(16, 32, 64), help="width of client ids (16)"
    )
    rules.add_argument(
        "--tx-bits", type=int, default=32, choices=(16, 32, 64), help="width of transaction ids (32)"
    )
    rules.add_argument(
        "--row-bytes-max", type=_whole_number, default=4096, metavar="N", help="length limit of a row (4096)"
    )
    rules.add_argument(
        "--batch-rows", type=_whole_number, default=8192, metavar="N", help="rows decided at a time (8192)"
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Add what commands that decide rows have in common."""
    refused = parser.add_argument_group("rows that are not applied")
    refused.add_argument("--on-error", default="skip", metavar="POLICY", help=_ON_ERROR_HELP)
    refused.add_argument(
        "--rejects", metavar="FILE", help="list them here: input, line, byte offset, code, reason, row"
    )
    said = parser.add_argument_group("what is said on standard error")
    said.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="log every row that is not applied, and a summary; -vv: more",
    )
    said.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    said.add_argument("--summary", action="store_true", help="end with a summary")
    said.add_argument("--json-summary", metavar="FILE", help="write the summary here as JSON")
    said.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="how log lines are written (text)"
    )


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "process": ("apply files and write the accounts", _add_process),
    "check": ("decode and apply files, write nothing, exit with 3 if any row is not applied", _add_run),
    "explain": ("show every row that touched a client or a transaction, or tried to", _add_explain),
}
