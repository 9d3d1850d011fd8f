"""The commands: what each is called and does, and where it is; nothing of a command is imported before it is asked for."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    from collections.abc import Mapping


class Command:
    """One command.

    Args:
        summary: What it does, in half a sentence.
        options: Adds its options to a parser: ``module:function`` below ``holdfast``.
        job: Does it; written the same.
    """

    __slots__ = ("job", "options", "summary")

    def __init__(self, summary: str, options: str, job: str) -> None:
        self.summary = summary
        self.options = options
        self.job = job


COMMANDS: Mapping[str, Command] = {
    "process": Command(
        "apply files and write the accounts", "app.options:add_process", "app.commands.process:process"
    ),
    "check": Command(
        "decode and apply files, write nothing, exit with 3 if any row is not applied",
        "app.options:add_check",
        "app.commands.check:check",
    ),
    "explain": Command(
        "show every row that touched a client or a transaction, or tried to",
        "app.options:add_explain",
        "app.commands.explain:explain",
    ),
    "sniff": Command(
        "look at a file of a partner and propose its dialect, exit with 3 if anything is a guess",
        "app.commands.sniff:add_options",
        "app.commands.sniff:sniff_file",
    ),
    "load": Command(
        "apply files to a durable ledger, once and never twice",
        "app.commands.load:add_options",
        "app.commands.load:load",
    ),
    "ledger": Command(
        "look at a durable ledger, verify it, back it up, change it",
        "app.commands.ledger:add_options",
        "app.commands.ledger:ledger",
    ),
    "reconcile": Command(
        "compare accounts with somebody else's statement, exit with 4 if they differ",
        "app.commands.reconcile:add_options",
        "app.commands.reconcile:reconcile",
    ),
    "serve": Command(
        "take streams of transactions over TCP and keep the accounts",
        "app.commands.serve:add_options",
        "app.commands.serve:serve",
    ),
    "send": Command("send files to a server", "app.commands.send:add_options", "app.commands.send:send"),
    "token": Command(
        "make a token that lets its holder send to a server",
        "app.commands.token:add_options",
        "app.commands.token:new_token",
    ),
    "completion": Command(
        "print a script that completes command lines in a shell",
        "app.commands.completion:add_options",
        "app.commands.completion:completion",
    ),
}
