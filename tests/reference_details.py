"""Whether a detail is true of its row: one check for everything that a detail may say, by the reference decoder's means."""

from __future__ import annotations

import ast
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome, Phase
from holdfast.io.rejects import find_rejection
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from reference_decoder import (
    BLANKS,
    NEEDED,
    TYPES,
    UNITS_MAX,
    Config,
    RowFaultError,
    lines_with_content,
    read_header,
    take_field,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.io.rejects import Rejection
    from holdfast.kernel.batch import Batch

    Check = Callable[[re.Match[str], "Facts"], bool]

CLOSED_QUOTES = re.compile(rb'[ \t]*"(?:[^"]|"")*"(?!")')
AMOUNT = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


class Facts:
    """What there is to know of a row, one way or the other."""

    def __init__(self, raw: bytes, length: int, header: list[bytes], config: Config) -> None:
        self.raw = raw
        self.length = length
        self.header = header
        self.config = config
        self.fields: list[bytes] = []
        self.faulty: bytes | None = None
        rest: bytes | None = raw
        while rest is not None:
            before = rest
            try:
                field, rest = take_field(rest)
            except RowFaultError:
                self.faulty = before
                return
            self.fields.append(field.strip(BLANKS))

    def named(self, name: str) -> bytes | None:
        """Give the field of a column, if the row has it."""
        at = self.header.index(name.encode()) if name.encode() in self.header else len(self.fields)
        return self.fields[at] if at < len(self.fields) else None

    def digits(self, name: str) -> Decimal:
        """Give the field of an id as a number, whatever its length."""
        return Decimal((self.named(name) or b"").decode())


def malformed_rows(data: bytes, config: Config) -> list[Rejection]:
    """Decode a stream and give what there is to say of its malformed rows; nothing without a usable header."""
    decoder = CsvDecoder(config.settings(), keep_source=True)
    try:
        batches: list[Batch | None] = [*decoder.feed(data), decoder.finish()]
    except HeaderError:
        return []
    return [
        find_rejection(batch, row, Outcome(code), "t.csv", number=0, decimals=config.decimals)
        for batch in batches
        if batch is not None
        for row, code in enumerate(batch.outcomes)
        if code and Outcome(code).phase is Phase.DECODE
    ]


def check_details(data: bytes, config: Config) -> int:
    """Hold the detail of every malformed row against the row; give how many there are."""
    found = malformed_rows(data, config)
    if not found:
        return 0
    lines = {line.number: line.raw for line in lines_with_content(data)}
    header = read_header(next(lines_with_content(data)), config)
    for rejection in found:
        facts = Facts(rejection.raw, len(lines[rejection.line]), header, config)
        if not is_true(rejection.detail, facts) or rejection.detail not in str(rejection):
            raise AssertionError(f"{rejection} does not have the fault {rejection.detail!r}")
    return len(found)


def is_true(detail: str, facts: Facts) -> bool:
    """Say whether a detail names a cause that the row has."""
    for pattern, check in CHECKS.items():
        match = re.fullmatch(pattern, detail, re.DOTALL)
        if match is not None:
            return check(match, facts)
    raise AssertionError(f"nobody knows how to check {detail!r}")


def _is_shown(text: str, field: bytes | None) -> bool:
    """Say whether a text is how a field is shown, which may be cut."""
    if field is None:
        return False
    if text == "empty":
        return not field
    shown = ast.literal_eval(text)
    whole = field.decode(errors="backslashreplace")
    return whole == shown or (shown.endswith("…") and len(shown) > 50 and whole.startswith(shown[:-1]))


def _is_number(text: str, field: bytes | None) -> bool:
    whole = (field or b"").decode()
    return text in {whole, whole.lstrip("0") or "0"} or (
        text.endswith("…") and text[:-1] in {whole[: len(text) - 1], whole.lstrip("0")[: len(text) - 1]}
    )


def _missing_field(match: re.Match[str], facts: Facts) -> bool:
    return (
        facts.faulty is None
        and match[1].encode() in NEEDED
        and len(facts.fields) == int(match[2])
        and len(facts.header) == int(match[3])
        and facts.header.index(match[1].encode()) >= len(facts.fields)
    )


def _bad_utf_8(match: re.Match[str], facts: Facts) -> bool:
    at = int(match[1]) - 1
    facts.raw[:at].decode()
    try:
        facts.raw.decode()
    except UnicodeDecodeError as error:
        return error.start == at and facts.raw[at] == int(match[2], 16)
    return False


def _quote_fault(match: re.Match[str], facts: Facts) -> bool:
    if facts.faulty is None or len(facts.fields) + 1 != int(match[2]):
        return False
    if match[1].startswith("a quote is inside"):
        return not facts.faulty.lstrip(BLANKS).startswith(b'"') and b'"' in facts.faulty.partition(b",")[0]
    closed = CLOSED_QUOTES.match(facts.faulty)
    if match[1].startswith("there is text"):
        return closed is not None and facts.faulty[closed.end() :].lstrip(BLANKS)[:1] not in {b"", b","}
    return closed is None and facts.faulty.lstrip(BLANKS).startswith(b'"')


def _above(match: re.Match[str], facts: Facts) -> bool:
    name, largest = match[1], int(match[3])
    bits = {"client": facts.config.client_bits, "tx": facts.config.tx_bits}[name]
    wider = match[5] is None or (
        match[4] == name and bits < int(match[5]) and facts.digits(name) < 2 ** int(match[5])
    )
    return (
        _is_number(match[2], facts.named(name))
        and largest == 2**bits - 1
        and facts.digits(name) > largest
        and wider
    )


def _too_precise(match: re.Match[str], facts: Facts) -> bool:
    field = facts.named("amount") or b""
    exponent = Decimal(field.decode()).as_tuple().exponent
    assert isinstance(exponent, int)
    trailing = len(field) - len(field.rstrip(b"0"))
    decimals = -exponent - trailing
    hinted = match[4] is None or (int(match[4]) == decimals <= 9)
    return (
        _is_number(match[1], field)
        and int(match[2]) == decimals > int(match[3]) == facts.config.decimals
        and facts.config.excess_decimals == "refuse"
        and hinted
    )


def _amount_out_of_range(match: re.Match[str], facts: Facts) -> bool:
    field = (facts.named("amount") or b"").decode()
    limit = Decimal(UNITS_MAX).scaleb(-facts.config.decimals)
    # What is cut off the decimals may round up to more than the limit.
    amount = abs(Decimal(field)) + Decimal(1).scaleb(-facts.config.decimals)
    return (
        _is_number(match[1], field.encode())
        and amount > limit
        and Decimal(match[3]) == limit
        and match[2] == ("below -" if field.startswith("-") else "above ")
    )


NUMBER = r"([-+]?[0-9.]+…?)"
SHOWN = r"(empty|'.*'|\".*\")"
CHECKS: dict[str, Check] = {
    r"it has more than (\d+) bytes; --row-bytes-max takes longer ones": (
        lambda match, facts: facts.length > int(match[1]) == facts.config.row_bytes_max
    ),
    r"byte (\d+) is NUL": lambda match, facts: facts.raw[int(match[1]) - 1] == 0,
    r"it is not UTF-8: byte (\d+) is 0x([0-9a-f]{2})": _bad_utf_8,
    r"it has more fields than the header, which has (\d+)": (
        lambda match, facts: (
            len(facts.fields) + (facts.faulty is not None) > int(match[1]) == len(facts.header)
        )
    ),
    r"it ends before its (\w+) \((\d+) fields?, the header has (\d+)\)": _missing_field,
    r"(a quote is inside the unquoted text|there is text after the closing quote|a quote is opened and never closed)"
    r" in field (\d+)": _quote_fault,
    rf"the type is {SHOWN}": lambda match, facts: (
        _is_shown(match[1], facts.named("type")) and (facts.named("type") or b"").lower() not in TYPES
    ),
    rf"the (client|tx) {NUMBER} is above (\d+)(?:; --(client|tx)-bits (\d+) takes it)?": _above,
    rf"the (client|tx) {NUMBER} is below 0": lambda match, facts: (
        _is_number(match[2], facts.named(match[1])) and facts.digits(match[1]) < 0
    ),
    rf"the (client|tx) is {SHOWN}(?:, which is not digits alone)?": (
        lambda match, facts: (
            _is_shown(match[2], facts.named(match[1]))
            and not re.fullmatch(rb"[0-9]+", facts.named(match[1]) or b"")
        )
    ),
    r"the header has no column amount": lambda _, facts: b"amount" not in facts.header,
    r"the row ends before it": lambda _, facts: facts.faulty is None and facts.named("amount") is None,
    r"it is empty": lambda _, facts: facts.named("amount") == b"",
    rf"it is {SHOWN}": lambda match, facts: (
        _is_shown(match[1], facts.named("amount")) and not AMOUNT.fullmatch(facts.named("amount") or b"")
    ),
    rf"{NUMBER} has (\d+) decimals, (\d+) are kept(?:; --decimals (\d+) keeps them)?": _too_precise,
    rf"{NUMBER} is (above |below -)([0-9.]+)": _amount_out_of_range,
}
