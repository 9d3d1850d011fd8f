"""Who may send: a file with the hashes of tokens, and the streams that each of them allows.

A line is ``sha256:HEX PATTERN...``; in a pattern ``*`` stands for any characters, and ``-`` alone for anonymous streams.
Tokens are long and random, so that a plain hash of one is as good as a slow one: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat

from holdfast.domain.picklable import Picklable
from holdfast.io.outputs import append_line

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner

ANONYMOUS = "-"
"""The pattern that allows streams without a name."""
_TOKEN_BYTES = 32
_TOKEN_PREFIX = "holdfast_"  # noqa: S105  # what a token begins with, so that scanners of secrets can know one
_ENTRY = re.compile(r"sha256:([0-9a-f]{64})((?:[ \t]+[A-Za-z0-9._:/*-]+)+)")
_FILE_BYTES_MAX = 16 * 1024 * 1024


class TokenFileError(Picklable, OSError):
    """A file of tokens that cannot be used; the message names it, the line, and what to do."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(0, reason, path)

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class Grant:
    """What one token allows.

    Args:
        patterns: The streams.
    """

    __slots__ = ("_allowed",)

    def __init__(self, patterns: list[str]) -> None:
        alternatives = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
        self._allowed = re.compile("|".join(alternatives))

    def allows(self, stream: str | None) -> bool:
        """Say whether it allows a stream; None is an anonymous one."""
        return self._allowed.fullmatch(ANONYMOUS if stream is None else stream) is not None


class Tokens:
    """The tokens that a server knows.

    Args:
        grants: What each allows, by the SHA-256 of the token.
    """

    __slots__ = ("_grants",)

    def __init__(self, grants: list[tuple[bytes, Grant]]) -> None:
        self._grants = grants

    def __len__(self) -> int:
        return len(self._grants)

    def find(self, token: str) -> Grant | None:
        """Look up what a token allows, in a time that says nothing about the tokens there are."""
        digest = hashlib.sha256(token.encode()).digest()
        found: Grant | None = None
        for known, grant in self._grants:
            if hmac.compare_digest(known, digest):
                found = grant
        return found


def read_tokens(path: str) -> Tokens:
    """Read a file of tokens.

    Raises:
        OSError: If it cannot be read, can be changed by others, or has a line that is no entry; the error names file and line.
    """
    with open(path, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise TokenFileError(
                path, "others than its owner may write to this file of tokens; chmod go-w it"
            )
        text = file.read(_FILE_BYTES_MAX + 1)
    if len(text) > _FILE_BYTES_MAX:
        raise TokenFileError(path, f"a file of tokens has at most {_FILE_BYTES_MAX} bytes")
    grants: dict[bytes, Grant] = {}
    for number, line in enumerate(text.decode("utf-8", errors="replace").splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        match = _ENTRY.fullmatch(entry)
        if match is None:
            # Not the line itself: it may be a token that somebody forgot to hash.
            raise TokenFileError(
                path, f"line {number} is not sha256:HEX PATTERN...; holdfast token prints such lines"
            )
        digest = bytes.fromhex(match[1])
        if digest in grants:
            raise TokenFileError(path, f"line {number} has a token that another line has as well")
        grants[digest] = Grant(match[2].split())
    if not grants:
        raise TokenFileError(
            path, "this file has no tokens, so that nobody could send; holdfast token makes one"
        )
    return Tokens(list(grants.items()))


def make_token() -> str:
    """Make a new token: 256 random bits."""
    return _TOKEN_PREFIX + os.urandom(_TOKEN_BYTES).hex()


def format_entry(token: str, patterns: list[str]) -> str:
    """Write the line of a token file that lets a token send streams."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()} {' '.join(patterns)}"


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
    patterns = options.patterns or ["*"]
    token = make_token()
    entry = format_entry(token, patterns)
    if _ENTRY.fullmatch(entry) is None:
        refuse("a pattern consists of A-Z a-z 0-9 . _ : / - and *")
    runner.check_stdout()
    if options.append is None:
        _print(runner, f"token: {token}\nline for the server's file of tokens: {entry}\n")
        return 0
    # The line is on disk before anybody has the token.
    append_line(options.append, entry.encode(), waits=runner)
    _print(runner, f"{token}\n")
    return 0


def _print(runner: Runner, text: str) -> None:
    """Print a token. Nobody can read it again later, so a reader that is gone is an error here.

    Raises:
        JobError: If nobody reads it.
    """
    from holdfast.app.runner import JobError, StdoutClosedError  # noqa: PLC0415  # a server needs neither

    try:
        runner.stdout.write(text.encode())
        runner.stdout.flush()
    except StdoutClosedError as error:
        raise JobError(
            "nobody reads the token on standard output; make another one, this one is lost"
        ) from error
