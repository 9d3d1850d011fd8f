"""The command line: the plain case without a parser, commands that cost nothing until they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from holdfast.app.cli import is_plain, plain_options
from holdfast.app.parsing import make_parsers

COMMANDS = ("process", "check", "explain", "serve", "send", "token", "completion")
FAR = ("holdfast.app.commands.send", "holdfast.client", "holdfast.streaming", "asyncio")
"""What commands on files do without."""


@pytest.mark.parametrize("files", [[], ["a.csv"], ["a.csv", "-", "b c.csv", "", "check"]])
def test_plain_command_lines_mean_what_the_parser_makes_of_them(files: list[str]) -> None:
    """File names and nothing else: the same options, to the last one, with and without the parser."""
    assert is_plain(files)
    parsed = make_parsers("process").whole.parse_args(["process", *files])
    assert vars(plain_options(files)) == vars(parsed)


@pytest.mark.parametrize(
    "arguments",
    [
        *([command] for command in COMMANDS),
        ["process", "a.csv"],
        ["a.csv", "-v"],
        ["-o", "out.csv", "a.csv"],
        ["--", "a.csv"],
        ["--help"],
        ["--version"],
    ],
)
def test_everything_else_is_parsed(arguments: list[str]) -> None:
    """An option, wherever it stands, or a command is for the parser."""
    assert not is_plain(arguments)


def imported_by(*arguments: str) -> set[str]:
    """Run the command and give the modules that it imported."""
    program = (
        "import atexit, os, sys\n"
        "atexit.register(lambda: os.write(2, ' '.join(sys.modules).encode()))\n"
        "from holdfast.app.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        input=b"type,client,tx,amount\ndeposit,1,1,1\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.decode().split())


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-",),
        ("process", "-", "-q"),
        ("check",),
        ("explain", "--tx", "1"),
        ("--help",),
        ("check", "--help"),
    ],
)
def test_commands_on_files_import_no_network(arguments: tuple[str, ...]) -> None:
    """Whoever folds a file, or asks how that is done, pays nothing for servers and clients."""
    assert not [name for name in imported_by(*arguments) if name.startswith(FAR)]


def test_the_plain_command_needs_no_parser() -> None:
    """The parser is as slow as a small job; so is the translation of messages that it imports."""
    assert not imported_by("-") & {"argparse", "gettext", "locale", "holdfast.app.help"}


def test_all_commands_are_listed() -> None:
    """Help on the whole names every command with what it does."""
    text = make_parsers("process").whole.format_help()
    for command in COMMANDS:
        assert f"\n    {command} " in text
