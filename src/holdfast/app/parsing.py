"""The parser of the command line, and what it says about a command line that cannot be meant."""

from __future__ import annotations

import argparse

from holdfast import __version__
from holdfast.app.commands import COMMANDS
from holdfast.app.escaping import one_line
from holdfast.app.help import HelpFormatter

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import NamedTuple, NoReturn

    from holdfast.app.options import Refuse
else:
    from holdfast.domain.named_tuples import NamedTuple

DOCUMENTATION_URL = "https://holdfast.readthedocs.io"
DESCRIPTION = """\
Fold CSV or NDJSON files of deposits, withdrawals, disputes, resolves and chargebacks into client accounts.

  holdfast transactions.csv > accounts.csv      the accounts (the same as holdfast process)
  holdfast check transactions.csv               is every row applied? the exit code says so
  holdfast explain transactions.csv --client 7  what happened to a client, row by row
"""
EPILOG = f"""\
holdfast COMMAND --help lists the options of a command

exit codes: 0 done, 1 error (input, output, policy), 2 usage, 3 rows were refused (check, --fail-on-reject),
129/130/143 stopped by SIGHUP/SIGINT/SIGTERM

documentation: {DOCUMENTATION_URL}, and docs/ in the source distribution
"""
_EXIT_USAGE = 2
_SHORT_OPTION_LENGTH = 2


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors of the command are."""

    def error(self, message: str) -> NoReturn:
        """End the process: a message, where to read more, exit code 2."""
        line = f"holdfast: {one_line(message)} ({self.prog} --help says more)\n"
        self.exit(_EXIT_USAGE, line)

    def groups(self) -> Iterator[tuple[str, list[argparse.Action]]]:
        """Give the title and the options of each group that has any to show."""
        for group in self._action_groups:
            shown = [action for action in group._group_actions if action.help != argparse.SUPPRESS]  # noqa: SLF001  # there is no other way
            if shown:
                yield group.title or "", shown

    def option_names(self) -> list[str]:
        """List the options, ``-o`` and ``--output``."""
        return list(self._option_string_actions)


class Parsers(NamedTuple):
    """The parser of the whole command line, and that of the command in it."""

    whole: Parser
    command: Parser


def make_parsers(command: str) -> Parsers:
    """Make the parsers of the command line.

    Args:
        command: The command that will be parsed. The others have no options here, only their names and summaries; a name
            of no command gives the parser of the whole twice.
    """
    whole = Parser(
        prog="holdfast",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    _add_version(whole, "show the version and exit")
    # With its name given, argparse need not format a usage line (and import shutil) to find it out.
    commands = whole.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="holdfast", parser_class=Parser
    )
    of_command = whole
    for name, one in COMMANDS.items():
        # Help on the whole shows the summary; the options are made for one command only.
        described = f"{one.summary[0].upper()}{one.summary[1:]}."
        parser = commands.add_parser(
            name, help=one.summary, description=described, allow_abbrev=False, formatter_class=HelpFormatter
        )
        if name == command:
            _add_version(parser, argparse.SUPPRESS)
            load(one.options)(parser)
            of_command = parser
    return Parsers(whole, of_command)


def _add_version(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("-V", "--version", action="version", version=f"holdfast {__version__}", help=text)


def load(where: str) -> Callable[..., int]:
    """Import ``module:function``."""
    from importlib import import_module  # noqa: PLC0415  # argparse alone does without

    module, _, function = where.partition(":")
    loaded: Callable[..., int] = getattr(import_module(f"holdfast.{module}"), function)
    return loaded


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Refuse]:
    """Parse a command line.

    Args:
        arguments: The command, its options and files.

    Returns:
        The options, and what ends the process if they cannot be meant.

    Raises:
        SystemExit: With 2 and one line if it is written wrongly; with 0 after help or the version.
    """
    whole, command = make_parsers(arguments[0])
    _refuse_unknown(command, arguments)
    # argparse takes the files before the first option, and leaves those after it to others.
    options, rest = whole.parse_known_args(arguments)
    end = rest.index("--") if "--" in rest else len(rest)
    unknown = [word for word in rest[:end] if word.startswith("-") and word != "-"]
    if unknown:
        _refuse_option(command, unknown[0].partition("=")[0])
    if rest and "files" not in options:
        command.error(f"{command.prog} takes options only, not {rest[0]!r}")
    if rest:
        options.files = [*options.files, *rest[:end], *rest[end + 1 :]]
    return options, command.error


def _refuse_unknown(command: Parser, arguments: Sequence[str]) -> None:
    """Refuse options that do not exist, before argparse misses others.

    It would also take ``-output`` for ``-o utput``, and write a file called ``utput``.
    """
    names = command.option_names()
    for word in arguments[1:]:
        if word == "--":
            return
        name = word.partition("=")[0]
        # argparse takes a word with a blank for a value.
        if name.startswith("--") and name not in names and " " not in word:
            _refuse_option(command, name)
        if not name.startswith("--") and len(name) > _SHORT_OPTION_LENGTH and f"-{name}" in names:
            command.error(f"there is no option {name}; did you mean -{name}?")


def _refuse_option(command: Parser, name: str) -> NoReturn:
    """Say that there is no such option, and which one may be meant."""
    others = [other for other in COMMANDS if name in make_parsers(other).command.option_names()]
    if others:
        command.error(
            f"{command.prog} does not have the option {name}; it belongs to holdfast {_listed(others)}"
        )
    meant = _closest(name, command.option_names())
    command.error(f"there is no option {name}{'' if meant is None else f'; did you mean {meant}?'}")


def _closest(name: str, names: list[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415  # only once something went wrong

    longer = [known for known in names if len(name) > _SHORT_OPTION_LENGTH and known.startswith(name)]
    return next(iter(longer or get_close_matches(name, names, 1)), None)


def _listed(names: list[str]) -> str:
    """Write names as in a sentence: a, b and c."""
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
