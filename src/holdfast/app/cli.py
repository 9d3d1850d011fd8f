"""The command line: what can be said, and who does it. Everything that is not needed to read it is imported later."""

from __future__ import annotations

import sys

from holdfast import __version__

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from holdfast.app.runner import Runner

_DESCRIPTION = """\
Fold CSV files of deposits, withdrawals, disputes, resolves and chargebacks into client accounts.

  holdfast transactions.csv > accounts.csv      the accounts (the same as holdfast process)
  holdfast check transactions.csv               is every row applied? the exit code says so
  holdfast explain transactions.csv --client 7  what happened to a client, row by row
"""
_EPILOG = """\
holdfast COMMAND --help says more about one of them

exit codes: 0 done, 1 error (input, output, policy), 2 usage, 3 rows were refused (check, --fail-on-reject),
129/130/143 stopped by SIGHUP/SIGINT/SIGTERM
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code.

    Args:
        arguments: What stands behind the command's name; the process's own if not given.
    """
    from holdfast.app.runner import Runner  # noqa: PLC0415  # in here: whoever asks for the parser does without

    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(Runner().run(lambda runner: _job(runner, given)))


def _job(runner: Runner, arguments: list[str]) -> int:
    try:
        return _run_command(runner, arguments)
    except FileNotFoundError as error:
        _explain_mistyped_command(arguments, error)
        raise


def _run_command(runner: Runner, arguments: list[str]) -> int:
    if is_plain(arguments):
        from holdfast.app.commands.process import process  # noqa: PLC0415  # --help does without

        return process(runner, plain_options(arguments), _refuse_plain)  # type: ignore[arg-type]  # has the same attributes
    given = _with_command(arguments)
    parser = build_parser(given[0])
    options = _parse(parser, given)
    job: Callable[[Runner, argparse.Namespace, Callable[[str], NoReturn]], int] = _load(
        _COMMANDS[given[0]].job
    )
    return job(runner, options, parser.error)


def _parse(parser: argparse.ArgumentParser, given: list[str]) -> argparse.Namespace:
    """Parse a command line; argparse takes the files before the first option, and leaves it to others to take those behind."""
    options, rest = parser.parse_known_args(given)
    end = rest.index("--") if "--" in rest else len(rest)
    unknown = [word for word in rest[:end] if word.startswith("-") and word != "-"]
    if unknown or (rest and "files" not in options):
        parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
    if rest:
        options.files = [*options.files, *rest[:end], *rest[end + 1 :]]
    return options


def _explain_mistyped_command(arguments: list[str], error: FileNotFoundError) -> None:
    """Say so if a file that is not there looks like the name of a command.

    Raises:
        JobError: If it does.
    """
    from difflib import get_close_matches  # noqa: PLC0415  # only once something went wrong

    from holdfast.app.runner import JobError  # noqa: PLC0415  # the same

    # A name with a dot or a slash was meant to be a file.
    typed = arguments[0] if arguments and arguments[0].isalpha() else ""
    if error.filename == typed and (meant := get_close_matches(typed, _COMMANDS, 1)):
        raise JobError(f"there is no command or file {typed!r}: did you mean {meant[0]!r}?") from error


def is_plain(arguments: Sequence[str]) -> bool:
    """Whether a command line is file names and nothing else; argparse, as slow as a small job, has nothing to do then."""
    return not (arguments and arguments[0] in _COMMANDS) and not any(
        word.startswith("-") and word != "-" for word in arguments
    )


def plain_options(files: Sequence[str]) -> object:
    """Give what the parser would make of a plain command line."""
    from types import SimpleNamespace  # noqa: PLC0415  # not needed beside a parser

    from holdfast.app.options import PROCESS_DEFAULTS  # noqa: PLC0415  # --help of other commands does without

    return SimpleNamespace(**PROCESS_DEFAULTS, command="process", files=list(files))


def _refuse_plain(message: str) -> NoReturn:
    build_parser("process").error(message)


def _with_command(arguments: list[str]) -> list[str]:
    """Put ``process`` in front unless another command, or help on all of them, is asked for."""
    if arguments and (arguments[0] in _COMMANDS or arguments[0] in {"-h", "--help", "--version"}):
        return arguments
    return ["process", *arguments]


def build_parser(command: str) -> argparse.ArgumentParser:
    """Make the parser of the command line.

    Args:
        command: The one that will be parsed; the others have no options here, only their names and what they do.
    """
    import argparse  # noqa: PLC0415  # a plain command line does without

    from holdfast.app.help import HelpFormatter  # noqa: PLC0415  # the same

    parser = argparse.ArgumentParser(
        prog="holdfast",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    # With its name given, argparse need not format a usage line (and import shutil) to find it out.
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="holdfast")
    for name, one in _COMMANDS.items():
        # The summary is the help line that belongs to the whole; the options are made when they are asked for.
        described = f"{one.summary[0].upper()}{one.summary[1:]}."
        subparser = commands.add_parser(
            name, help=one.summary, description=described, allow_abbrev=False, formatter_class=HelpFormatter
        )
        if command == name:
            _load(one.options)(subparser)
    return parser


def _load(where: str) -> Callable[..., int]:
    """Import ``module:function``."""
    from importlib import import_module  # noqa: PLC0415  # a plain command line does without

    module, _, function = where.partition(":")
    loaded: Callable[..., int] = getattr(import_module(f"holdfast.{module}"), function)
    return loaded


class _Command:
    """What a command is called for, and where it is: nothing of it is imported before it is asked for.

    Args:
        summary: What it does, in half a sentence.
        options: Adds its options to a parser.
        job: Does it.
    """

    __slots__ = ("job", "options", "summary")

    def __init__(self, summary: str, options: str, job: str) -> None:
        self.summary = summary
        self.options = options
        self.job = job


_COMMANDS = {
    "process": _Command(
        "apply files and write the accounts", "app.options:add_process", "app.commands.process:process"
    ),
    "check": _Command(
        "decode and apply files, write nothing, exit with 3 if any row is not applied",
        "app.options:add_check",
        "app.commands.check:check",
    ),
    "explain": _Command(
        "show every row that touched a client or a transaction, or tried to",
        "app.options:add_explain",
        "app.commands.explain:explain",
    ),
    "serve": _Command(
        "take streams of transactions over TCP and keep the accounts",
        "app.commands.serve:add_options",
        "app.commands.serve:serve",
    ),
    "send": _Command("send files to a server", "app.commands.send:add_options", "app.commands.send:send"),
    "token": _Command(
        "make a token that lets somebody send to a server",
        "server.tokens:add_options",
        "server.tokens:new_token",
    ),
}
