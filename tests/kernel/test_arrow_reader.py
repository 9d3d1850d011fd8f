"""Tables that come in, from producers that lie, fail or are called at the wrong time: each is refused, and released once."""

from __future__ import annotations

import gc
import struct
from ctypes import POINTER, addressof, c_uint8, c_void_p
from typing import TYPE_CHECKING, Any

import pytest

import holdfast
from arrow_structures import RELEASE_STREAM, Array, Producer, capsule_of
from holdfast.domain.settings import make_settings
from holdfast.kernel.arrow.reader import TableError, TableReader, read_array, read_stream

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 3
TEXT = b"depositdisputedeposit"


def packed(code: str, *numbers: int) -> bytes:
    """Lay numbers out one after the other."""
    return struct.pack(f"={len(numbers)}{code}", *numbers)


def view(text: bytes, piece: int = 0, begin: int = 0) -> bytes:
    """Make a view of a text, in itself or in a buffer."""
    if len(text) <= 12:
        return packed("i", len(text)) + text.ljust(12, b"\0")
    return packed("i", len(text)) + text[:4] + packed("i", piece, begin)


TYPES = (b"type", b"u", [None, packed("i", 0, 7, 14, 21), TEXT])
LARGE_TYPES = (b"type", b"U", [None, packed("q", 0, 7, 14, 21), TEXT])
ENUM = (
    b"type",
    b"C",
    [None, bytes([0, 2, 0])],
    b"u",
    3,
    [None, packed("i", 0, 7, 14, 21), b"depositresolvedispute"],
)
LONG = b"   deposit      "
VIEWS: tuple[Any, ...] = (
    b"type",
    b"vu",
    [None, view(LONG, 0, 2) + view(b"dispute") + view(b"deposit"), b"--" + LONG, packed("q", 18)],
)
CLIENTS = (b"client", b"L", [None, packed("Q", 1, 1, 1)])
TXS = (b"tx", b"L", [None, packed("Q", 1, 1, 2)])
AMOUNTS = (b"amount", b"d:18,2,64", [None, packed("q", 150, 0, 200)])


def table(types: tuple[Any, ...] = TYPES, **more: Any) -> Producer:
    """Make a producer of three rows."""
    return Producer([types, CLIENTS, TXS, AMOUNTS], ROWS, **more)


def released_once(producer: Producer) -> bool:
    """Say whether everything that was given was given back, once."""
    gc.collect()
    return producer.released == {"schema": 1, "array": len(producer.given), "stream": 1}


@pytest.mark.parametrize(
    "types", [TYPES, LARGE_TYPES, ENUM, VIEWS], ids=["text", "large", "dictionary", "views"]
)
def test_honest_tables(types: tuple[Any, ...]) -> None:
    """Several parts are one input; each is released before the next one comes."""
    engine = holdfast.Engine()
    producer = table(types, parts=2)
    report = engine.process(producer)
    assert (report.rows, report.applied) == (6, 3)
    assert [str(outcome) for outcome in report.refused_by_outcome] == ["DUPLICATE_TX", "ALREADY_DISPUTED"]
    assert engine.account(1).held_units == 15_000
    assert released_once(producer)


def set_buffer(array: Array, number: int, address: int | None) -> None:
    """Change one buffer."""
    array.buffers[number] = address


def change(column: int, **values: Any) -> Callable[[Array, list[Array]], None]:
    """Change what an array says about itself; column -1 is the table."""

    def do(part: Array, columns: list[Array]) -> None:
        for name, value in values.items():
            setattr(part if column < 0 else columns[column], name, value)

    return do


LIES: list[tuple[str, tuple[Any, ...], Callable[[Array, list[Array]], None] | None]] = [
    ("shorter than its table", TYPES, change(0, length=2)),
    ("shorter than its table", TYPES, change(3, length=0)),
    ("below 0", TYPES, change(0, length=-1)),
    ("below 0", TYPES, change(1, offset=-1)),
    ("larger than any memory", TYPES, change(1, offset=2**62)),
    ("larger than any memory", TYPES, change(2, length=2**63 - 1)),
    ("some items are null, but not which", TYPES, change(2, null_count=1)),
    ("fewer buffers", TYPES, change(0, n_buffers=2)),
    ("fewer buffers", TYPES, change(1, n_buffers=-1)),
    ("fewer buffers", TYPES, change(1, buffers=POINTER(c_void_p)())),
    ("has no items", TYPES, lambda _, columns: set_buffer(columns[0], 1, None)),
    ("has no items", TYPES, lambda _, columns: set_buffer(columns[3], 1, None)),
    ("outside of its text", TYPES, lambda _, columns: set_buffer(columns[0], 2, None)),
    ("which no memory has", TYPES, change(-1, length=-1)),
    ("which no memory has", TYPES, change(-1, offset=-1)),
    ("which no memory has", TYPES, change(-1, length=2**60)),
    ("shorter than its table", TYPES, change(-1, offset=1)),
    ("shorter than its table", TYPES, change(-1, offset=2**40)),
    ("with 3 columns", TYPES, change(-1, n_children=3)),
    ("with -1 columns", TYPES, change(-1, n_children=-1)),
    ("with 4 columns", TYPES, change(-1, children=POINTER(POINTER(Array))())),
    ("has no dictionary", ENUM, change(0, dictionary=POINTER(Array)())),
    ("a length below 0", ENUM, lambda _, columns: setattr(columns[0].dictionary.contents, "length", -1)),
    (
        "its dictionary leads outside",
        (*ENUM[:5], [None, packed("i", 0, 7, 5, 21), b"depositresolvedispute"]),
        None,
    ),
    ("row 2 leads outside", (*ENUM[:2], [None, bytes([0, 3, 0])], *ENUM[3:]), None),
    ("row 3 leads outside", (b"type", b"c", [None, bytes([0, 1, 255])], *ENUM[3:]), None),
    ("row 1 leads outside", (*TYPES[:2], [None, packed("i", 8, 7, 14, 21), TEXT]), None),
    ("row 2 leads outside", (*TYPES[:2], [None, packed("i", 0, 7, -14, 21), TEXT]), None),
    ("row 2 leads outside", (*LARGE_TYPES[:2], [None, packed("q", 0, 7, 2**62, 21), TEXT]), None),
    ("outside of its text", (*TYPES[:2], [None, packed("i", 0, 7, 14, -21), TEXT]), None),
    ("row 1 leads outside", (*VIEWS[:2], [None, view(LONG, 1, 2) + VIEWS[2][1][16:], *VIEWS[2][2:]]), None),
    ("row 1 leads outside", (*VIEWS[:2], [None, view(LONG, -1, 2) + VIEWS[2][1][16:], *VIEWS[2][2:]]), None),
    ("row 1 leads outside", (*VIEWS[:2], [None, view(LONG, 0, 3) + VIEWS[2][1][16:], *VIEWS[2][2:]]), None),
    ("row 1 leads outside", (*VIEWS[:2], [None, view(LONG, 0, -3) + VIEWS[2][1][16:], *VIEWS[2][2:]]), None),
    (
        "row 2 leads outside",
        (*VIEWS[:2], [None, VIEWS[2][1][:16] + packed("i", -7) + bytes(28), *VIEWS[2][2:]]),
        None,
    ),
    ("how long its buffers are", VIEWS, lambda _, columns: set_buffer(columns[0], 3, None)),
]


