"""Tables that go out, as a consumer in C sees them: what is released, when, and how often."""

from __future__ import annotations

import ctypes
import gc
from ctypes import byref, c_int64
from typing import TYPE_CHECKING

import pytest

import holdfast
from arrow_structures import RELEASE_ARRAY, Array, Schema, Stream, stream_of
from holdfast.kernel.arrow.accounts import OrderedAccounts, order_accounts
from holdfast.kernel.arrow.export import live_exports

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = [b"client", b"available", b"held", b"total", b"locked"]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Whatever a test exports is given back: no more, no less."""
    gc.collect()
    before = live_exports()
    yield
    gc.collect()
    assert live_exports() <= before


def accounts(clients: int = 3) -> holdfast.Accounts:
    """Make some accounts, the first of which is locked."""
    engine = holdfast.Engine(client_bits=64)
    rows = [b"deposit,%d,%d,1.5" % (2**63 - client, client + 1) for client in range(clients)]
    rows += [b"dispute,%d,1," % 2**63, b"chargeback,%d,1," % 2**63]
    engine.process(b"type,client,tx,amount\n" + b"\n".join(rows))
    return engine.accounts()


def next_table(stream: Stream) -> Array:
    """Take the next part."""
    table = Array()
    assert stream.get_next(byref(stream), byref(table)) == 0
    return table


def numbers(column: Array, count: int) -> list[int]:
    """Read a column's items as 64-bit numbers."""
    return list((c_int64 * count).from_address(column.buffers[1]))


def test_a_consumer_in_c() -> None:
    """The schema, one part and the end; everything is released by hand."""
    capsule = accounts().__arrow_c_stream__()
    stream, schema = stream_of(capsule), Schema()
    assert stream.get_schema(byref(stream), byref(schema)) == 0
    assert (schema.format, schema.n_children) == (b"+s", 5)
    children = [schema.children[number].contents for number in range(5)]
    assert [child.name for child in children] == NAMES
    assert [child.format for child in children] == [b"L", *[b"d:19,4"] * 3, b"b"]
    schema.release(byref(schema))
    assert not schema.release
    table = next_table(stream)
    assert (table.length, table.n_children, table.null_count) == (3, 5, 0)
    columns = [table.children[number].contents for number in range(5)]
    assert numbers(columns[0], 3) == [2**63 - 2, 2**63 - 1, -(2**63)]
    assert numbers(columns[1], 6) == [15_000, 0, 15_000, 0, 0, 0]
    assert numbers(columns[3], 6) == [15_000, 0, 15_000, 0, 0, 0]
    assert ctypes.string_at(columns[4].buffers[1], 1) == bytes([0b100])
    table.release(byref(table))
    assert not table.release
    for _ in range(2):
        assert not next_table(stream).release
    stream.release(byref(stream))
    assert not stream.release


def test_columns_outlive_their_table() -> None:
    """A column that is moved out is not released with the table."""
    capsule = accounts().__arrow_c_stream__()
    stream = stream_of(capsule)
    table = next_table(stream)
    column = Array()
    ctypes.pointer(column)[0] = table.children[1].contents
    moved = Array.from_buffer_copy(bytes(column))
    table.children[1].contents.release = RELEASE_ARRAY()
    table.release(byref(table))
    del capsule
    gc.collect()
    assert numbers(moved, 2) == [15_000, 0]
    moved.release(byref(moved))


def test_streams_nobody_takes_are_released() -> None:
    """Also one of which a part was taken; parts live on without their stream."""
    table = accounts()
    assert table.__arrow_c_stream__() is not table.__arrow_c_stream__()
    capsule = table.__arrow_c_stream__(None)
    part = next_table(stream_of(capsule))
    del capsule, table
    gc.collect()
    part.release(byref(part))


def test_large_tables_come_in_parts() -> None:
    """The parts have all accounts, in order, whether they came in order, the other way round, or in no order."""
    rows = 300_000
    orders = [
        [row * step % 2**40 for row in range(rows)] for step in (1, -1, 7_919, 0x9E3779B97F4A7C15)
    ]  # fmt: skip
    # Most ids close together, and a few as far away as can be.
    orders.append([2**64 - 1, *(row ^ 0x155 for row in range(rows - 2)), 2**63])
    for clients in orders:
        engine = holdfast.Engine(client_bits=64)
        ids = (ctypes.c_uint64 * rows)(*clients)
        amounts = (c_int64 * rows)(*range(1, rows + 1))
        engine.apply_batch(b"\1" * rows, ids, (ctypes.c_uint64 * rows)(*range(rows)), amounts)
        capsule = engine.accounts().__arrow_c_stream__()
        found: list[tuple[int, ...]] = []
        while (part := next_table(stream_of(capsule))).release:
            columns = [
                [client % 2**64 for client in numbers(part.children[0].contents, part.length)],
                numbers(part.children[3].contents, 2 * part.length)[::2],
            ]
            found += zip(*columns, strict=True)
            part.release(byref(part))
        assert found == sorted(zip(clients, range(1, rows + 1), strict=True))


def test_no_accounts() -> None:
    """An empty table has a schema and no part."""
    capsule = holdfast.Engine().accounts().__arrow_c_stream__()
    assert not next_table(stream_of(capsule)).release


def test_misuse() -> None:
    """The kernel's own interface refuses what it cannot use."""
    with pytest.raises(TypeError, match="order_accounts"):
        OrderedAccounts()  # type: ignore[call-arg]  # the stub lets nobody
    with pytest.raises(ValueError, match="not made by"):
        OrderedAccounts.__new__(OrderedAccounts).export(4)
    with pytest.raises(ValueError, match="decimals is 0 to 9"):
        order_accounts(()).export(10)
    with pytest.raises(TypeError):
        order_accounts((None,))  # type: ignore[arg-type]  # none at all
