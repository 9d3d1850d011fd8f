"""Looks at the beginning of a file and proposes the dialect that it is written in, with how sure that is.

A proposal is for a person to read. Whatever is not plain to see is said to be a guess, or left open.
"""

from __future__ import annotations

import codecs
import csv
import re
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.dialect import COLUMNS, Dialect, toml_value
from holdfast.domain.outcome import UNDECIDED, Outcome
from holdfast.domain.settings import make_settings
from holdfast.domain.transaction import TransactionType
from holdfast.io.raw import InputError
from holdfast.kernel.csv.amount_text import plain_amount
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from holdfast.kernel.csv.dialect import in_dialect
from holdfast.kernel.csv.other_formats import describe_other_format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.io.compression import InputStream
    from holdfast.kernel.batch import Batch

SAMPLE_BYTES = 256 * 1024
"""How much of a file is looked at."""
_LINES_MAX = 2000
_LINE_CHARACTERS_MAX = 4096
_HEADER_LINES_MAX = 60
_FOOTER_LINES_MAX = 5
_PATTERN_CHARACTERS_MAX = 40
_WORDS_MAX = 20
_SHOWN_ROWS = 5
_DELIMITERS = (",", ";", "\t", "|", ":")
_NAMES = {
    "type": "type transactiontype txtype kind art umsatzart buchungsart typ operation typeoperation sens tipo",
    "client": "client clientid customer customerid account accountid accountnumber"
    " kunde kundennr kundennummer konto kontonummer compte"
    " numeroclient cliente",
    "tx": "tx txid transaction transactionid id reference ref beleg belegnr belegnummer buchung buchungsnr referenz piece numero"
    " referencia",
    "amount": "amount value betrag summe montant valeur importe monto amt",
}
_WORDS = {
    "deposit": "cr c credit deposit in gutschrift einzahlung haben h depot dépôt versement crédit ingreso",
    "withdrawal": "dr d debit withdrawal withdraw out lastschrift auszahlung soll s retrait prélèvement débit retiro",
    "dispute": "dispute disputed widerspruch litige",
    "resolve": "resolve resolved release freigabe",
    "chargeback": "chargeback cb reversal rückbuchung rücklastschrift",
}
_AMOUNTS = (
    (False, ""),
    (True, ""),
    (True, "."),
    (False, ","),
    (True, " "),
    (False, " "),
    (True, "'"),
    (False, "'"),
)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


class _Finding(NamedTuple):
    """A setting with what speaks for it."""

    value: object
    why: str
    is_sure: bool = True


class Proposal(NamedTuple):
    """What a file seems to be."""

    text: str
    """The dialect as TOML, with comments."""
    dialect: Dialect
    """The same as a value."""
    is_sure: bool
    """Whether nothing of it is a guess, and all rows that were looked at can be read."""


def sniff(stream: InputStream) -> Proposal:
    """Look at the beginning of an input.

    Raises:
        InputError: If it is no CSV, in whatever dialect.
        OSError: If it cannot be read.
    """
    data, is_whole = _read_sample(stream)
    other = describe_other_format(data.lstrip().partition(b"\n")[0][:_LINE_CHARACTERS_MAX])
    # Two of the formats are dialects: UTF-16, and Excel's line before the header.
    if other is not None and "UTF-16" not in other[0] and "sep=" not in other[0]:
        raise InputError(stream.name, str(HeaderError(*other)))
    encoding = _find_encoding(data)
    decoder = codecs.getincrementaldecoder(str(encoding.value))("replace")
    lines = decoder.decode(data).lstrip("\ufeff").split("\n")
    if not is_whole and len(lines) > 1:
        lines.pop()
    lines = [line.removesuffix("\r") for line in lines[:_LINES_MAX]]
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise InputError(stream.name, "there is no text in it")
    return _Sniffer(stream.name, lines, encoding, is_whole=is_whole and len(lines) < _LINES_MAX).propose()


def _read_sample(stream: InputStream) -> tuple[bytes, bool]:
    sample = bytearray(SAMPLE_BYTES)
    filled = 0
    while filled < SAMPLE_BYTES:
        count = stream.readinto(memoryview(sample)[filled:])
        if not count:
            return bytes(sample[:filled]), True
        filled += count
    return bytes(sample), False