@pytest.mark.parametrize(("message", "types", "lie"), LIES)
def test_lies_are_refused(message: str, types: tuple[Any, ...], lie: Any) -> None:
    """An error says what is wrong; nothing of the batch is decided, and everything is released once."""
    engine = holdfast.Engine()
    producer = table(types, change=lie)
    with pytest.raises(holdfast.InputError, match=message):
        engine.process(producer)
    assert engine.decided == 0
    assert released_once(producer)


@pytest.mark.parametrize(
    ("message", "shown"), [(b"disk is on fire \xff", r"disk is on fire \\xff"), (None, "Input/output error")]
)
def test_a_stream_that_fails_half_way(message: bytes | None, shown: str) -> None:
    """The rows before stand, and the error says how many they are and what the producer said."""
    engine = holdfast.Engine()
    producer = table(parts=2, failure=(5, message))
    with pytest.raises(holdfast.InputError, match=rf"failed after row 6: {shown}"):
        engine.process(producer)
    assert engine.decided == 6
    assert released_once(producer)


def test_a_stream_without_a_part_is_empty() -> None:
    """As a file with a header alone."""
    producer = table(parts=0)
    assert holdfast.Engine().process(producer).rows == 0
    assert released_once(producer)


def test_a_policy_that_stops_releases_the_rest() -> None:
    """The stream is not read to its end."""
    producer = table(parts=5)
    with pytest.raises(holdfast.PolicyAbort):
        holdfast.Engine().process(producer, policy=holdfast.parse_policy("abort"))
    assert len(producer.given) == 2
    assert released_once(producer)


def test_a_stream_is_taken_once() -> None:
    """Whoever gets the same capsule again finds nothing."""
    producer = table()
    capsule = producer.__arrow_c_stream__()
    reader = read_stream(capsule, make_settings())
    with pytest.raises(TypeError, match="taken before"):
        read_stream(capsule, make_settings())
    assert reader.next_batch() is not None
    assert reader.next_batch() is None
    assert reader.next_batch() is None
    reader.close()
    reader.close()
    assert released_once(producer)


def test_a_producer_that_comes_back() -> None:
    """A callback that reads or closes the table that it is asked for gets an error."""
    producer = table()
    errors: list[str] = []

    def come_back() -> None:
        for call in (reader.next_batch, reader.close):
            try:
                call()
            except RuntimeError as error:
                errors.append(str(error))

    producer.on_next = come_back
    reader = read_stream(producer.__arrow_c_stream__(), make_settings())
    assert reader.next_batch() is not None
    assert errors == ["another thread is reading this table"] * 2
    reader.close()
    assert released_once(producer)


def test_what_is_no_table() -> None:
    """Capsules of other things, and none."""
    settings = make_settings()
    with pytest.raises(TypeError, match="gives no Arrow stream"):
        read_stream(object(), settings)
    with pytest.raises(TypeError, match="gives no Arrow array"):
        read_array(object(), object(), settings)
    with pytest.raises(TypeError, match="made by read_stream"):
        TableReader()  # type: ignore[call-arg]  # the stub lets nobody
    assert TableReader.__new__(TableReader).next_batch() is None
    producer = table()
    producer.stream.release = RELEASE_STREAM()
    with pytest.raises(TypeError, match="taken before"):
        read_stream(producer.__arrow_c_stream__(), settings)
    producer = table()
    producer.stream.get_next = type(producer.stream.get_next)()
    with pytest.raises(TableError, match="without functions"):
        read_stream(capsule_of(producer.stream, b"arrow_array_stream"), settings)
    assert producer.released["stream"] == 1


def test_rows_of_null() -> None:
    """A table itself may say that a row is null: all of its fields are."""

    def hide_first(part: Array, _: list[Array]) -> None:
        bits.value = 0b110
        part.null_count = 1
        part.buffers[0] = addressof(bits)

    bits = c_uint8()
    report = holdfast.Engine().process(table(change=hide_first))
    assert {str(outcome): count for outcome, count in report.refused_by_outcome.items()} == {
        "UNKNOWN_TYPE": 1,
        "TX_NOT_FOUND": 1,
    }
