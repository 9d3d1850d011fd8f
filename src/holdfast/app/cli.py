"""The command line: which command it is for, and who does it. What is not needed to tell is imported later."""

from __future__ import annotations

import sys

from holdfast.app.commands import COMMANDS

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from holdfast.app.runner import Runner

_ABOUT_ALL = frozenset({"-h", "--help", "-V", "--version"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code.

    Args:
        arguments: What comes after the command's name; the process's own if not given.
    """
    from holdfast.app.runner import Runner  # noqa: PLC0415  # code that asks for is_plain alone does without

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
    from holdfast.app.parsing import load, parse  # noqa: PLC0415  # argparse: a plain command line does without

    given = with_command(arguments)
    options, refuse = parse(given)
    job: Callable[[Runner, argparse.Namespace, Callable[[str], NoReturn]], int] = load(COMMANDS[given[0]].job)
    return job(runner, options, refuse)


def _explain_mistyped_command(arguments: list[str], error: FileNotFoundError) -> None:
    """Say so if a file that is not there looks like the name of a command.

    Raises:
        JobError: If it does.
    """
    from difflib import get_close_matches  # noqa: PLC0415  # only once something went wrong

    from holdfast.app.runner import JobError  # noqa: PLC0415  # the same

    # A name with a dot or a slash was meant to be a file.
    typed = arguments[0] if arguments and arguments[0].isalpha() else ""
    if error.filename != typed:
        return
    if typed == "help":
        raise JobError("there is no command or file 'help': did you mean holdfast --help?") from error
    if meant := get_close_matches(typed, COMMANDS, 1):
        raise JobError(f"there is no command or file {typed!r}: did you mean {meant[0]!r}?") from error


def is_plain(arguments: Sequence[str]) -> bool:
    """Whether a command line is file names and nothing else; argparse, as slow as a small job, has nothing to do then."""
    return not (arguments and arguments[0] in COMMANDS) and not any(
        word.startswith("-") and word != "-" for word in arguments
    )


def plain_options(files: Sequence[str]) -> object:
    """Give what the parser would make of a plain command line."""
    from types import SimpleNamespace  # noqa: PLC0415  # not needed beside a parser

    from holdfast.app.options import PROCESS_DEFAULTS  # noqa: PLC0415  # --help of other commands does without

    return SimpleNamespace(**PROCESS_DEFAULTS, command="process", files=list(files))


def with_command(arguments: list[str]) -> list[str]:
    """Put ``process`` in front unless another command, or something about the whole, is asked for."""
    return arguments if arguments and arguments[0] in {*COMMANDS, *_ABOUT_ALL} else ["process", *arguments]


def _refuse_plain(message: str) -> NoReturn:
    from holdfast.app.parsing import make_parsers  # noqa: PLC0415  # only once something went wrong

    make_parsers("process").command.error(message)