def _find_encoding(data: bytes) -> _Finding:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _Finding("utf-16", "it begins with the byte order mark of UTF-16")
    odd, even = data[1::2].count(0), data[::2].count(0)
    if 4 * max(odd, even) > len(data) > 1:
        return _Finding(
            f"utf-16-{'le' if odd > even else 'be'}",
            "every second byte is zero, and there is no byte order mark",
            is_sure=False,
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError as error:
        byte = data[error.start]
        high = {each for each in data if 0x80 <= each < 0xA0}
        name = "latin-1" if high & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "windows-1252"
        return _Finding(
            name,
            f"byte {error.start} is 0x{byte:02x}, which is no UTF-8; look at the letters beyond ASCII below",
            is_sure=False,
        )
    return _Finding("utf-8", "all of it is UTF-8")


class _Sniffer:
    """Finds one setting after the other."""

    def __init__(self, name: str, lines: list[str], encoding: _Finding, *, is_whole: bool) -> None:
        self._name = name
        self._lines = lines
        self._is_whole = is_whole
        self._found: dict[str, _Finding] = {"encoding": encoding}
        self._notes: list[str] = []

    def propose(self) -> Proposal:
        """Find everything, try it on the lines, and write it down."""
        at, delimiter, names = self._find_header()
        columns = self._find_columns(names)
        rows = [
            _split(line, delimiter)
            for line in self._lines[at + 1 :]
            if line.strip() and len(line) <= _LINE_CHARACTERS_MAX
        ]
        places = {column: names.index(name) for column, name in columns.items()}
        self._find_types(
            [row[places["type"]] for row in rows if "type" in places and len(row) > places["type"]]
        )
        self._find_amounts(
            [row[places["amount"]] for row in rows if "amount" in places and len(row) > places["amount"]],
            delimiter,
        )
        self._find_footer(at, delimiter, len(names))
        settings = {name: found.value for name, found in self._found.items()}
        dialect = Dialect().changed(settings)
        missing = [column for column in COLUMNS[:3] if column not in columns]
        sample, is_read = ([], False) if missing else self._try(dialect)
        is_sure = is_read and all(found.is_sure for found in self._found.values()) and not self._notes
        return Proposal(self._write(dialect, sample), dialect, is_sure)

    def _find_header(self) -> tuple[int, str, list[str]]:
        best = (0, 0, 0, ",", [""])
        for at, line in enumerate(self._lines[:_HEADER_LINES_MAX]):
            if len(line) > _LINE_CHARACTERS_MAX:
                continue
            for delimiter in _DELIMITERS:
                names = _split(line, delimiter)
                known = len({role for name in names if (role := _role_of(name)) is not None})
                # Of lines that are as good the first, of delimiters that with more fields.
                if (known, len(names)) > best[:2] and len(names) > 1:
                    best = (known, len(names), at, delimiter, names)
        known, count, at, delimiter, names = best
        if count < len(COLUMNS) - 1:
            raise InputError(
                self._name,
                "no line of its beginning has three fields or more between commas, semicolons, tabs, bars or colons",
            )
        self._found["delimiter"] = _Finding(
            delimiter,
            f"line {at + 1} has {count} names, {known} of them known",
            is_sure=known >= len(COLUMNS) - 1,
        )
        if at:
            self._found["skip_rows"] = _Finding(
                at, f"the header is line {at + 1}", is_sure=known >= len(COLUMNS) - 1
            )
        return at, delimiter, names

    def _find_columns(self, names: list[str]) -> dict[str, str]:
        columns: dict[str, str] = {}
        unsure = []
        for role in COLUMNS:
            like = [name for name in names if _role_of(name) == role]
            exact = [name for name in like if name.lower() == role]
            if exact or like:
                columns[role] = (exact or like)[0]
            if len(like) > 1 and not exact:
                unsure.append(f"{role} could also be {' or '.join(map(repr, like[1:]))}")
        mapped = {role: name for role, name in columns.items() if name.lower() != role}
        if mapped:
            self._found["columns"] = _Finding(
                mapped, "; ".join(unsure) or "names that many files have for them", is_sure=not unsure
            )
        for role in COLUMNS:
            if role not in columns:
                self._notes.append(
                    f"no column is known to be the {role}; there are {', '.join(map(repr, names))}"
                )
        return columns

    def _find_types(self, values: list[str]) -> None:
        known = {word: type_ for type_, words in _WORDS.items() for word in words.split()}
        types: dict[str, list[str]] = {}
        unknown: dict[str, int] = {}
        for value in values:
            word = value.strip().lower()
            type_ = known.get(word)
            if type_ is None:
                unknown[value.strip()] = unknown.get(value.strip(), 0) + 1
            elif word != type_ and word not in types.setdefault(type_, []):
                types[type_].append(word)
        types = {type_: words for type_, words in types.items() if words}
        if types:
            self._found["types"] = _Finding(
                types, "words that many files have for them: check which side they are on", is_sure=False
            )
        self._unknown_words = dict(list(unknown.items())[:_WORDS_MAX])

    def _find_amounts(self, values: list[str], delimiter: str) -> None:
        texts = [value.strip() for value in values if re.search(r"[0-9]", value)]
        readers = [
            (sum(_reads(text, decimal_comma=comma, thousands=sign) for text in texts), -order, comma, sign)
            for order, (comma, sign) in enumerate(_AMOUNTS)
            if sign != delimiter
        ]
        count, _, comma, sign = max(readers)
        others = [each for each in readers if each[0] == count and (each[2], each[3]) != (comma, sign)]
        # More signs than there are read the same; another sign before the decimals does not.
        differing = [
            each
            for each in others
            if each[2] != comma and any(mark in text for text in texts for mark in ".,")
        ]
        why = f"{count} of {len(texts)} amounts are read so"
        if differing:
            why += "; they could also be read the other way, with commas and points in each other's place: ask the partner"
        if comma or differing:
            self._found["decimal_comma"] = _Finding(comma, why, is_sure=not differing)
        if sign:
            self._found["thousands"] = _Finding(sign, why, is_sure=not differing)

    def _find_footer(self, at: int, delimiter: str, count: int) -> None:
        if not self._is_whole:
            return
        last = [line for line in self._lines[at + 1 :] if line.strip()]
        patterns: list[str] = []
        for line in reversed(last[-_FOOTER_LINES_MAX:]):
            fields = _split(line, delimiter)
            begins = re.match(r'"?[^\W\d][^\d;,|\t":]*', line.strip())
            known = {word for words in _WORDS.values() for word in words.split()}
            is_row = any(field.strip().lower() in known for field in fields) and len(fields) == count
            if is_row or begins is None:
                break
            patterns.append(f"{begins[0].rstrip()[:_PATTERN_CHARACTERS_MAX]}*")
        if patterns:
            why = f"the last {len(patterns)} lines are no rows"
            self._found["footer"] = _Finding(tuple(dict.fromkeys(reversed(patterns))), why, is_sure=False)

    def _try(self, dialect: Dialect) -> tuple[list[str], bool]:
        """Read the lines as proposed: give comments that show the first rows, and whether all could be read."""
        decoder = in_dialect(
            CsvDecoder(make_settings(client_bits=64, tx_bits=64, decimals=9), keep_source=True), dialect
        )
        try:
            batches = decoder.feed("".join(f"{line}\n" for line in self._lines).encode(errors="replace"))
            last = decoder.finish()
        except HeaderError as error:
            return [f"it cannot be read so: {error}"], False
        batches += [] if last is None else [last]
        outcomes = [code for batch in batches for code in batch.outcomes]
        refused = sum(code != UNDECIDED for code in outcomes)
        shown = [
            f"{len(outcomes) - refused:,} of {len(outcomes):,} rows that were looked at can be read so; the first of them:"
        ]
        shown += [text for text, code in _rows(batches) if code == UNDECIDED][:_SHOWN_ROWS]
        if refused:
            shown += ["and the first of those that cannot:"]
            shown += [text for text, code in _rows(batches) if code != UNDECIDED][:_SHOWN_ROWS]
        if self._unknown_words:
            words = ", ".join(f"{word!r} ({count})" for word, count in self._unknown_words.items())
            shown.append(f"words that are no known types: {words}")
        return shown, bool(outcomes) and not refused

    def _write(self, dialect: Dialect, sample: list[str]) -> str:
        lines = [_comment(f"proposed for {self._name!r}; read it before you use it, as --dialect FILE")]
        lines += ["", *(_comment(f"open: {note}") for note in self._notes)] if self._notes else []
        plain = Dialect()
        tables = []
        for name, found in self._found.items():
            value = getattr(dialect, name)
            if value == getattr(plain, name) and found.is_sure:
                continue
            said = ["", _comment(f"{'sure' if found.is_sure else 'a guess'}: {found.why}")]
            if isinstance(value, dict):
                tables += [
                    *said,
                    f"[{name}]",
                    *(f"{key} = {toml_value(each)}" for key, each in value.items()),
                ]
            else:
                lines += [*said, f"{name} = {toml_value(value)}"]
        if dialect.is_plain:
            lines += ["", "# a plain file: it needs no dialect"]
        return (
            "".join(f"{line}\n" for line in [*lines, *tables, "", *map(_comment, sample)]).rstrip("\n") + "\n"
        )


def _rows(batches: list[Batch]) -> Iterator[tuple[str, int]]:
    for batch in batches:
        for row in range(batch.rows):
            code = batch.outcomes[row]
            raw = batch.raw(row).decode(errors="replace")
            if code != UNDECIDED:
                yield f"  line {batch.line(row)}: {Outcome(code).name}: {raw!r}", code
                continue
            units = batch.amounts[row]
            amount = f"{'-' if units < 0 else ''}{abs(units) // 10**9}.{abs(units) % 10**9:09}".rstrip(
                "0"
            ).rstrip(".")
            type_ = TransactionType(batch.types[row])
            said = f" amount {amount}" if type_ <= TransactionType.WITHDRAWAL else ""
            yield (
                f"  line {batch.line(row)}: {type_.name.lower()} client {batch.clients[row]} tx {batch.txs[row]}{said}",
                code,
            )


def _comment(text: str) -> str:
    # Whatever a file has in it, a comment is one line of what can be printed.
    return f"# {''.join(each if each.isprintable() else repr(each)[1:-1] for each in text)}"


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [
            field.strip()
            for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [""])
        ]
    except csv.Error:
        return [""]


def _role_of(name: str) -> str | None:
    folded = re.sub(r"[\W_]", "", name.lower())
    return next((role for role, names in _NAMES.items() if folded in names.split()), None)


def _reads(text: str, *, decimal_comma: bool, thousands: str) -> bool:
    plain = plain_amount(text, Dialect(delimiter="|", decimal_comma=decimal_comma, thousands=thousands))
    return plain is not None and _NUMBER.fullmatch(plain) is not None
