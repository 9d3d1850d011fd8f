"""What can be on a command line, as data: read from the parsers, for completion scripts and the manual page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.app.commands import COMMANDS
from holdfast.app.parsing import make_parsers

if TYPE_CHECKING:
    import argparse

_FILE_METAVARS = frozenset({"FILE"})
_WORDS_OF_METAVARS = {"PROFILE": ("standard", "cards"), "POLICY": ("skip", "silent", "abort", "budget:")}
"""What an option takes beside files, by its metavar."""
_FILES_BESIDE_WORDS = frozenset({"PROFILE"})


class Argument(NamedTuple):
    """An option, or what comes without one."""

    names: tuple[str, ...]
    """``-o`` and ``--output``; none for a positional argument."""
    metavar: str
    """What its value is called; empty for a flag."""
    help: str
    """What it does, with defaults filled in."""
    words: tuple[str, ...]
    """Values that it can have, as far as they can be listed."""
    takes_files: bool
    """Whether its value can be a file."""
    is_repeated: bool
    """Whether it may be given several times."""


class CommandLine(NamedTuple):
    """One command."""

    name: str
    summary: str
    usage: str
    """How its command line is laid out, in one line."""
    groups: tuple[tuple[str, tuple[Argument, ...]], ...]
    """Titles, and the arguments under each."""

    @property
    def options(self) -> list[Argument]:
        """All options."""
        return [each for _, arguments in self.groups for each in arguments if each.names]

    @property
    def positional(self) -> list[Argument]:
        """All that comes without an option."""
        return [each for _, arguments in self.groups for each in arguments if not each.names]


def describe_commands() -> list[CommandLine]:
    """Describe every command as its parser knows it."""
    return [_describe(name) for name in COMMANDS]


def _describe(name: str) -> CommandLine:
    parser = make_parsers(name).command
    groups = tuple(
        (title, tuple(_argument(action, parser.prog) for action in actions))
        for title, actions in parser.groups()
    )
    words = [f"holdfast {name}", "[OPTION]..."]
    for _, arguments in groups:
        words += [
            f"[{each.metavar}]..." if each.is_repeated else each.metavar
            for each in arguments
            if not each.names
        ]
    return CommandLine(name, COMMANDS[name].summary, " ".join(words), groups)


def _argument(action: argparse.Action, prog: str) -> Argument:
    choices = tuple(str(choice) for choice in action.choices or ())
    metavar = "" if action.nargs == 0 else _metavar(action, choices)
    return Argument(
        names=tuple(action.option_strings),
        metavar=metavar,
        help=(action.help or "") % {**vars(action), "prog": prog},
        words=choices or _WORDS_OF_METAVARS.get(metavar, ()),
        takes_files=metavar in _FILE_METAVARS | _FILES_BESIDE_WORDS,
        is_repeated=action.nargs == "*" or type(action).__name__ in {"_AppendAction", "_CountAction"},
    )


def _metavar(action: argparse.Action, choices: tuple[str, ...]) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return f"{{{','.join(choices)}}}" if choices else action.dest.upper()
