"""Batches from columns that others own: numpy, array.array and Arrow, without a copy, with nulls."""

from __future__ import annotations

import ctypes
import gc
import weakref
from array import array
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import pytest

from holdfast.domain.outcome import UNDECIDED, Outcome
from holdfast.domain.rules import STANDARD
from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

APPLIED, UNKNOWN_TYPE = Outcome.APPLIED, Outcome.UNKNOWN_TYPE
INVALID_CLIENT, INVALID_TX, MISSING_AMOUNT = (
    Outcome.INVALID_CLIENT,
    Outcome.INVALID_TX,
    Outcome.MISSING_AMOUNT,
)
AMOUNT_OUT_OF_RANGE = Outcome.AMOUNT_OUT_OF_RANGE

TYPES, CLIENTS, TXS, AMOUNTS = [1, 2, 3], [7, 7, 7], [1, 2, 1], [50, 20, 0]
COLUMNS = {"types": TYPES, "clients": CLIENTS, "txs": TXS, "amounts": AMOUNTS}

# Pyarrow's functions have no types, numpy's and array's have too many for one table.
Maker = Any


def numpy_column(dtype: str) -> Maker:
    """Make columns of one numpy type."""
    return lambda items: np.array(items, dtype)


def array_column(code: str) -> Maker:
    """Make columns with the standard library."""
    return lambda items: array(code, items)


def arrow_column(name: str) -> Maker:
    """Make Arrow arrays of one type."""
    return lambda items: pa.array(items, pa.type_for_alias(name))


def address(column: Any) -> int:
    """Say where a buffer begins."""
    return int(np.frombuffer(column, np.uint8).ctypes.data)


def batch_of(**columns: Any) -> Batch:
    """Make the batch of this file's three rows, with some columns replaced."""
    usual = {
        name: np.array(items, "uint8" if name == "types" else "int64") for name, items in COLUMNS.items()
    }
    return Batch.from_columns(**(usual | columns))


def outcomes(batch: Batch, client_bits: int = 16, tx_bits: int = 32) -> list[int]:
    """Apply a batch to a new ledger."""
    ledger = LedgerCore(make_settings(STANDARD, client_bits=client_bits, tx_bits=tx_bits))
    ledger.decide(batch)
    return list(batch.outcomes)


