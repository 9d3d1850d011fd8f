"""What Hypothesis draws NDJSON from, in all states of repair, and the same seeded, for volume."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from csv_strategies import amount_texts, configs
from holdfast.domain.rules import KNOBS
from holdfast.domain.transaction import TransactionType
from reference_decoder import BOM, Config
from strategies import ids

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

NAMES = ("type", "client", "tx", "amount")
_TYPES = [type_.name.lower() for type_ in TransactionType]
_ODD_TYPES = [
    '"deposits"', '""', '" Deposit\\t"', '"DEPOSIT"', '"depo\\u0073it"', '"depo\\/sit"', "null", "1", "true",
    '"\\ud800"', '"chargebac\u212a"', '"\\uD83D\\uDE00"', '"depo\u017fit"', '"dispute\\u0000"', '"Withdrawal"',
]  # fmt: skip
_ODD_IDS = [
    "-1", "-0", "1.0", "1e0", "1E+2", "01", "00", "+1", "true", "false", "null", '""', '"1"', '" 7 "', '"\\u0037"',
    '"007"', '"-1"', '"1.0"', '"0x1"', '"\u0663"', "18446744073709551615", "18446744073709551616",
    "99999999999999999999", "12345678", "123456789", "1234567890123456", '"1\\ud800"', "0.0", "1.", "0x1", "1_0",
    "[1]", "{}", "[]", "nul", "NaN", "1 2", '"1\\t"', '"\\t\\u0020 1"',
]  # fmt: skip
_ODD_AMOUNTS = [
    "null", '""', '" "', "true", "false", "1e5", "1E-2", "-1", "-0", "-0.0", "-1.5", "0", "0.0", "00.1", "01.5", "1.",
    ".5", "+1", '"+1"', '".5"', '"5."', '"01.5"', '"1e5"', '"1,5"', '"inf"', "NaN", "Infinity", "-Infinity",
    "922337203685477.5807", "922337203685477.5808", "9223372036854775807", "1.00000000", "1.50000", "1.00005",
    "1.0000000000000000000000000000001", "1000000000000000000000000000", '"1.5\\u0030"', '"1.5 "', "{}", "[1.5]",
    '{"a":1}', "1.123456789", '"0.12345678"', "12345678.1234567", "1.1234567", "--1", "1..2", '"\\ud83d\\ude00"', "-",
]  # fmt: skip
_OTHERS = [
    "1",
    '"x"', "null", "true", "false", "-1.5e-3", '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"', '"\u00e9\U0001f600"', "[]", "{}",
    "[[]]", '{"type":"x","type":[1,{"tx":{}}]}', "[1, 2 ,[3,\t{}] ]",
    '{"a" : {"b":[{"c":null}]}}', '"\\ud800"', '"\\uDC00\\ud800"',
    '""', '"eight by"', '"a longer text than sixteen bytes"', '"' + "y" * 70 + '"', "[" * 40 + "]" * 40,
]  # fmt: skip
_BROKEN = [
    "", "nope", "NaN", "[1,]", "[,1]", "[1 2]", '{"a"}', '{"a":}', '{"a":1,}', '{a:1}', "{'a':1}", '"\\x"', '"\\u12g4"',
    '"\\u12', '"open', '"tab\there"', "[1}", '{"a":1]', "[[[", "]]", "truefalse", '"a""b"', "1 1", '"\\', "{]", "[}", '{"a":[}',
    '"\\u00', "\u00e9", "1e", "1e+", "-", "nulll", "tru", '{"a",1}', '{"a":1 "b":2}', '{1:2}', '{"a":1,,"b":2}',
]  # fmt: skip
_JUNK = [
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\r", b"\n",
    b" ", b"\t", b"\x0b", b"\xc2\xa0", BOM, b"0", b"9", b"-", b".", b"\x1f", b"e", b"u", b"\x7f",
]  # fmt: skip
_LINE_ENDS = [b"\n"] * 14 + [b"\r\n"] * 4 + [
    b"\r\r\n", b"\r", b"\n\n", b"\n \t\n", b"\n\r\n", b" \n", b"\t\r\n", b",\n", b"", b"\n\r\r\n",
]  # fmt: skip
_STARTS = [
    *([b""] * 12),
    BOM,
    BOM,
    b"\n",
    BOM + b" \r\n\t\n",
    BOM + BOM,
    b"\r",
    b"\xef\xbb",
    b"\n" + BOM,
    b"[\n",
]
_ODD_KEYS = {
    "type": ['"Type"', '"TYPE"', '"\\u0074ype"', '"type "', '"ty\\u0000pe"', '"t\\u0079pe"'],
    "client": ['"CLIENT"', '"clien\\u0074"', '"client_id"', '"\\u0063\\u006c\\u0069\\u0065\\u006e\\u0074"'],
    "tx": ['"Tx"', '"t\\u0078"', '"tx\\ud800"', '"\\ud83d\\ude00"', '"t\\x"'],
    "amount": ['"Amount"', '"am\\u006funt"', '"amount\\n"', "amount", '"amou"'],
}
_BLANKS = ["", "", "", " ", "\t", "  ", "\r", " \t \r"]


@dataclass(frozen=True, slots=True)
class NdjsonCase:
    """Bytes, and how they are to be decoded."""

    config: Config
    batch_rows: int
    data: bytes


# --- rows as programs write them ---


def plain_row(source: random.Random, config: Config) -> bytes:
    """Write a row as most programs would, for the fast path."""
    type_ = source.choice(_TYPES)
    row: dict[str, object] = {
        "type": type_,
        "client": source.randrange(source.choice([10, 1 << config.client_bits])),
        "tx": source.randrange(source.choice([100, 10**7, 10**8, 1 << config.tx_bits])),
    }
    text = f"{source.randrange(source.choice([10, 10**8, 10**9]))}"
    decimals = source.randrange(config.decimals + 1)
    text += f".{source.randrange(10**decimals):0{decimals}}" if decimals else ""
    if type_ in {"deposit", "withdrawal"}:
        row["amount"] = text
    elif source.random() < 0.7:
        row["amount"] = source.choice([None, "", text])
    separators = source.choice([(",", ":"), (", ", ": ")])
    line = json.dumps(row, separators=separators)
    if source.random() < 0.5 and '"amount"' in line:
        # As a number: the quotes around the digits go.
        head, _, tail = line.rpartition(separators[1])
        if tail.strip('"}'):
            line = head + separators[1] + tail.replace('"', "")
    return line.encode()


def _plain_rows(config: Config) -> SearchStrategy[bytes]:
    return st.integers(0, 2**32).map(lambda seed: plain_row(random.Random(seed), config))


# --- rows in all states of repair ---


def _values(name: str, config: Config) -> SearchStrategy[str]:
    if name == "type":
        valid = st.sampled_from(_TYPES).map(json.dumps)
        return st.one_of(valid, valid, valid, valid, st.sampled_from(_ODD_TYPES))
    if name == "amount":
        number = st.tuples(st.integers(0, 10**6), st.integers(0, 9999)).map(
            lambda pair: f"{pair[0]}.{pair[1]:04}"
        )
        text = amount_texts()
        return st.one_of(
            number, number, number.map(json.dumps), text, text.map(json.dumps), st.sampled_from(_ODD_AMOUNTS)
        )
    few = st.integers(0, 9).map(str)
    number = ids(config.client_bits if name == "client" else config.tx_bits).map(str)
    return st.one_of(few, few, number, number.map(json.dumps), ids(66).map(str), st.sampled_from(_ODD_IDS))


@st.composite
def _members(draw: DrawFn, config: Config) -> list[str]:
    names = list(NAMES)
    if draw(st.integers(0, 3)) == 0:
        names = list(draw(st.permutations(names)))
    change = draw(st.sampled_from(["none"] * 8 + ["drop", "twice", "other", "other", "broken"]))
    if change == "drop":
        names.remove(draw(st.sampled_from(NAMES)))
    elif change == "twice":
        names.insert(draw(st.integers(0, 4)), draw(st.sampled_from(NAMES)))
    members = []
    for name in names:
        odd = draw(st.integers(0, 30)) == 0
        key = draw(st.sampled_from(_ODD_KEYS[name])) if odd else json.dumps(name)
        members.append((key, draw(_values(name, config))))
    if change in {"other", "broken"}:
        value = draw(st.sampled_from(_OTHERS if change == "other" else _BROKEN))
        key = draw(st.sampled_from(['"note"', '""', '"types"', '"\u00e9"', '"t"', '"amounts of"']))
        members.insert(draw(st.integers(0, len(members))), (key, value))
    dress = draw(st.sampled_from(["", "", " ", "any"]))

    def blank() -> str:
        return draw(st.sampled_from(_BLANKS)) if dress == "any" else ""

    colon = ":" + (dress if dress != "any" else "")
    return [f"{blank()}{key}{blank()}{colon}{blank()}{value}{blank()}" for key, value in members]


@st.composite
def _rows(draw: DrawFn, config: Config) -> bytes:
    members = draw(_members(config))
    comma = draw(st.sampled_from([",", ",", ", "]))
    frame = draw(
        st.sampled_from(
            ["{@}"] * 20 + ["{ @ }", " {@}\t", "{@", "@}", "{@}}", "[{@}]", "{@,}", "{,@}", "{@} {@}", "{@}x"]
        )
    )
    return frame.replace("@", comma.join(members)).encode("utf-8", "surrogatepass")


def _long_rows(config: Config) -> SearchStrategy[bytes]:
    """Draw rows about as long as the limit: blanks in a row that is fine otherwise, blanks alone, junk."""
    length = st.integers(-3, 3).map(lambda step: config.row_bytes_max + step)
    starts = [b'{"type":"dispute","client":1,"tx":1}', b"", b"\xff", b'"', b"[" * 500]
    return st.tuples(st.sampled_from(starts), length).map(lambda pair: pair[0][: pair[1]].ljust(pair[1]))


@st.composite
def ndjson_cases(draw: DrawFn, rows_max: int = 16) -> NdjsonCase:
    """Draw NDJSON streams in all states of repair."""
    config = draw(configs())
    row = _rows(config)
    others = st.sampled_from([b"{}", b"[]", b"1", b"null", b'"x"', b"{", b"type,client,tx,amount"])
    any_row = st.one_of(row, row, row, _plain_rows(config), _plain_rows(config), _long_rows(config), others)
    line = st.tuples(any_row, st.sampled_from(_LINE_ENDS))
    rows_min = draw(st.sampled_from([0, rows_max // 2, rows_max // 2]))
    lines = draw(st.lists(line, min_size=rows_min, max_size=rows_max))
    data = draw(st.sampled_from(_STARTS)) + b"".join(part for line in lines for part in line)
    return NdjsonCase(config, draw(st.sampled_from([1, 2, 3, 7, 8192])), draw(_spliced(data)))


@st.composite
def _spliced(draw: DrawFn, data: bytes) -> bytes:
    """Put junk into bytes, take some out, or leave them as they are."""
    splices = st.lists(
        st.tuples(st.integers(0, 2**16), st.integers(0, 2), st.sampled_from(_JUNK)), max_size=2
    )
    for place, taken, junk in draw(splices) if draw(st.integers(0, 3)) == 3 else []:
        at = place % (len(data) + 1)
        data = data[:at] + junk + data[at + taken :]
    return data[: len(data) - draw(st.sampled_from([0, 0, 0, 0, 1, 2, 5]))]


# --- the same, seeded: volume where Hypothesis has ingenuity ---


def seeded_ndjson(seed: int, count: int) -> NdjsonCase:
    """Generate a long stream; most of its rows are well formed or nearly."""
    source = random.Random(seed)
    config = Config(
        decimals=source.choice([4, source.randrange(10)]),
        client_bits=source.choice([16, 32, 64]),
        tx_bits=source.choice([16, 32, 64]),
        row_bytes_max=source.choice([4096, 150, 100]),
        excess_decimals=source.choice(KNOBS["excess_decimals"]),
    )
    lines = [_seeded_row(source, config) + source.choice(_LINE_ENDS) for _ in range(count)]
    return NdjsonCase(config, source.choice([1, 7, 100, 8192]), b"".join(lines))


def _seeded_row(source: random.Random, config: Config) -> bytes:
    row = plain_row(source, config)
    odd = source.random()
    if odd < 0.6:
        return row
    if odd < 0.7:
        # One byte is another one, or missing.
        at = source.randrange(len(row))
        return row[:at] + source.choice([*_JUNK, b""]) + row[at + 1 :]
    if odd < 0.73:
        return row.ljust(config.row_bytes_max + source.randrange(-2, 3))
    members = [(json.dumps(name), _seeded_value(source, name)) for name in NAMES]
    if odd < 0.8:
        members[source.randrange(4)] = ('"note"', source.choice(_OTHERS + _BROKEN))
    elif odd < 0.87:
        members.insert(source.randrange(5), ('"note"', source.choice(_OTHERS)))
    if source.random() < 0.3:
        source.shuffle(members)
    if source.random() < 0.1:
        members = [
            (source.choice(_ODD_KEYS[key.strip('"')]) if key.strip('"') in NAMES else key, value)
            for key, value in members
        ]
    colon, comma = source.choice([(":", ","), (": ", ", "), (" :\t", " ,")])
    return ("{" + comma.join(key + colon + value for key, value in members) + "}").encode(
        "utf-8", "surrogatepass"
    )


def _seeded_value(source: random.Random, name: str) -> str:
    odd = source.random() < 0.15
    if name == "type":
        return source.choice(_ODD_TYPES) if odd else json.dumps(source.choice(_TYPES))
    if name == "amount":
        return (
            source.choice(_ODD_AMOUNTS)
            if source.random() < 0.6
            else f"{source.randrange(10**5)}.{source.randrange(10)}"
        )
    return source.choice(_ODD_IDS) if odd else str(source.randrange(99))
