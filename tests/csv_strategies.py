"""What Hypothesis draws CSV from, in all states of repair, and the same seeded, for volume."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from holdfast.domain.rules import KNOBS
from holdfast.domain.transaction import TransactionType
from reference_decoder import BOM, Config
from strategies import edge_integers, ids

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

# --- CSV: pieces ---

_TYPE_NAMES = [type_.name.lower().encode() for type_ in TransactionType]
# The Kelvin sign and the long s turn into k and s where case is folded beyond ASCII.
_ODD_TYPES = [
    b"",
    b"deposits",
    b"depo sit",
    b"withdraw",
    "chargebac\u212a".encode(),
    "depo\u017fit".encode(),
    b"1",
    "dépôt".encode(),
]
_ODD_IDS = [
    b"", b"-1", b"+1", b"1.0", b"1 2", b"0x1", b"1_000", b"1e3", "\u0663".encode(), "\uff11".encode(), b"a",
    b"/", b":", b"-0", b"00000000000000000000000000000000000000001", b"18446744073709551615",
    b"18446744073709551616", b"18446744073709551617", b"99999999999999999999", b"100000000000000000000",
    b"340282366920938463463374607431768211457",
]  # fmt: skip
_ODD_AMOUNTS = [
    "", "1e5", "1E5", "inf", "nan", "1,000", "0x1", "1.-5", ".", "+", "-", "+.", "--1", "1..2", "1.2.3",
    "1 2", "1_0", "\u0661", "\uff11", "5.", ".5", "+5.25", "-0", "-0.0", "0.00000000000000000000", "/", ":",
    "1/2", "1.5\u00a0", "$1", "1.5-", "922337203685477.5807", "922337203685477.5808",
    "-922337203685477.5807", "-922337203685477.5808", "9223372036854775807", "9223372036854775808",
    "18446744073709551616", "18446744073709551621", "184467440737095516.21", "9.223372036854775807",
    "9.223372036854775808", "922337203685477.58075", "922337203685477.58065", "0.00005", "0.00015",
    "0.00025", "1.99995", "1.50000", "00000000000000000000000000000000000000005.5",
    "1.0000000000000000000000000000000000000000000000000001", "0.0000000005",
]  # fmt: skip
_JUNK = [
    b"\0", b"\xff", b"\xc3", b"\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\xf0\x9f\x98", "\u00e9".encode(), "\U0001f600".encode(), BOM, b'"', b'""', b",", b",,", b"\r", b"\n",
    b"\r\n", b" ", b"\t", b"\x0b", b"\x0c", b"\x1a", b"\xc2\x85", b"\xe2\x80\xa8",
]  # fmt: skip
_PLAIN = [b"@", b"@", b"@", b" @", b"@ ", b"\t@ ", b'"@"', b' "@"\t', b'" @\t"']
_BROKEN = [
    b'"@', b'@"', b'"@"x', b'"@" x', b'""@', b'"""@"""', b'"@"" "', b'"@" "', b"'@'", b"\r@", b"@\r",
    b'"@"\r', b"@\0", b"\0@", b"\xff@", b"@\xc3", b'"@\xc3"', b"\xc2\xa0@", b"@\xe2\x80\x83", b'"@,"',
    b'"\n@"', b"@@", b"", b'""', b'" "', b"\x0b@",
]  # fmt: skip
_LINE_ENDS = (
    [b"\n"] * 14
    + [b"\r\n"] * 6
    + [b"\r\r\n", b"\r", b"\n\n", b"\n \t\n", b"\n\r\n", b" \n", b"\t\r\n", b",\n", b""]
)
_HEADERS = [
    b"type,client,tx,amount",
    b"type,client,tx,amount\r",
    b"type, client, tx, amount",
    b"amount,tx,client,type",
    b"TYPE,Client,tX,aMount",
    b' "type" ,"client","tx" ,\t"amount"',
    b"note,type,client,note,tx,amount,",
    b"type,client,tx",
    b"tx,amount,x,type,client",
]
_STARTS = [
    *([b""] * 12 + [BOM, b"\n", BOM + b" \r\n\t\n"] * 3),
    BOM + BOM,
    b"\r",
    b"\xef\xbb",
]
_ODD_HEADERS = [
    b"",
    b"type",
    b"type,client,amount",
    b"type,client,tx,amount,Amount",
    b"type,type,client,tx",
    b'type,client,tx,"amount',
    b'type,client,tx,amo"unt',
    b"type,client,tx,amount,\0",
    b"type,client,tx,amount,\xff",
    b'"ty""pe",client,tx',
    b"deposit,1,1,1",
    b"type,client,tx,amount,\r",
    b"type\r,client,tx,amount",
    "type,client,tx,amount\u017f".encode(),
    b"type;client;tx;amount",
    b"type,client,tx,amount," + b"x" * 5000,
    b"type,client,t\rx,amount",
]


def amount_texts() -> SearchStrategy[str]:
    """Draw texts that are amounts, or nearly."""
    parts = st.tuples(
        st.sampled_from(["", "", "", "+", "-"]),
        st.sampled_from(["", "0", "00", "7"]) | edge_integers(0, 2**66).map(str),
        st.sampled_from(["", ".", "."]),
        st.sampled_from(
            ["", "0", "5", "50", "0000", "0001", "00005", "500000000", "0000000005", "499999999999"]
        )
        | st.from_regex(r"[0-9]{1,12}", fullmatch=True).filter(str.isascii),
    )
    return parts.map("".join) | st.sampled_from(_ODD_AMOUNTS)


def _type_texts() -> SearchStrategy[bytes]:
    valid = st.sampled_from(_TYPE_NAMES)
    return st.one_of(
        valid,
        valid,
        valid,
        valid,
        valid.map(bytes.upper),
        valid.map(bytes.title),
        st.sampled_from(_ODD_TYPES),
    )


def _id_texts(bits: int) -> SearchStrategy[bytes]:
    valid = ids(bits).map(lambda number: str(number).encode())
    few = st.sampled_from([b"1", b"2", b"3", b"07"])
    return st.one_of(
        few,
        few,
        valid,
        valid.map(lambda text: b"00" + text),
        ids(66).map(lambda n: b"%d" % n),
        st.sampled_from(_ODD_IDS),
    )


def _amount_bytes() -> SearchStrategy[bytes]:
    plain = st.tuples(st.integers(0, 10**6), st.integers(0, 9999)).map(lambda pair: b"%d.%04d" % pair)
    return st.one_of(plain, plain, amount_texts().map(str.encode))


def _dressed(text: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """Put blanks and quotes around a field; one in a few times wrongly."""
    dress = st.sampled_from(_PLAIN * 30 + _BROKEN)
    return st.tuples(dress, text).map(lambda pair: pair[0].replace(b"@", pair[1]))


def _fields(config: Config) -> dict[bytes, SearchStrategy[bytes]]:
    return {
        b"type": _dressed(_type_texts()),
        b"client": _dressed(_id_texts(config.client_bits)),
        b"tx": _dressed(_id_texts(config.tx_bits)),
        b"amount": _dressed(_amount_bytes()),
    }


# --- CSV: rows and streams ---


@dataclass(frozen=True, slots=True)
class CsvCase:
    """Bytes, and how they are to be decoded."""

    config: Config
    batch_rows: int
    data: bytes


def configs() -> SearchStrategy[Config]:
    """Draw how to decode."""
    return st.builds(
        Config,
        decimals=st.just(4) | st.integers(0, 9),
        client_bits=st.sampled_from([16, 32, 64]),
        tx_bits=st.sampled_from([16, 32, 64]),
        row_bytes_max=st.sampled_from([4096] * 5 + [30, 64, 100]),
        excess_decimals=st.sampled_from(KNOBS["excess_decimals"]),
    )


def _rows(names: list[bytes], config: Config) -> SearchStrategy[bytes]:
    """Draw rows for the columns of a header: with the right fields mostly, too few or too many at times."""
    fields = _fields(config)
    note = _dressed(st.sampled_from([b"", b"x", "é".encode(), b"a b"]))
    full = st.tuples(*(fields.get(name, note) for name in names)).map(list)
    return st.tuples(full, st.sampled_from([0] * 8 + [1, 1, 2, 3, -1, -2])).map(_with_fields_cut)


def _with_fields_cut(row: tuple[list[bytes], int]) -> bytes:
    fields, excess = row
    kept = fields[: len(fields) - excess] if excess >= 0 else fields + [b""] * -excess
    return b",".join(kept)


def _plain_rows(names: list[bytes]) -> SearchStrategy[bytes]:
    """Draw rows with nothing odd about them, for the fast path."""
    values = {
        b"type": st.sampled_from(_TYPE_NAMES),
        b"client": st.integers(0, 99).map(lambda n: b"%d" % n),
        b"tx": st.integers(0, 2**16 - 1).map(lambda n: b"%d" % n),
        b"amount": st.integers(0, 10**6).map(lambda n: b"%d.%d" % (n // 10, n % 10)),
    }
    return st.tuples(*(values.get(name, st.just(b"")) for name in names)).map(b",".join)


def _long_rows(config: Config) -> SearchStrategy[bytes]:
    """Draw rows about as long as the limit: blanks in a row that is fine otherwise, blanks alone, junk."""
    length = st.integers(-3, 3).map(lambda step: config.row_bytes_max + step)
    return st.tuples(st.sampled_from([b"deposit,1,1,1", b"dispute,1,1,", b"", b"\xff", b'"']), length).map(
        lambda pair: pair[0].ljust(pair[1])
    )


@st.composite
def csv_cases(draw: DrawFn, rows_max: int = 16) -> CsvCase:
    """Draw CSV streams in all states of repair."""
    config = draw(configs())
    header = draw(st.sampled_from(_HEADERS * 12 + _ODD_HEADERS))
    names = [name.strip(b' \t\r"').lower() for name in header.split(b",")] or [b""]
    junk = st.lists(st.sampled_from(_JUNK), max_size=4).map(b"".join)
    row = _rows(names, config)
    any_row = st.one_of(row, row, row, _plain_rows(names), _plain_rows(names), _long_rows(config), junk)
    line = st.tuples(any_row, st.sampled_from(_LINE_ENDS))
    rows_min = draw(st.sampled_from([0, rows_max // 2, rows_max // 2]))
    lines = draw(st.lists(line, min_size=rows_min, max_size=rows_max))
    start = draw(st.sampled_from(_STARTS))
    end = draw(st.sampled_from([b"\n"] * 8 + [b"\r\n"] * 4 + [b"", b"\r"]))
    data = start + header + end + b"".join(part for line in lines for part in line)
    return CsvCase(config, draw(st.sampled_from([1, 2, 3, 7, 8192])), draw(_spliced(data)))


@st.composite
def _spliced(draw: DrawFn, data: bytes) -> bytes:
    """Put junk into bytes, take some out, or leave them as they are."""
    splices = st.lists(
        st.tuples(st.integers(0, 2**16), st.integers(0, 2), st.sampled_from(_JUNK)), max_size=2
    )
    for place, taken, junk in draw(splices) if draw(st.integers(0, 3)) == 3 else []:
        at = place % (len(data) + 1)
        data = data[:at] + junk + data[at + taken :]
    # No line end behind the last row, or the last row cut in two.
    return data[: len(data) - draw(st.sampled_from([0, 0, 0, 0, 1, 2, 5]))]


# --- the same, seeded: volume where Hypothesis has ingenuity ---


def seeded_csv(seed: int, count: int) -> CsvCase:
    """Generate a long stream out of the same pieces; most of its rows are well formed or nearly."""
    source = random.Random(seed)
    config = Config(
        decimals=source.choice([4, source.randrange(10)]),
        client_bits=source.choice([16, 32, 64]),
        tx_bits=source.choice([16, 32, 64]),
        row_bytes_max=source.choice([4096, 64, 100]),
        excess_decimals=source.choice(KNOBS["excess_decimals"]),
    )
    header = source.choice(_HEADERS)
    names = [name.strip(b' \t\r"').lower() for name in header.split(b",")]
    lines = [header + b"\n"]
    lines += [_seeded_row(source, names, config) + source.choice(_LINE_ENDS) for _ in range(count)]
    return CsvCase(config, source.choice([1, 7, 100, 8192]), b"".join(lines))


def _seeded_row(source: random.Random, names: list[bytes], config: Config) -> bytes:
    if source.random() < 0.03:
        return b"".join(source.choices(_JUNK, k=source.randrange(5)))
    fields = [_seeded_field(source, name, config) for name in names]
    if source.random() < 0.1:
        fields = fields[: source.randrange(len(fields))] if source.random() < 0.7 else [*fields, b""]
    row = b",".join(fields)
    return row.ljust(config.row_bytes_max + source.randrange(-2, 3)) if source.random() < 0.03 else row


def _seeded_field(source: random.Random, name: bytes, config: Config) -> bytes:
    odd = source.random() < 0.06
    if name == b"type":
        text = source.choice(_ODD_TYPES if odd else _TYPE_NAMES)
        text = source.choice([text, text.upper(), text.title()])
    elif name in {b"client", b"tx"}:
        top = 2 ** (config.client_bits if name == b"client" else config.tx_bits)
        text = (
            source.choice(_ODD_IDS)
            if odd
            else b"%d" % source.choice([source.randrange(99), top - 1, top * 9 // 10])
        )
    elif name == b"amount":
        odd = source.random() < 0.3
        text = (
            source.choice(_ODD_AMOUNTS).encode()
            if odd
            else b"%d.%d" % (source.randrange(10**5), source.randrange(10))
        )
    else:
        text = b""
    return source.choice(_BROKEN if source.random() < 0.02 else _PLAIN).replace(b"@", text)
