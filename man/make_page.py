"""Writes the manual page from the parsers: ``python man/make_page.py > man/holdfast.1``, which is ``make man``."""

from __future__ import annotations

import sys

from holdfast import __version__
from holdfast.app.command_lines import Argument, CommandLine, describe_commands
from holdfast.app.parsing import DOCUMENTATION_URL

_HEAD = f"""\
.\\" Made by man/make_page.py from the parsers of the command; edit those.
.TH HOLDFAST 1 "" "holdfast {__version__}" "User Commands"
.SH NAME
holdfast \\- fold deposits, withdrawals, disputes, resolves and chargebacks into client accounts
.SH SYNOPSIS
"""
_DESCRIPTION = r"""
.SH DESCRIPTION
.B holdfast
applies CSV files of transactions in the order given and writes the accounts on standard output.
Files that end in .gz, .zst, .bz2 or .xz are decompressed while they are read; other inputs are recognised by their first
bytes.
.B \-
is standard input, and so is a pipe or a redirected file where no file is named.
Without a command, \fBholdfast\fR means \fBholdfast process\fR.
.PP
A row that is malformed or refused never stops the others unless
.B \-\-on\-error
says so. What was not applied is counted on standard error, and
.B \-\-rejects
lists it.
.SH COMMANDS
"""
_TAIL = rf"""
.SH EXIT STATUS
.TP
.B 0
Done: everything asked for is there.
.TP
.B 1
An error, in one line on standard error: an input or output that cannot be read or written, a header that is no header, a
policy that aborted.
.TP
.B 2
The command line is wrong.
.TP
.B 3
Rows were not applied (\fBcheck\fR, \fB\-\-fail\-on\-reject\fR).
.TP
.BR 129 ", " 130 ", " 143
Stopped by SIGHUP, SIGINT, SIGTERM.
.TP
.B 70
A bug of Holdfast's own.
.SH ENVIRONMENT
.TP
.B HOLDFAST_TOKEN
The token of \fBholdfast send\fR, where no \fB\-\-token\-file\fR is given.
.SH EXAMPLES
.TP
The accounts of a file:
holdfast transactions.csv > accounts.csv
.TP
Is every row applied?
holdfast check transactions.csv \-\-rejects rejects.csv
.TP
What happened to a client, row by row:
holdfast explain transactions.csv \-\-client 7
.SH SEE ALSO
{DOCUMENTATION_URL}
"""


def make_page() -> str:
    """Give the manual page as roff."""
    commands = describe_commands()
    synopsis = ".br\n".join(f"{_text(command.usage)}\n" for command in commands)
    sections = "".join(_section(command) for command in commands)
    return _HEAD + synopsis + _DESCRIPTION.lstrip("\n") + sections + _TAIL.lstrip("\n")


def _section(command: CommandLine) -> str:
    lines = [f".SS {_text(command.name)}", _text(f"{command.summary[0].upper()}{command.summary[1:]}.")]
    for title, arguments in command.groups:
        if title not in {"options", "positional arguments"}:
            lines += [".PP", f"{_text(title[0].upper() + title[1:])}:"]
        for each in arguments:
            lines += [".TP", _name(each), _text(each.help)]
    return "\n".join(lines) + "\n"


def _name(each: Argument) -> str:
    if not each.names:
        return rf"\fI{_text(each.metavar)}\fR"
    value = rf" \fI{_text(each.metavar)}\fR" if each.metavar else ""
    return ", ".join(rf"\fB{_text(name)}\fR" for name in each.names) + value


def _text(text: str) -> str:
    """Escape what roff would take for its own."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.stdout.write(make_page())
