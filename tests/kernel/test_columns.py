"""What the errors about columns tell people to write is exact: the columns are money."""

from __future__ import annotations

import array
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import holdfast

WRONG: list[tuple[str, Any]] = [
    *((name, column) for name in ("clients", "txs", "amounts") for column in (
        [1], ["1"], (1.5,), np.array([1.5]), np.array([1.5], "f2"), np.array([1.5], "f4"), np.array([1], ">i8"),
        np.array([1], ">u4"), np.array(["1"]), np.array([b"1"]), np.array([1], object), np.array([True]),
        np.array([1.5], "g"), pa.array([1.5]), pa.array([1.5], pa.float32()), pa.array([1.5], pa.float64()),
        pa.array([Decimal("1.50")]), pa.array([Decimal("1.50")], pa.decimal256(50, 2)), pa.array(["1"]),
        pa.array([True]), pa.array([None]), "1", None, Decimal(1),
    )),
    ("amounts", np.array([1], "uint64")),
    ("amounts", pa.array([1], pa.uint64())),
    *(("types", column) for column in ([1], np.array([1]), np.array([1.5]), pa.array([1]), pa.array(["deposit"]), "1")),
]  # fmt: skip
"""Columns that are not taken."""


def message_of(name: str, column: Any) -> str:
    """Give what is said about a column that is not taken."""
    columns = {"types": b"\1", "clients": array.array("q", [1]), "txs": array.array("q", [1])}
    columns["amounts"] = array.array("q", [1])
    with pytest.raises(TypeError) as caught:
        holdfast.Engine().apply_batch(**{**columns, name: column})
    return str(caught.value)


MESSAGES = [message_of(name, column) for name, column in WRONG]


@pytest.mark.parametrize(("case", "message"), list(zip(WRONG, MESSAGES, strict=True)))
def test_what_to_do(case: tuple[str, Any], message: str) -> None:
    """Every message names the column, says what is needed, and what to do after a semicolon or a colon."""
    name, _ = case
    assert message.startswith(f"{name}: ")
    assert re.search(r"; .{20}", message)


def test_no_advice_changes_numbers() -> None:
    """An astype() or a cast() makes other money of the same column, so nothing suggests one."""
    for message in MESSAGES:
        assert "astype('" not in message
        assert ".cast(" not in message


@pytest.mark.parametrize(("name", "column"), [case for case in WRONG if case[0] == "amounts"])
def test_amounts_are_scaled(name: str, column: Any) -> None:
    """Whatever an amount is, unless it is an integer, it has to be scaled to units: each message says so."""
    message = message_of(name, column)
    is_integer = "uint64" in message or "swap its bytes" in message
    assert is_integer or "scale" in message


@pytest.mark.parametrize(
    ("column", "advice", "expected"),
    [
        (
            ["1.50", "2"],
            "array.array('q', [holdfast.units_from(amount) for amount in amounts])",
            [15_000, 20_000],
        ),
        (
            [Decimal("1.50"), Decimal(2)],
            "array.array('q', [holdfast.units_from(amount) for amount in amounts])",
            [15_000, 20_000],
        ),
        (["1.00001"], "array.array('q', [holdfast.units_from(amount) for amount in amounts])", None),
        ([1.5], "array.array('q', [holdfast.units_from(amount) for amount in amounts])", None),
        ([1.5], "array.array('q', units)", None),
        (
            pa.array([Decimal("1.50"), Decimal("2.00")]),
            "array.array('q', [holdfast.units_from(amount) for amount in amounts.to_pylist()])",
            [15_000, 20_000],
        ),
        (
            pa.array([Decimal("1.00001")]),
            "array.array('q', [holdfast.units_from(amount) for amount in amounts.to_pylist()])",
            None,
        ),
        (np.array([5, 2**63 - 1], "uint64"), "array.array('q', column.tolist())", [5, 2**63 - 1]),
        (np.array([2**63], "uint64"), "array.array('q', column.tolist())", None),
        (pa.array([2**63], pa.uint64()), "array.array('q', column.tolist())", None),
        (np.array([1, 5]), "bytes(column.tolist())", [1, 5]),
        (np.array([257]), "bytes(column.tolist())", None),
        (np.array([-255]), "bytes(column.tolist())", None),
        (np.array([1, 2**40], ">i8"), "column.astype(column.dtype.newbyteorder('='))", [1, 2**40]),
    ],
)
def test_advice_is_exact(column: Any, advice: str, expected: list[int] | None) -> None:
    """What an error tells people to write gives the very numbers, or fails: nothing is rounded, cut or wrapped."""
    assert any(advice in message for message in MESSAGES)
    names = {"column": column, "amounts": column, "units": column}
    modules = {"array": array, "holdfast": holdfast}
    if expected is None:
        with pytest.raises((ValueError, TypeError, OverflowError)):
            eval(advice, {**names, **modules})  # noqa: S307  # our own
    else:
        made = eval(advice, {**names, **modules})  # noqa: S307  # our own
        assert (made.to_pylist() if isinstance(made, pa.Array) else list(made)) == expected


def test_a_mask_that_hides_nothing_is_no_matter() -> None:
    """Masked arrays whose items are all there are taken; of others, the mask would be lost."""
    ids: Any = np.ma.array([1], mask=[False], dtype="i8")
    engine = holdfast.Engine()
    engine.apply_batch(types=b"\1", clients=ids, txs=np.ma.array([1], dtype="i8"), amounts=ids)
    assert engine.totals().accounts == 1
    assert "mask" in message_of("amounts", np.ma.array([1], mask=[True], dtype="i8"))
