"""Who may send: a file with the hashes of tokens, and the streams that each of them allows.

A line is ``sha256:HEX PATTERN...``; in a pattern ``*`` stands for any characters, and ``-`` alone for anonymous streams.
Tokens are long and random, so a plain hash of one is as good as a slow one: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat

from holdfast.net.secret_files import SecretFileError, open_secret_file

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ANONYMOUS = "-"
"""The pattern that allows streams without a name."""
_TOKEN_BYTES = 32
_TOKEN_PREFIX = "holdfast_"  # noqa: S105  # what a token begins with, so that scanners of secrets can know one
_PATTERN = re.compile(r"[A-Za-z0-9._:/*-]+")
_ENTRY = re.compile(rf"sha256:([0-9a-f]{{64}})((?:[ \t]+{_PATTERN.pattern})+)")
_ID_DIGITS = 16
_FILE_BYTES_MAX = 16 * 1024 * 1024


class TokenFileError(SecretFileError):
    """A file of tokens that cannot be used; the message names it, the line, and what to do."""


class Pattern:
    """A pattern with at least one ``*``, each of which stands for any characters.

    Matching takes the pieces between the stars from left to right, each at the first place where it fits. It never goes
    back, so the time is that of a few searches whatever the pattern and the name are.

    Args:
        text: The pattern.
    """

    __slots__ = ("_first", "_last", "_length_min", "_middle")

    def __init__(self, text: str) -> None:
        self._first, *middle, self._last = text.split("*")
        self._middle = tuple(filter(None, middle))
        self._length_min = len(text) - text.count("*")

    def matches(self, name: str) -> bool:
        """Say whether a whole name fits."""
        if len(name) < self._length_min or not (name.startswith(self._first) and name.endswith(self._last)):
            return False
        position, end = len(self._first), len(name) - len(self._last)
        for piece in self._middle:
            position = name.find(piece, position, end)
            if position < 0:
                return False
            position += len(piece)
        return True


class Grant:
    """The streams that a token allows.

    Args:
        patterns: The streams.
        id: What the journal calls whoever sends with it.
    """

    __slots__ = ("_names", "_patterns", "id")

    def __init__(self, patterns: Iterable[str], id: str = "token") -> None:  # noqa: A002  # what it is
        self.id = id
        wanted = set(patterns)
        self._names = frozenset(pattern for pattern in wanted if "*" not in pattern)
        self._patterns = tuple(Pattern(pattern) for pattern in sorted(wanted - self._names))

    def allows(self, stream: str | None) -> bool:
        """Say whether it allows a stream; None is an anonymous one."""
        name = ANONYMOUS if stream is None else stream
        return name in self._names or any(pattern.matches(name) for pattern in self._patterns)


class Tokens:
    """The tokens that a server knows.

    Args:
        grants: What each token allows, by its SHA-256.
    """

    __slots__ = ("_grants",)

    def __init__(self, grants: Mapping[bytes, Grant]) -> None:
        self._grants = grants

    def __len__(self) -> int:
        return len(self._grants)

    def find(self, token: str) -> Grant | None:
        """Look up what a token allows.

        The time of a look-up depends on hashes alone. A sender cannot choose a guess by its hash, so the time tells nothing
        about the tokens there are.
        """
        return self._grants.get(hashlib.sha256(token.encode()).digest())


def read_tokens(path: str) -> Tokens:
    """Read a file of tokens.

    Raises:
        OSError: If it cannot be read, can be changed by others, or has a line that is no entry; the error names file and line.
    """
    with open_secret_file(path) as file:
        if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise TokenFileError(path, "other users may write to this file of tokens; chmod go-w it")
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
        grants[digest] = Grant(match[2].split(), f"token:{match[1][:_ID_DIGITS]}")
    if not grants:
        raise TokenFileError(path, "this file has no tokens, so nobody could send; holdfast token makes one")
    return Tokens(grants)


def make_token() -> str:
    """Make a new token: 256 random bits."""
    return _TOKEN_PREFIX + os.urandom(_TOKEN_BYTES).hex()


def format_entry(token: str, patterns: list[str]) -> str:
    """Write the line of a token file that lets a token send streams.

    Raises:
        ValueError: If there are no patterns, or one has characters that no stream's name has.
    """
    if not patterns or not all(map(_PATTERN.fullmatch, patterns)):
        raise ValueError("a pattern consists of A-Z a-z 0-9 . _ : / - and *")
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()} {' '.join(patterns)}"
