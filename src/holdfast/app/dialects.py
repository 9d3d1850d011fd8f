"""The options that say how a partner writes CSV, as a dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.app.options import DIALECT_DEFAULTS
from holdfast.domain.dialect import Dialect, DialectError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from holdfast.app.options import Refuse


def make_dialect(options: argparse.Namespace, refuse: Refuse) -> Dialect | None:
    """Make the dialect of a command line: that of ``--dialect``, changed by the other options.

    Returns:
        The dialect; None for a plain file.

    Raises:
        OSError: If the file of the dialect cannot be read.
    """
    try:
        dialect = Dialect() if options.dialect is None else Dialect.load(options.dialect)
    except DialectError as error:
        refuse(f"--dialect: {error}")
    choices = {
        name: getattr(options, name)
        for name in DIALECT_DEFAULTS
        if name != "dialect" and getattr(options, name) is not None
    }
    if "columns" in choices:
        choices["columns"] = _one_each(choices["columns"], refuse)
    if "types" in choices:
        choices["types"] = _all_words(choices["types"], refuse)
    try:
        dialect = dialect.changed(choices)
    except DialectError as error:
        refuse(_with_option(str(error).removeprefix("dialect: ")))
    return None if dialect.is_plain else dialect


def _one_each(texts: list[str], refuse: Refuse) -> dict[str, str]:
    found: dict[str, str] = {}
    for column, name in _pairs("--columns", texts, refuse):
        if column in found:
            refuse(f"--columns: {column} is named twice, {found[column]!r} and {name!r}")
        found[column] = name
    return found


def _all_words(texts: list[str], refuse: Refuse) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for type_, word in _pairs("--types", texts, refuse):
        found.setdefault(type_, []).append(word)
    return found


def _pairs(option: str, texts: list[str], refuse: Refuse) -> Iterator[tuple[str, str]]:
    """Take ``name=value,name="value, with a comma"`` apart."""
    for text in texts:
        rest = text
        while rest:
            name, sign, rest = rest.partition("=")
            if not sign:
                refuse(f"{option}: {name!r} has no =; it is NAME=VALUE, and commas separate several")
            value, rest = _take_value(option, rest, refuse)
            yield name.strip(), value


def _take_value(option: str, text: str, refuse: Refuse) -> tuple[str, str]:
    if not text.startswith('"'):
        value, _, rest = text.partition(",")
        return value, rest
    value, position = "", 1
    while True:
        end = text.find('"', position)
        if end < 0:
            refuse(f"{option}: a quote is never closed in {text!r}")
        value += text[position:end]
        if text[end + 1 : end + 2] != '"':
            break
        value, position = value + '"', end + 2
    rest = text[end + 1 :]
    if rest and not rest.startswith(","):
        refuse(f"{option}: a comma is missing after {text[: end + 1]!r}")
    return value, rest[1:]


def _with_option(message: str) -> str:
    """Let a message about a setting, ``skip_rows is ...``, name its option."""
    name = message.replace(":", " ").partition(" ")[0]
    return f"--{name.replace('_', '-')}{message[len(name) :]}" if name in DIALECT_DEFAULTS else message
