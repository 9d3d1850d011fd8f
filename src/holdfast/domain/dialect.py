"""How a partner writes CSV: separators, names, signs, encoding. A value, and TOML in and out.

What could be read in two ways is refused here, before a file is opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from holdfast.domain.nearest import find_nearest

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from typing import Any, Self

COLUMNS = ("type", "client", "tx", "amount")
"""What a column can hold."""
TYPES = ("deposit", "withdrawal", "dispute", "resolve", "chargeback")
"""What a type can mean."""
THOUSANDS = (
    ".",
    ",",
    " ",
    "'",
    "_",
    "\N{RIGHT SINGLE QUOTATION MARK}",
    "\N{NO-BREAK SPACE}",
    "\N{NARROW NO-BREAK SPACE}",
)
"""What can separate thousands."""
_DELIMITERS = "\t!#$%&()*,/:;<=>?@[\\]^`{|}~"
_NAMES_OF_SIGNS = {
    "tab": "\t",
    "\\t": "\t",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
    "space": " ",
    "point": ".",
}
_SKIP_ROWS_MAX = 1_000_000
_WORDS_MAX = 64
_PATTERNS_MAX = 16
_PATTERN_BYTES_MAX = 256
# Text encodings to Python, but for names on the net and for source code: reading those takes time that grows with its square.
_NO_ENCODINGS = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)


class DialectError(ValueError):
    """A dialect that cannot be meant; the message names the setting, what was found and what there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a partner writes CSV; the defaults are those of a plain file.

    Raises:
        DialectError: For a setting that does not exist, or that could be read in two ways.
    """

    delimiter: str = ","
    """The sign between two fields."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The names in the header of ``type``, ``client``, ``tx`` and ``amount``, where they have others."""
    decimal_comma: bool = False
    """Whether a comma, and not a point, is before the decimals of an amount."""
    thousands: str = ""
    """The sign between groups of three digits of an amount, empty for none; a blank or an apostrophe is any of its kind."""
    encoding: str = "utf-8"
    """The text encoding, any that Python knows."""
    skip_rows: int = 0
    """How many lines come before the header."""
    footer: tuple[str, ...] = ()
    """Patterns of whole lines that are no rows; ``*`` is any text."""
    types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further words for the five types."""

    def __post_init__(self) -> None:
        """Check everything, and bring it into one form."""
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(getattr(self, name)))
        _check_together(self)

    def __hash__(self) -> int:
        return hash(self.to_toml())

    @property
    def is_plain(self) -> bool:
        """Whether it says nothing that a plain file does not say by itself."""
        return self == Dialect()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a dialect from a TOML file.

        Raises:
            DialectError: If the file is no TOML, or says something that does not exist or cannot be meant.
            OSError: If it cannot be read.
        """
        import tomllib  # noqa: PLC0415  # options alone do without

        with open(path, "rb") as file:
            try:
                choices = tomllib.load(file)
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise DialectError(f"{path}: not a TOML file: {error}") from error
        return cls().changed(choices, origin=str(path))

    def changed(self, choices: Mapping[str, object], origin: str = "dialect") -> Self:
        """Make another dialect: what is given counts, and the rest stays; columns and types one by one.

        Args:
            choices: Settings and their values, as a file has them.
            origin: Where they come from, for the error message.

        Raises:
            DialectError: As for a new dialect.
        """
        known = [each.name for each in fields(self)]
        merged: dict[str, Any] = {name: getattr(self, name) for name in known}
        for name, value in choices.items():
            if name not in known:
                raise DialectError(
                    f"{origin}: there is no setting {name!r}{_nearest(name, known)}; there are {', '.join(known)}"
                )
            before = merged[name]
            merged[name] = (
                {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
            )
        try:
            return type(self)(**merged)
        except DialectError as error:
            raise DialectError(f"{origin}: {error}") from None

    def to_toml(self) -> str:
        """Write what differs from a plain file as a TOML document that :meth:`load` reads."""
        lines = []
        tables = []
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, dict):
                if value:
                    tables += [
                        "",
                        f"[{each.name}]",
                        *(f"{key} = {toml_value(text)}" for key, text in value.items()),
                    ]
            elif value != each.default:
                lines.append(f"{each.name} = {toml_value(value)}")
        return "".join(f"{line}\n" for line in (*lines, *tables)).lstrip("\n")


