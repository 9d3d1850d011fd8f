"""The same rows as CSV and as a table of any types come to the same outcomes and accounts, row by row."""

from __future__ import annotations

import csv
import io
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holdfast
from holdfast.domain.amount import format_units

if TYPE_CHECKING:
    from holdfast.kernel.batch import Batch

pa = pytest.importorskip("pyarrow", minversion="18")

NAMES = ["deposit", "withdrawal", "dispute", "resolve", "chargeback"]
INTEGERS = {
    "int8": 8,
    "int16": 16,
    "int32": 32,
    "int64": 64,
    "uint8": 8,
    "uint16": 16,
    "uint32": 32,
    "uint64": 64,
}
TEXTS = ["string", "large_string", "string_view"]
DECIMALS = [(128, 38)] + ([(32, 9), (64, 18)] if hasattr(pa, "decimal32") else [])
ODD = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=20
)
WIDE = Context(prec=100)
BLANKS = st.sampled_from(["", "", "", " ", "\t "])


def padded(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Put blanks around some texts."""
    return st.builds(lambda before, text, after: before + text + after, BLANKS, texts, BLANKS)


def integers(name: str) -> st.SearchStrategy[int]:
    """Draw integers of a type, mostly few and small, so that rows meet each other; and those at the ends."""
    bits = INTEGERS[name]
    low, high = (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    ends = [
        low,
        low + 1,
        high,
        min(high, 2**16 - 1),
        min(high, 2**16),
        min(high, 2**32 - 1),
        min(high, 2**32),
    ]
    return st.one_of(st.integers(1, 3), st.integers(1, 3), st.sampled_from(ends))


def digits() -> st.SearchStrategy[str]:
    """Draw ids as text."""
    good = st.integers(1, 3).map(str)
    return padded(
        st.one_of(
            good,
            good,
            good,
            st.sampled_from(["007", "65535", "65536", "4294967296", "-1", "1.0", "+1", "9" * 30, ""]),
            ODD,
        )
    )


def amounts() -> st.SearchStrategy[str]:
    """Draw amounts as text."""
    good = st.integers(0, 50_000).map(lambda units: format_units(units, 4))
    odd = [
        "",
        "5",
        "5.",
        ".5",
        "+5.25",
        "-1",
        "1e5",
        "1.00001",
        "1.50000",
        "922337203685477.5807",
        "922337203685477.5808",
        "0",
        "1,000",
    ]
    return padded(st.one_of(good, good, st.sampled_from(odd), ODD))


class Kind:
    """A type of a column: how values are drawn, what Arrow makes of them, and how CSV writes them."""

    def __init__(
        self, type_: Any, values: st.SearchStrategy[Any], write: Any = str, index: str | None = None
    ) -> None:
        self.type, self.values, self.write, self.index = type_, values, write, index

    def column(self, values: list[Any]) -> Any:
        """Make a column; each piece of one has a dictionary of its own, in an order of its own."""
        if self.index is None:
            return pa.array(values, self.type)
        distinct = sorted(
            {value for value in values if value is not None}, key=repr, reverse=len(values) % 2 == 1
        )
        numbers = [None if value is None else distinct.index(value) for value in values]
        return pa.DictionaryArray.from_arrays(
            pa.array(numbers, getattr(pa, self.index)()), pa.array(distinct, self.type)
        )


def kinds_of(texts: st.SearchStrategy[str], others: list[Kind]) -> st.SearchStrategy[Kind]:
    """Draw a kind of column: of text, or another, plain or as a dictionary."""
    plain = [*(Kind(getattr(pa, name)(), texts) for name in TEXTS), *others]
    coded = [
        Kind(kind.type, kind.values, kind.write, index)
        for kind in plain
        for index in ("int8", "uint32", "int64")
    ]
    return st.sampled_from([*plain, *plain, *coded])


def decimal_kind(bits: int, digits_: int, scale: int) -> Kind:
    """Make the kind of decimals with a scale."""
    # Of a negative scale, pyarrow takes no more digits than fit without it.
    limit = 10 ** (digits_ + min(scale, 0)) - 1
    whole = st.one_of(
        st.integers(0, min(limit, 10 ** (max(scale, 0) + 1))),
        st.integers(-limit, limit),
        st.sampled_from([limit, -limit, 0]),
    )
    if scale in range(1, digits_):
        whole = whole | st.integers(0, limit // 10**scale).map(lambda number: number * 10**scale + 5)
    values = whole.map(lambda number: Decimal(number).scaleb(-scale, WIDE))
    return Kind(getattr(pa, f"decimal{bits}")(digits_, scale), values, lambda value: format(value, "f"))


TYPES = kinds_of(
    padded(
        st.one_of(
            st.sampled_from([*NAMES, *NAMES, "DEPOSIT", "Dispute", "deposits", "deposi", "withdrawls"]), ODD
        )
    ),
    [
        Kind(
            pa.uint8(),
            st.integers(0, 6),
            lambda number: NAMES[number - 1] if 1 <= number <= 5 else str(number),
        )
    ],
)
IDS = kinds_of(digits(), [Kind(getattr(pa, name)(), integers(name)) for name in INTEGERS])
AMOUNTS = kinds_of(
    amounts(),
    [decimal_kind(bits, width, scale) for bits, width in DECIMALS for scale in (0, 2, 4, 6, width)]
    + [decimal_kind(128, 38, -3)],
)
UNITS = st.sampled_from([
    Kind(getattr(pa, name)(), integers(name) | st.integers(1, 100), lambda units: format_units(units, 4)) for name in INTEGERS
])  # fmt: skip


class Recorder:
    """Takes down every row."""

    def __init__(self) -> None:
        self.outcomes: list[int] = []
        self.rows: list[tuple[int, ...]] = []

    def record(self, batch: Batch, start: int, stop: int, *_: Any) -> None:
        """Copy rows."""
        self.outcomes += batch.outcomes[start:stop]
        self.rows += [
            (
                batch.types[row],
                batch.clients[row],
                batch.txs[row],
                batch.amounts[row] if batch.types[row] <= 2 else 0,
            )
            for row in range(start, stop)
            if not 10 <= batch.outcomes[row] <= 18
        ]


def run(source: Any, rules: holdfast.Rules, **options: Any) -> tuple[list[int], list[tuple[int, ...]], bytes]:
    """Process an input on an engine of its own."""
    engine = holdfast.Engine(rules, batch_rows=5)
    recorder = Recorder()
    engine.recorder = recorder
    engine.process(source, **options)
    return recorder.outcomes, recorder.rows, engine.accounts().to_csv()


@given(data=st.data(), excess=st.sampled_from(["refuse", "half_even", "truncate"]), in_units=st.booleans())
def test_a_table_is_what_its_csv_is(data: st.DataObject, excess: str, in_units: bool) -> None:
    """Types drawn for each column, values for each row, nulls anywhere, in pieces of any size that begin anywhere."""
    kinds = [data.draw(TYPES), data.draw(IDS), data.draw(IDS), data.draw(UNITS if in_units else AMOUNTS)]
    row = st.tuples(*(st.none() | kind.values if data.draw(st.booleans()) else kind.values for kind in kinds))
    rows = data.draw(st.lists(row, max_size=14))
    pieces: list[Any] = []
    place = 0
    while place < len(rows) or not pieces:
        # A piece is cut out of a longer one, so that its columns have offsets.
        size, before = data.draw(st.integers(1, 8)), data.draw(st.integers(0, 2))
        part = [*rows[:before], *rows[place : place + size]]
        columns = [kind.column([each[number] for each in part]) for number, kind in enumerate(kinds)]
        pieces.append(
            pa.RecordBatch.from_arrays(columns, ["type", "client", "tx", "amount"])[min(before, len(rows)) :]
        )
        place += size
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["type", "client", "tx", "amount"])
    for each in rows:
        writer.writerow(
            ["" if value is None else kind.write(value) for kind, value in zip(kinds, each, strict=True)]
        )
    rules = holdfast.make_rules({"excess_decimals": excess})
    expected = run(text.getvalue().encode(), rules)
    table = pa.RecordBatchReader.from_batches(pieces[0].schema, pieces)
    assert run(table, rules, **({"amounts": "units"} if in_units else {})) == expected
