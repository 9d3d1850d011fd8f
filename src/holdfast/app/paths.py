"""The file names on a command line: what cannot be meant is refused before any work is done."""

from __future__ import annotations

import os
import stat
import sys

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse

_STDIN, _STDOUT = 0, 1


def check_paths(options: argparse.Namespace, refuse: Refuse, *, output: str | None = "") -> None:
    """Settle where the input comes from, and refuse names that would cost somebody a file.

    An output that is also an input, the rules or another output is a mistake, whatever names are used for it.

    Args:
        options: The command line; ``files`` becomes ``-`` if it is empty and there is something to read.
        refuse: Ends the command.
        output: Where the accounts go: a name, None for standard output, empty if the command writes none.
    """
    if not options.files:
        if sys.stdin is None or sys.stdin.isatty():
            refuse("give a FILE, or pipe transactions in")
        options.files = ["-"]
    outputs = {
        "--rejects": getattr(options, "rejects", None),
        "--json-summary": getattr(options, "json_summary", None),
    }
    if "" in options.files:
        refuse("FILE: a name is empty; perhaps a variable of the shell has no value")
    for option, path in {"-o": getattr(options, "output", None), **outputs}.items():
        if path == "":
            refuse(f"{option}: the name is empty; perhaps a variable of the shell has no value")
    for option, path in outputs.items():
        if path == "-":
            refuse(f"{option} -: standard output is for the accounts; name a file, /dev/stderr for one")
    _refuse_overwriting(options, refuse, output, outputs)


def _refuse_overwriting(
    options: argparse.Namespace, refuse: Refuse, output: str | None, outputs: dict[str, str | None]
) -> None:
    taken: dict[object, str] = {}
    for name in options.files:
        taken[_identity(_STDIN if name == "-" else name)] = (
            "standard input" if name == "-" else f"the input {name}"
        )
    rules = getattr(options, "rules", "")
    if rules.endswith(".toml"):
        taken[_identity(rules)] = f"the rules file {rules}"
    if output in {None, "-"}:
        # A shell's redirection has overwritten its file by now: it is too late to refuse what goes there.
        taken.setdefault(_identity(_STDOUT), "standard output, where the accounts go")
    elif output:
        outputs = {"-o": output, **outputs}
    for option, path in outputs.items():
        if path is None:
            continue
        identity = _identity(path)
        if identity is not None and identity in taken:
            refuse(f"{option} {path}: this is {taken[identity]}, which would be overwritten")
        taken[identity] = f"also the file of {option}"


def _identity(file: str | int) -> object:
    """Tell files and pipes from one another, whatever they are called; None for what any number of people may share."""
    try:
        status = os.stat(file)
    except OSError:
        return os.path.realpath(file) if isinstance(file, str) else None
    shared = not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode))
    return None if shared else (status.st_dev, status.st_ino)
