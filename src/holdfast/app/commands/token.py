"""``holdfast token``: makes a token, and the line that lets a server accept it."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast token``."""
    parser.add_argument(
        "patterns",
        nargs="*",
        metavar="PATTERN",
        help="streams that the token allows, * for any characters, - for anonymous streams (*)",
    )
    parser.add_argument(
        "--append",
        metavar="FILE",
        help="add the line to this file of tokens, made readable for its owner only, instead of printing it",
    )


def new_token(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Make a token; print it, and the line that goes into the server's file of tokens."""
    from holdfast.app.runner import EXIT_DONE  # noqa: PLC0415  # --help does without
    from holdfast.io.outputs import append_line  # noqa: PLC0415  # the same
    from holdfast.server.tokens import format_entry, make_token  # noqa: PLC0415  # the same

    token = make_token()
    try:
        entry = format_entry(token, options.patterns or ["*"])
    except ValueError as error:
        refuse(str(error))
    runner.check_stdout()
    if options.append is None:
        _print(runner, f"token: {token}\nline for the server's file of tokens: {entry}\n")
    else:
        # The line is on disk before anybody has the token.
        append_line(options.append, entry.encode(), waits=runner)
        _print(runner, f"{token}\n")
    return EXIT_DONE


def _print(runner: Runner, text: str) -> None:
    """Print a token. Nobody can read it again later, so a reader that is gone is an error here.

    Raises:
        JobError: If nobody reads it.
    """
    from holdfast.app.runner import JobError, StdoutClosedError  # noqa: PLC0415  # --help does without

    try:
        runner.stdout.write(text.encode())
        runner.stdout.flush()
    except StdoutClosedError as error:
        raise JobError(
            "nobody reads the token on standard output; make another one, this one is lost"
        ) from error