def toml_value(value: object) -> str:
    """Write a value as TOML; a list of one text is that text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{"".join(_toml_character(each) for each in value)}"'
    if isinstance(value, tuple):
        return (
            toml_value(value[0]) if len(value) == 1 else f"[{', '.join(toml_value(each) for each in value)}]"
        )
    return str(value)


def _toml_character(each: str) -> str:
    if each in {'"', "\\"}:
        return f"\\{each}"
    if each.isprintable():
        return each
    return "\\t" if each == "\t" else f"\\U{ord(each):08x}"


def _check_delimiter(value: object) -> str:
    sign = _NAMES_OF_SIGNS.get(value, value) if isinstance(value, str) else value
    if not isinstance(sign, str) or len(sign) != 1 or sign not in _DELIMITERS:
        raise DialectError(
            f"delimiter is one sign that is no letter, digit, quote, blank or point (; | : tab …), not {value!r}"
        )
    return sign


def _check_thousands(value: object) -> str:
    sign = _NAMES_OF_SIGNS.get(value, value) if isinstance(value, str) else value
    if not isinstance(sign, str) or (sign and sign not in THOUSANDS):
        raise DialectError(
            f"thousands is one of {' '.join(THOUSANDS[:2])} space ' _, or empty for none, not {value!r}"
        )
    return sign


def _check_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise DialectError(f"decimal_comma is true or false, not {value!r}")
    return value


def _check_encoding(value: object) -> str:
    import codecs  # noqa: PLC0415  # the interpreter has imported it

    try:
        found = codecs.lookup(value if isinstance(value, str) else "")
    except (LookupError, ValueError):
        raise DialectError(
            f"there is no encoding {value!r}; some there are: utf-8, utf-16, latin-1, windows-1252, iso-8859-15, cp850"
        ) from None
    # What no text encoding is (zip, base64) says so itself, in a place without another name.
    if found.name in _NO_ENCODINGS or not getattr(found, "_is_text_encoding", True):
        raise DialectError(f"encoding {value!r} is none that a file of text has")
    return "utf-8" if found.name in {"utf-8", "utf-8-sig"} else str(value)


def _check_skip_rows(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _SKIP_ROWS_MAX:
        raise DialectError(f"skip_rows is a number from 0 to {_SKIP_ROWS_MAX:,}, not {value!r}")
    return value


def _check_footer(value: object) -> tuple[str, ...]:
    patterns = _texts("footer", value)
    if len(patterns) > _PATTERNS_MAX:
        raise DialectError(f"footer has up to {_PATTERNS_MAX} patterns, not {len(patterns)}")
    for pattern in patterns:
        if (
            not pattern.strip("* \t")
            or len(pattern.encode(errors="replace")) > _PATTERN_BYTES_MAX
            or "\n" in pattern
        ):
            raise DialectError(
                f"footer: the pattern {pattern!r} is empty, has only stars, a line end, or more than {_PATTERN_BYTES_MAX} bytes: "
                "it says what a whole line is, with * for any text"
            )
    return patterns


def _check_columns(value: object) -> dict[str, str]:
    columns = _table("columns", value, COLUMNS)
    taken: dict[str, str] = {}
    for column, name in columns.items():
        if not isinstance(name, str) or not name.strip():
            raise DialectError(f"columns: {column} is the name of a column, not {name!r}")
        other = taken.setdefault(name.strip().lower(), column)
        if other != column:
            raise DialectError(f"columns: {other} and {column} cannot both be the column {name!r}")
    return {column: str(name).strip() for column, name in columns.items()}


def _check_types(value: object) -> dict[str, tuple[str, ...]]:
    types = {
        type_: _texts(f"types: {type_}", words) for type_, words in _table("types", value, TYPES).items()
    }
    taken = {type_: type_ for type_ in TYPES}
    for type_, words in types.items():
        for word in words:
            if not word.strip() or '"' in word or "\n" in word:
                raise DialectError(
                    f"types: {word!r} is no word for {type_}: it is empty, or has a quote or a line end"
                )
            other = taken.setdefault(_folded(word), type_)
            if other != type_:
                raise DialectError(f"types: the word {word!r} cannot be both {other} and {type_}")
    if sum(map(len, types.values())) > _WORDS_MAX:
        raise DialectError(f"types: up to {_WORDS_MAX} words can be named")
    return {type_: tuple(word.strip() for word in words) for type_, words in types.items()}


def _texts(name: str, value: object) -> tuple[str, ...]:
    texts = (
        (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else (None,)
    )
    if not all(isinstance(each, str) for each in texts):
        raise DialectError(f"{name} is a text or a list of texts, not {value!r}")
    return tuple(str(each) for each in texts)


def _table(name: str, value: object, known: tuple[str, ...]) -> dict[str, object]:
    if not hasattr(value, "items"):
        raise DialectError(f"{name} is a table, not {value!r}")
    found: dict[str, object] = dict(value.items())
    for key in found:
        if key not in known:
            raise DialectError(
                f"{name}: there is no {key!r}{_nearest(key, known)}; there are {', '.join(known)}"
            )
    return found


def _folded(text: str) -> str:
    """Give a name as it is compared: without blanks around it, and in any case of ASCII."""
    return text.strip().encode(errors="surrogateescape").lower().decode(errors="surrogateescape")


def _check_together(dialect: Dialect) -> None:
    decimal = "," if dialect.decimal_comma else "."
    if dialect.thousands == decimal:
        raise DialectError(
            f"thousands and the decimal sign are both {decimal!r}: 1{decimal}234 would be two amounts"
        )
    if dialect.thousands and dialect.thousands == dialect.delimiter:
        raise DialectError(
            f"thousands and delimiter are both {dialect.delimiter!r}: 1{dialect.delimiter}234 would be two fields"
        )


def _nearest(name: object, known: Iterable[str]) -> str:
    found = find_nearest(str(name), known)
    return "" if found is None else f" (did you mean {found!r}?)"


_CHECKS = {
    "delimiter": _check_delimiter,
    "columns": _check_columns,
    "decimal_comma": _check_flag,
    "thousands": _check_thousands,
    "encoding": _check_encoding,
    "skip_rows": _check_skip_rows,
    "footer": _check_footer,
    "types": _check_types,
}