TYPE_MAKERS = [
    numpy_column("uint8"),
    numpy_column("int8"),
    bytes,
    bytearray,
    arrow_column("uint8"),
    arrow_column("int8"),
]
SIGNED_BUFFERS = [
    numpy_column("int64"),
    array_column("q"),
    array_column("l"),
    lambda items: (ctypes.c_int64 * len(items))(*items),
    lambda items: memoryview(array("q", items)),
]
UNSIGNED_BUFFERS = [
    numpy_column("uint64"),
    array_column("Q"),
    array_column("L"),
    lambda items: (ctypes.c_uint64 * len(items))(*items),
]
UNSIGNED_MAKERS = [*UNSIGNED_BUFFERS, arrow_column("uint64")]
NARROW_MAKERS = [
    *(numpy_column(dtype) for dtype in ("uint8", "int8", "uint16", "int16", "uint32", "int32")),
    *(array_column(code) for code in "bBhHiI"),
    *(arrow_column(name) for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32")),
]
AMOUNT_MAKERS = [*SIGNED_BUFFERS, arrow_column("int64"), *NARROW_MAKERS]
ID_MAKERS = [*AMOUNT_MAKERS, *UNSIGNED_MAKERS]


@pytest.mark.parametrize("types", TYPE_MAKERS)
@pytest.mark.parametrize("ids", ID_MAKERS)
def test_every_kind_of_column(types: Maker, ids: Maker) -> None:
    """Whatever lends the columns, the batch and what is applied are the same."""
    amounts = ids if ids in AMOUNT_MAKERS else np.array
    batch = Batch.from_columns(types(TYPES), ids(CLIENTS), ids(TXS), amounts(AMOUNTS))
    assert len(batch) == batch.rows == 3
    assert list(batch.types) == TYPES
    assert list(batch.clients) == CLIENTS
    assert list(batch.txs) == TXS
    assert list(batch.amounts) == AMOUNTS
    assert list(batch.outcomes) == [UNDECIDED] * 3
    ledger = LedgerCore(make_settings(STANDARD))
    ledger.decide(batch)
    # A dispute of more than is available is refused under the standard rules.
    assert list(batch.outcomes) == [APPLIED, APPLIED, Outcome.INSUFFICIENT_FUNDS]
    assert ledger.account(7) == (30, 0, False)


@pytest.mark.parametrize("make", [*SIGNED_BUFFERS, *UNSIGNED_BUFFERS])
def test_wide_buffers_are_not_copied(make: Maker) -> None:
    """A 64-bit buffer is looked at where it stands."""
    column = make(CLIENTS)
    assert address(batch_of(clients=column).clients) == address(column)


@pytest.mark.parametrize("name", ["int64", "uint64"])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_arrow_arrays_are_not_copied(name: str, offset: int) -> None:
    """A 64-bit Arrow array is looked at where it stands, from its offset on."""
    whole = pa.array(range(offset + 3), pa.type_for_alias(name))
    batch = batch_of(clients=whole.slice(offset))
    assert list(batch.clients) == [offset, offset + 1, offset + 2]
    assert address(batch.clients) == whole.buffers()[1].address + 8 * offset


def test_types_and_amounts_are_not_copied() -> None:
    """Neither are the other two columns."""
    types, amounts = np.array(TYPES, "int8"), pa.array(AMOUNTS, pa.int64())
    batch = batch_of(types=types, amounts=amounts)
    assert address(batch.types) == types.ctypes.data
    assert address(batch.amounts) == amounts.buffers()[1].address


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "uint16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("is_arrow", [False, True])
def test_limits_of_every_width(dtype: str, is_arrow: bool) -> None:
    """Widening keeps the value, sign included; ids below zero are refused, the others are as they were."""
    limits = np.iinfo(dtype)
    items = [limits.min, 0, limits.max]
    column: Any = np.array(items, dtype)
    if is_arrow:
        column = pa.array(column)
    batch = batch_of(clients=column)
    assert list(batch.clients) == [item % 2**64 for item in items]
    assert list(batch.outcomes) == [INVALID_CLIENT if limits.min < 0 else UNDECIDED, UNDECIDED, UNDECIDED]
    if dtype != "uint64":
        assert list(batch_of(amounts=column).amounts) == items


def test_unaligned_columns_are_copied() -> None:
    """Items on odd addresses, as a file mapped into memory may have them, are read all the same."""
    raw = b"\0" + np.array(CLIENTS, "int64").tobytes()
    batch = batch_of(clients=np.frombuffer(raw, "int64", offset=1), txs=np.frombuffer(raw, "int64", offset=1))
    assert list(batch.clients) == list(batch.txs) == CLIENTS
    halves = np.frombuffer(b"\0" + np.array(CLIENTS, "uint16").tobytes(), "uint16", offset=1)
    assert list(batch_of(clients=halves).clients) == CLIENTS


@pytest.mark.parametrize("make", ID_MAKERS)
def test_no_rows(make: Maker) -> None:
    """Empty columns make an empty batch."""
    empty = make([])
    amounts = array("q")
    batch = Batch.from_columns(b"", empty, empty, amounts)
    assert len(batch) == 0
    assert [
        list(column) for column in (batch.types, batch.clients, batch.txs, batch.amounts, batch.outcomes)
    ] == [[]] * 5
    assert outcomes(batch) == []


def test_an_empty_slice() -> None:
    """So does an empty slice of an Arrow array, and one of an array of nothing but nulls."""
    empty = pa.array([1, 2, None], pa.int64()).slice(3)
    batch = Batch.from_columns(pa.array([1], pa.uint8()).slice(1), empty, empty, empty)
    assert len(batch) == 0
    batch.clear_outcomes()
    assert batch.refused_rows() == []


def rows_batch(rows: Sequence[tuple[int | None, ...]], offset: int = 0) -> Batch:
    """Make a batch from rows by way of Arrow, behind so many rows that are cut off."""
    padded = [(None, 1, None, 1)] * offset + list(rows)
    kinds = (pa.uint8(), pa.int64(), pa.int64(), pa.int64())
    columns = [
        pa.array([row[place] for row in padded], kind).slice(offset) for place, kind in enumerate(kinds)
    ]
    return Batch.from_columns(*columns)


# Each row repairs the fault of the one before: type, client, tx, amount; a null is a fault.
LADDER = [
    ((None, None, None, None), UNKNOWN_TYPE),
    ((9, None, -1, None), UNKNOWN_TYPE),
    ((9, -1, None, None), UNKNOWN_TYPE),
    ((None, -1, -1, None), UNKNOWN_TYPE),
    ((9, -1, -1, None), UNKNOWN_TYPE),
    ((0, 70_000, -1, None), UNKNOWN_TYPE),
    ((1, -1, -1, None), INVALID_CLIENT),
    ((1, 70_000, -1, None), INVALID_CLIENT),
    ((2, 70_000, 2**40, None), INVALID_CLIENT),
    ((2, 70_000, 1, None), INVALID_CLIENT),
    ((2, None, None, None), INVALID_CLIENT),
    ((1, None, 1, 5), INVALID_CLIENT),
    ((1, 7, None, None), INVALID_TX),
    ((2, 7, None, 5), INVALID_TX),
    ((1, 7, -1, None), INVALID_TX),
    ((1, 7, 2**40, None), INVALID_TX),
    ((1, 7, 1, None), MISSING_AMOUNT),
    ((2, 7, 1, None), MISSING_AMOUNT),
    ((1, 7, 1, -(2**63)), AMOUNT_OUT_OF_RANGE),
    ((3, 7, 1, None), Outcome.TX_NOT_FOUND),
    ((1, 7, 1, 5), APPLIED),
    ((3, 7, 1, None), APPLIED),
]


@pytest.mark.parametrize("offset", [0, 1, 7, 8, 13, 64])
def test_precedence(offset: int) -> None:
    """Nulls, unknown types, ids out of range, missing amounts: in the order of their codes, at any offset."""
    batch = rows_batch([row for row, _ in LADDER], offset)
    assert outcomes(batch) == [code for _, code in LADDER]
    # And once more, on a ledger that does not know these transactions.
    batch.clear_outcomes()
    assert outcomes(batch) == [code for _, code in LADDER]


def test_what_is_decided_when_the_batch_is_made() -> None:
    """What no ledger could take is refused from the first; widths wait for the ledger."""
    batch = rows_batch([row for row, _ in LADDER])
    assert list(batch.outcomes)[:8] == [
        *[UNKNOWN_TYPE] * 6,
        INVALID_CLIENT,
        INVALID_TX,
    ]
    assert outcomes(batch, 64, 64)[7:10] == [INVALID_TX, MISSING_AMOUNT, MISSING_AMOUNT]
    assert batch.refused_rows(0, 4) == [0, 1, 2, 3]


def test_nulls_of_narrow_columns() -> None:
    """Widening keeps the nulls where they are."""
    batch = Batch.from_columns(
        pa.array([1, 1, None, 1], pa.int8()),
        pa.array([1, None, 3, 4], pa.uint16()),
        pa.array([1, 2, 3, 4], pa.int32()),
        pa.array([10, 20, 30, None], pa.int16()),
    )
    assert outcomes(batch) == [APPLIED, INVALID_CLIENT, UNKNOWN_TYPE, MISSING_AMOUNT]


def test_negative_ids() -> None:
    """An int64 id below zero is out of range, not the huge number that a uint64 with its bits is."""
    column = np.array([-1, -(2**63), 5])
    assert outcomes(batch_of(clients=column), 64, 64)[:2] == [INVALID_CLIENT, INVALID_CLIENT]
    assert outcomes(batch_of(txs=column), 64, 64)[:2] == [INVALID_TX, INVALID_TX]
    batch = batch_of(types=b"\1\1\1", clients=column.astype("uint64"), amounts=np.array([1, 1, 2]))
    assert outcomes(batch, 64, 64) == [APPLIED, APPLIED, Outcome.TX_ID_REUSED]
    assert outcomes(batch_of(clients=column.astype("uint64")))[:2] == [INVALID_CLIENT, INVALID_CLIENT]


def test_negative_types() -> None:
    """An int8 type below zero is no type."""
    assert outcomes(batch_of(types=np.array([-1, -128, 0], "int8"))) == [UNKNOWN_TYPE] * 3


def test_clear_outcomes_for_another_width() -> None:
    """What was too wide for one ledger is not for the next, and the other way round; types stay unknown."""
    batch = batch_of(types=b"\1\1\7", clients=np.array([70_000, 1, 1]), txs=np.array([1, 2, 3]))
    for _ in range(2):
        assert outcomes(batch) == [INVALID_CLIENT, APPLIED, UNKNOWN_TYPE]
        batch.clear_outcomes()
        assert outcomes(batch, 32, 32) == [APPLIED, APPLIED, UNKNOWN_TYPE]
        batch.clear_outcomes()


def test_clear_outcomes_of_text() -> None:
    """What a decoder refused stays refused; the other rows can be applied again."""
    decoder = CsvDecoder()
    decoder.feed(
        b"type,client,tx,amount\ndeposit,1,1,1\ndeposit,x,2,1\nnone,1,1,1\ndeposit,1,1\ndeposit,1,3,1.00001\n"
    )
    batch = decoder.finish()
    assert batch is not None
    expected = [APPLIED, INVALID_CLIENT, UNKNOWN_TYPE, MISSING_AMOUNT, Outcome.AMOUNT_TOO_PRECISE]
    for _ in range(2):
        assert outcomes(batch) == expected
        batch.clear_outcomes()
        assert list(batch.outcomes) == [UNDECIDED, *expected[1:]]


def test_text_on_a_narrower_ledger() -> None:
    """A batch decoded for wide ids gets the codes that a decoder for narrow ones would have given."""
    rows = [b"70000,1,", b"70000,x,1", b"1,4294967296,x", b"70000,1,1", b"1,1,"]
    text = b"type,client,tx,amount\n" + b"".join(b"deposit," + row + b"\n" for row in rows)
    found = []
    for bits in (16, 32), (64, 64):
        decoder = CsvDecoder(make_settings(client_bits=bits[0], tx_bits=bits[1]))
        decoder.feed(text)
        batch = decoder.finish()
        assert batch is not None
        found.append(outcomes(batch))
    assert (
        found[0] == found[1] == [INVALID_CLIENT, INVALID_CLIENT, INVALID_TX, INVALID_CLIENT, MISSING_AMOUNT]
    )


class Strange:
    """Claims to be an Arrow array and gives something else."""

    def __arrow_c_array__(self) -> tuple[object, object]:
        """Give what are no capsules."""
        return object(), object()


WRONG: list[tuple[str, Callable[[], Any], str]] = [
    (
        "types",
        lambda: TYPES,
        r"types: list is neither a buffer of integers nor an Arrow array; make it one first",
    ),
    ("types", lambda: "123", r"types: str is neither"),
    (
        "types",
        lambda: np.array(TYPES),
        r"types: integers of at most 8 bits are needed, not 64; bytes\(column.tolist\(\)\) converts them",
    ),
    (
        "types",
        lambda: pa.array(TYPES),
        r"types: integers of at most 8 bits are needed, not 64; bytes\(column.tolist\(\)\) converts them",
    ),
    (
        "clients",
        lambda: np.array([1.0, 2, 3]),
        r"clients: integers in this machine's .* not items of format 'd'; floats lose digits",
    ),
    ("clients", lambda: np.array([True] * 3), r"clients: integers .* format '\?'"),
    (
        "clients",
        lambda: np.array([1, 2, 3], ">i8"),
        r"clients: integers in this machine's byte order .* format '>q'; swap its bytes first",
    ),
    ("clients", lambda: np.array([1, 2, 3], "M8[s]"), r"clients: ndarray lends no buffer of integers \("),
    (
        "clients",
        lambda: np.arange(6)[::2],
        r"clients: the items are not side by side in memory; copy them first",
    ),
    ("clients", lambda: np.arange(3)[::-1], r"clients: the items are not side by side"),
    ("clients", lambda: np.arange(3).reshape(3, 1), r"clients: one dimension is needed, not 2"),
    ("clients", lambda: np.array(1), r"clients: one dimension is needed, not 0"),
    ("clients", lambda: None, r"clients: NoneType is neither"),
    (
        "clients",
        lambda: pa.array([1.0, 2, 3]),
        r"clients: Arrow integers are needed, not an array of format 'g'; floats lose digits",
    ),
    (
        "clients",
        lambda: pa.array(["a", "b", "c"]),
        r"clients: Arrow integers are needed, not an array of format 'u'",
    ),
    (
        "clients",
        lambda: pa.array([None] * 3),
        r"clients: Arrow integers are needed, not an array of format 'n'",
    ),
    (
        "clients",
        lambda: pa.array(CLIENTS).dictionary_encode(),
        r"clients: the Arrow array is dictionary-encoded; decode it",
    ),
    (
        "clients",
        lambda: pa.record_batch({"a": CLIENTS}),
        r"clients: Arrow integers are needed, not an array of format '\+s'",
    ),
    (
        "clients",
        lambda: pa.chunked_array([CLIENTS]),
        r"clients: ChunkedArray may have its items in several pieces; make it one",
    ),
    ("clients", Strange, r"clients: Strange.__arrow_c_array__\(\) gives no Arrow capsules"),
    (
        "amounts",
        lambda: np.array(AMOUNTS, "uint64"),
        r"amounts: int64 is needed, and not every uint64 fits; array.array",
    ),
    (
        "amounts",
        lambda: pa.array(AMOUNTS, pa.uint64()),
        r"amounts: int64 is needed, and not every uint64 fits",
    ),
    (
        "amounts",
        lambda: np.array(AMOUNTS, "float64"),
        r"amounts: integers .* format 'd'; floats are not exact: read amounts as text or Decimal and scale them to units",
    ),
    (
        "amounts",
        lambda: pa.array([1.0, 2.0, 3.0], pa.float32()),
        r"amounts: Arrow integers .* format 'f'; floats are not exact: read amounts as text or Decimal and scale them",
    ),
    (
        "amounts",
        lambda: np.array([1, 2, 3], object),
        r"amounts: integers .* format 'O'; read amounts as text or Decimal",
    ),
    (
        "amounts",
        lambda: ["1.0"] * 3,
        r"amounts: list is neither .* read amounts as text or Decimal and scale them",
    ),
    (
        "types",
        lambda: pa.array(["deposit"] * 3),
        r"types: Arrow integers .* 'u'; give TransactionType numbers",
    ),
    (
        "amounts",
        lambda: pa.array([1, 2, 3], pa.decimal128(10, 4)),
        r"amounts: Arrow integers .* format 'd:10,4'; give the whole table to process",
    ),
]


@pytest.mark.parametrize(
    ("name", "make", "message"), WRONG, ids=[f"{name}-{place}" for place, (name, *_) in enumerate(WRONG)]
)
def test_wrong_columns(name: str, make: Callable[[], Any], message: str) -> None:
    """A column that will not do is named, with what it is and what to do."""
    with pytest.raises(TypeError, match="^" + message):
        batch_of(**{name: make()})


def test_a_released_column() -> None:
    """A memoryview that was released lends nothing."""
    view = memoryview(array("q", CLIENTS))
    view.release()
    with pytest.raises(TypeError, match=r"^clients: memoryview lends no buffer of integers"):
        batch_of(clients=view)


def test_an_array_that_was_given_away() -> None:
    """An Arrow array whose capsules were emptied by another consumer is refused."""
    column = pa.array(CLIENTS)
    capsules = column.__arrow_c_array__()
    pa.Array._import_from_c_capsule(*capsules)

    class Given:
        def __arrow_c_array__(self) -> tuple[object, object]:
            return capsules[0], capsules[1]

    with pytest.raises(TypeError, match=r"^clients: the Arrow array was given away before"):
        batch_of(clients=Given())


class Capsules:
    """Gives the same two capsules to everybody."""

    def __init__(self, column: Any) -> None:
        self.capsules = column.__arrow_c_array__()

    def __arrow_c_array__(self) -> Any:
        """Give them."""
        return self.capsules

    def words(self) -> Any:
        """Give the array's structure as what it begins with: length, null count, offset, buffer count, child count, buffers."""
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        return (ctypes.c_int64 * 6).from_address(pointer(self.capsules[1], b"arrow_array"))


def test_an_array_is_taken_over() -> None:
    """Nobody else gets what a batch looks at, even from the same capsules, and so nobody frees it."""
    given = Capsules(pa.array(CLIENTS))
    batch = batch_of(clients=given)
    with pytest.raises(pa.ArrowInvalid):
        pa.Array._import_from_c_capsule(*given.capsules)
    with pytest.raises(TypeError, match="given away before"):
        batch_of(clients=given)
    del given
    gc.collect()
    assert list(batch.clients) == CLIENTS


@pytest.mark.parametrize(
    ("word", "value"), [(0, -1), (0, 2**62), (2, -1), (2, 2**62), (1, 3), (5, 0)], ids=str
)
def test_an_array_that_cannot_be(word: int, value: int) -> None:
    """A producer whose lengths, offsets, nulls or buffers cannot be true is refused."""
    given = Capsules(pa.array(CLIENTS))
    words = given.words()
    kept, words[word] = words[word], value
    with pytest.raises(TypeError, match=r"^clients: the Arrow array (says|has no items)"):
        batch_of(clients=given)
    words[word] = kept


def test_different_lengths() -> None:
    """Columns of different lengths are refused, and all lengths are named."""
    with pytest.raises(ValueError, match=r"columns have different lengths: .* \[3, 2, 3, 3\]"):
        batch_of(clients=np.arange(2))


def test_a_batch_is_not_made_by_hand() -> None:
    """The constructor says where batches come from."""
    make: Any = Batch
    with pytest.raises(TypeError, match=r"Batch\.from_columns"):
        make()


def test_columns_live_as_long_as_the_batch() -> None:
    """The owner of a column is kept by the batch, and let go with it."""
    column = np.arange(3)
    owner = weakref.ref(column)
    batch = batch_of(clients=column)
    del column
    gc.collect()
    assert owner() is not None
    assert list(batch.clients) == [0, 1, 2]
    del batch
    gc.collect()
    assert owner() is None


def test_arrow_memory_lives_as_long_as_the_batch() -> None:
    """The memory of an Arrow array is given back with the batch, not before."""
    before = pa.total_allocated_bytes()
    column = pa.array(range(100_000), pa.int64())
    batch = Batch.from_columns(bytes(100_000), column, column, pa.array(range(100_000), pa.int64()))
    del column
    gc.collect()
    assert pa.total_allocated_bytes() - before >= 2 * 800_000
    assert sum(batch.clients) == sum(batch.txs) == sum(range(100_000))
    del batch
    gc.collect()
    assert pa.total_allocated_bytes() == before


def test_arrow_release_is_called_once() -> None:
    """Thousands of arrays in and out leave nothing behind."""
    before = pa.total_allocated_bytes()
    for _ in range(2_000):
        column = pa.array([None, *range(1_000)], pa.int64())
        Batch.from_columns(bytes(1_001), column, column, column)
        del column
    gc.collect()
    assert pa.total_allocated_bytes() == before


@pytest.mark.parametrize("name", ["types", "clients", "txs", "amounts", "outcomes"])
def test_views_outlive_their_batch(name: str) -> None:
    """A column's memoryview keeps its batch, and with it the owner of its memory, alive."""
    columns = [np.array(TYPES, "uint8"), np.array(CLIENTS), np.array(TXS, "uint16"), np.array(AMOUNTS)]
    owner = weakref.ref(columns[1])
    batch = Batch.from_columns(*columns)
    view = getattr(batch, name)
    expected = list(view)
    del batch, columns
    gc.collect()
    rubbish = [np.full(3, 255) for _ in range(100)]
    assert list(view) == expected
    assert owner() is not None
    del view, rubbish
    gc.collect()
    assert owner() is None


def test_views_of_decoded_batches_outlive_them() -> None:
    """So it is with a batch that owns its columns."""
    decoder = CsvDecoder()
    decoder.feed(
        b"type,client,tx,amount\n" + b"".join(b"deposit,%d,%d,1\n" % (row, row) for row in range(100))
    )
    batch = decoder.finish()
    assert batch is not None
    view = batch.clients
    del batch, decoder
    gc.collect()
    rubbish = [bytes(100 * 34) for _ in range(100)]
    assert list(view) == list(range(100))
    del rubbish


def test_views_are_read_only() -> None:
    """Nobody writes to a batch from outside; types and shapes are as documented."""
    batch = batch_of()
    views = (batch.types, batch.clients, batch.txs, batch.amounts, batch.outcomes)
    assert [view.format for view in views] == ["B", "Q", "Q", "q", "B"]
    assert all(view.readonly and view.shape == (3,) for view in views)
    with pytest.raises(TypeError, match="read-only"):
        batch.outcomes[0] = 1


def test_a_buffer_in_use_cannot_be_resized() -> None:
    """As long as the batch lives, an array.array it looks at refuses to move its items."""
    column = array("q", CLIENTS)
    batch = batch_of(clients=column)
    with pytest.raises(BufferError):
        column.append(1)
    del batch
    gc.collect()
    column.append(1)


def test_one_outcome_at_a_time() -> None:
    """The code of a row is there without a view of the whole column; a row that is not there is an error."""
    batch = Batch.from_rows([(1, 1, 1, 5, 0), (1, 1, 2, 5, 17)])
    assert (batch.outcome(0), batch.outcome(1)) == (0, 17)
    for row in (-1, 2, 2**62):
        with pytest.raises(IndexError):
            batch.outcome(row)


def test_rows_below_zero() -> None:
    """There is no row before the first."""
    with pytest.raises(IndexError, match="rows -1 to 3"):
        batch_of().refused_rows(-1)


def test_rows_are_what_they_were_when_they_were_given() -> None:
    """A number may be of anybody's class, and its code may change the list of rows."""
    rows: list[Any] = []

    class Growing:
        def __index__(self) -> int:
            rows.extend([(1, 1, 1, 1, 0)] * 20_000)
            return 1

        __int__ = __index__

    rows.append((1, Growing(), 1, 5, 0))
    rows.append((1, 1, 2, 5, 0))
    assert len(Batch.from_rows(rows)) == 2


def test_a_code_is_the_one_that_was_checked() -> None:
    """A number that is another one each time it is asked is taken as it was the first time."""

    class Fickle:
        answers: ClassVar[list[int]] = [17, 200]

        def __index__(self) -> int:
            return self.answers.pop(0) if self.answers else 250

        def __int__(self) -> int:
            return self.__index__()

    batch = Batch.from_rows([(1, 1, 1, 5, cast("int", Fickle()))])
    assert batch.outcome(0) == 17
