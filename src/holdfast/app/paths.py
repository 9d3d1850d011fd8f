"""The file names on a command line: what cannot be meant is refused before any work is done."""

from __future__ import annotations

import os
import stat
import sys

from holdfast.app.runner import STDOUT_PATH
from holdfast.io.outputs import check_output, inherited_descriptor

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_STDIN_PATH = "-"
_FILES_READ = ("load", "dialect", "tokens", "token_file", "tls_cert", "tls_key", "tls_ca", "tls_client_ca")


def check_paths(options: argparse.Namespace, refuse: Refuse, *, stdout_use: str = "") -> None:
    """Settle where the input comes from, and refuse names that would cost somebody a file.

    An output that is also an input, the rules or another output is a mistake, whatever names are used for it. That
    includes what standard output and standard error were redirected to.

    Args:
        options: The command line; ``files`` becomes ``-`` if it is empty and there is something to read.
        refuse: Ends the command.
        stdout_use: What the command writes on standard output, if ``-o`` does not say otherwise; empty for nothing.
    """
    if not options.files:
        if sys.stdin is None or sys.stdin.isatty():
            refuse("give a FILE, or pipe transactions in")
        options.files = [_STDIN_PATH]
    if "" in options.files:
        refuse("FILE: a name is empty; perhaps a variable of the shell has no value")
    inputs = {
        name: "standard input" if name == _STDIN_PATH else f"the input {name}" for name in options.files
    }
    inputs |= other_inputs(options)
    output = getattr(options, "output", None)
    outputs = {
        "-o": STDOUT_PATH if output is None and stdout_use else output,
        "--rejects": getattr(options, "rejects", None),
        "--json-summary": getattr(options, "json_summary", None),
        "--data": getattr(options, "data", None),
    }
    if getattr(options, "load", None) != getattr(options, "save", None):
        # A state may be saved where it was loaded from: it is replaced when it is whole.
        outputs["--save"] = getattr(options, "save", None)
    refuse_overwriting(inputs, outputs, refuse, stdout_use=stdout_use)


def other_inputs(options: argparse.Namespace) -> dict[str, str]:
    """Give the files that a command reads beside its inputs, and what they are called."""
    found = {}
    rules = getattr(options, "rules", None) or ""
    if rules.endswith(".toml"):
        found[rules] = f"the rules file {rules}"
    for option in _FILES_READ:
        path = getattr(options, option, None)
        if path:
            found[path] = f"the file of --{option.replace('_', '-')}"
    return found


def refuse_overwriting(
    inputs: Mapping[str, str],
    outputs: Mapping[str, str | None],
    refuse: Refuse,
    *,
    stdout_use: str = "",
) -> None:
    """Refuse outputs that have no name, or would overwrite an input or another output.

    Args:
        inputs: What each input is called in messages, by its path; ``-`` is standard input.
        outputs: The path of each output by its option; ``-`` is standard output, None is no output.
        refuse: Ends the command.
        stdout_use: What goes to standard output under the name of ``-o``.
    """
    read = {
        _identity(_STDIN if path == _STDIN_PATH else path): description
        for path, description in inputs.items()
    }
    read.pop(None, None)
    wanted = {option: path for option, path in outputs.items() if path is not None}
    _check_standard_error(read, refuse)
    taken = dict(read)
    stdout_is_for = ""
    for option, path in wanted.items():
        if not path:
            refuse(f"{option}: the name is empty; perhaps a variable of the shell has no value")
        if path != STDOUT_PATH:
            _take_file(option, path, taken, refuse)
            continue
        if stdout_is_for:
            refuse(f"{option} -: standard output is for {stdout_is_for}; name a file, /dev/stderr for one")
        stdout_is_for = stdout_use if option == "-o" and stdout_use else f"what {option} writes"
        _take("standard output", _STDOUT, f"standard output, which is for {stdout_is_for}", taken, refuse)


def check_outputs(runner: Runner, paths: Iterable[str | None]) -> None:
    """Find out before the work whether outputs can be written after it.

    Args:
        runner: Whose standard output ``-`` is.
        paths: Where they go; None is no output.

    Raises:
        OSError: If one cannot be written; the error names it.
    """
    for path in paths:
        if path == STDOUT_PATH:
            runner.check_stdout()
        elif path is not None:
            check_output(path)


def _take_file(option: str, path: str, taken: dict[object, str], refuse: Refuse) -> None:
    """Note what the file of an output is; refuse it if it has another use already."""
    name = f"{option} {path}"
    _take(name, path, f"also the file of {option}", taken, refuse)
    identity = _identity(path)
    if identity is not None and identity == _identity(_STDERR) and inherited_descriptor(path) is None:
        refuse(f"{name}: this is standard error and would be overwritten; /dev/stderr is written to instead")


def _take(name: str, file: str | int, use: str, taken: dict[object, str], refuse: Refuse) -> None:
    identity = _identity(file)
    if identity is None:
        return
    if identity in taken:
        refuse(f"{name}: this is {taken[identity]}; it would be overwritten")
    taken[identity] = use


def _check_standard_error(read: Mapping[object, str], refuse: Refuse) -> None:
    """Refuse a standard error that is an input: every message would be read as another row."""
    description = read.get(_identity(_STDERR))
    if description is None:
        return
    # This message, too, must not become a row.
    elsewhere = os.open(os.devnull, os.O_WRONLY) if _identity(_STDOUT) in read else os.dup(_STDOUT)
    os.dup2(elsewhere, _STDERR)
    os.close(elsewhere)
    refuse(f"standard error: this is {description}, and messages would become rows of it")


def _identity(file: str | int) -> object:
    """Tell files and pipes from one another, whatever they are called; None for what any number of programs may share."""
    try:
        status = os.stat(file)
    except OSError:
        return os.path.realpath(file) if isinstance(file, str) else None
    shared = not (stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode))
    return None if shared else (status.st_dev, status.st_ino)
