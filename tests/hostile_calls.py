"""Calls everything that the compiled modules have, with whatever arguments.

Run as a program by kernel/test_hostile_calls.py. It prints the call that comes next, so that the last line of its output is the
one that ended the process.
"""

from __future__ import annotations

import array
import contextlib
import copy
import importlib
import inspect
import io
import pickle
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import holdfast
from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.ndjson.decoder import NdjsonDecoder
from holdfast.kernel.packing.decided_rows import DecidedRowBuffer
from holdfast.kernel.packing.unpacking import RowUnpacker, UnpackedRows, unpack_rows
from holdfast.kernel.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(str(holdfast.__file__)).parent
TEXT = b"type,client,tx,amount\ndeposit,1,1,5\n\nx\nwithdrawal,1,2,9\n"
_OPERATORS = ("__len__", "__iter__", "__repr__", "__str__", "__hash__", "__eq__", "__buffer__", "__bool__")


def compiled_modules() -> list[str]:
    """List what is compiled: the modules with a stub."""
    stubs = sorted(PACKAGE.rglob("*.pyi"))
    return [".".join(stub.relative_to(PACKAGE.parent).with_suffix("").parts) for stub in stubs]


def compiled_classes() -> Iterator[type]:
    """Give every class that a compiled module defines."""
    for name in compiled_modules():
        for value in vars(importlib.import_module(name)).values():
            if inspect.isclass(value) and value.__module__ == name:
                yield value


def compiled_functions() -> Iterator[Any]:
    """Give every function that a compiled module defines for Python."""
    for name in compiled_modules():
        for value in vars(importlib.import_module(name)).values():
            if not inspect.isclass(value) and callable(value) and value.__module__ == name:
                yield value


def odd_values(random_source: random.Random) -> Any:
    """Make an argument that hardly any method has in mind, or that one has and another has not."""
    number = random_source.choice(
        (0, 1, -1, 2, 5, 6, 7, 255, 256, 2**31, -(2**31), 2**32, 2**63, -(2**63), 2**64, 2**70)
    )
    makers: tuple[Any, ...] = (
        lambda: None,
        lambda: number,
        lambda: number,
        lambda: 2.5,
        lambda: "x",
        lambda: "standard",
        lambda: b"",
        lambda: TEXT,
        lambda: bytearray(TEXT),
        lambda: memoryview(TEXT)[::2],
        lambda: array.array("Q", [1, 2, 3]),
        lambda: array.array("q", [1, -2, 3]),
        lambda: array.array("B", [1, 2, 3]),
        list,
        lambda: [None, 3, Tally()],
        lambda: [filled_batch(), None],
        dict,
        object,
        lambda: len,
        lambda: Tally,
        Tally,
        filled_batch,
        CsvDecoder,
        NdjsonDecoder,
        LedgerCore,
        lambda: LedgerCore(make_settings("cards", client_bits=64, tx_bits=64)),
        lambda: LedgerCore().image(),
        make_settings,
        lambda: half_made(random_source.choice(CLASSES)),
    )
    return random_source.choice(makers)()


def filled_batch() -> Batch:
    """Decode some rows."""
    decoder = CsvDecoder(keep_source=True)
    decoder.feed(TEXT)
    batch = decoder.finish()
    assert batch is not None
    return batch


def opened_unpacker() -> RowUnpacker:
    """Make an unpacker with rows of which some are unpacked."""
    batch = filled_batch()
    LedgerCore().decide(batch)
    buffer = DecidedRowBuffer(batch.rows)
    buffer.append(batch, 0, batch.rows)
    unpacker = RowUnpacker()
    unpacker.open(buffer.pack())
    unpacker.next_piece()
    return unpacker


def half_made(kind: type) -> Any:
    """Make an object whose constructor has not run."""
    try:
        return kind.__new__(kind)  # type: ignore[call-overload]  # of a type that is known only when it runs
    except Exception:  # noqa: BLE001  # some need arguments even for that
        return None


def subclass_of(kind: type) -> type | None:
    """Make a class of Python's own below a compiled one, where that is allowed."""
    try:
        return type("Below", (kind,), {})
    except TypeError:
        return None


def objects_of(kind: type, random_source: random.Random) -> Iterator[Any]:
    """Give objects of a class: half made, made with nothing, made with whatever."""
    made: list[Any] = [half_made(kind)]
    below = subclass_of(kind)
    if below is not None:
        made.append(half_made(below))
    if kind is Batch:
        made += [filled_batch(), Batch.from_columns(*(array.array(code, [1, 2]) for code in "BQQq"))]
    if kind.__name__ == "Image":
        made.append(LedgerCore().image())
    if kind.__name__ == "Cut":
        made.append(LedgerCore(pages=True).cut())
    if kind is DecidedRowBuffer:
        made.append(DecidedRowBuffer(10, 100))
    if kind in {UnpackedRows, RowUnpacker}:
        made.append(unpack_rows(DecidedRowBuffer(1).pack()) if kind is UnpackedRows else opened_unpacker())
    if kind is LedgerCore:
        made.append(LedgerCore(pages=True))
    for count in range(6):
        for _ in range(8):
            with contextlib.suppress(Exception):
                made.append(kind(*(odd_values(random_source) for _ in range(count))))
    return iter([each for each in made if each is not None])


def tell(*words: object) -> None:
    """Say what comes next."""
    print(*words, flush=True)


def take_apart(value: Any) -> None:
    """Try whatever takes an object apart and puts it together again; nothing may, and all say why."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        tell("pickle", type(value), protocol)
        expect_type_error(lambda protocol=protocol: pickle.dumps(value, protocol))
    for copying in (copy.copy, copy.deepcopy):
        tell("copy", type(value))
        expect_type_error(lambda copying=copying: copying(value))
    for name in ("__setstate__", "__setstate_cython__", "__reduce_cython__"):
        if hasattr(value, name):
            raise AssertionError(f"{type(value)} has {name}")


def expect_type_error(call: Any) -> None:
    """Call, and insist on a TypeError that says something."""
    try:
        call()
    except TypeError as error:
        message = str(error)
    else:
        raise AssertionError("nothing was refused")
    assert message


def call_everything(value: Any, random_source: random.Random, rounds: int) -> None:
    """Call every method of an object and look at every property."""
    names = [name for name in dir(type(value)) if not name.startswith("__") or name in _OPERATORS]
    for _ in range(rounds):
        name = random_source.choice(names)
        arguments = [odd_values(random_source) for _ in range(random_source.choice((0, 1, 1, 2, 2, 3, 4, 5)))]
        tell(type(value).__name__, name, [type(argument).__name__ for argument in arguments])
        with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
            found = getattr(value, name)
            if callable(found):
                found = found(*arguments)
            use(found)
        with contextlib.suppress(Exception):
            setattr(value, name, arguments[0] if arguments else None)


def use(found: Any) -> None:
    """Look at what a call gave."""
    repr(found)
    if isinstance(found, memoryview):
        found.tobytes()
    elif hasattr(found, "__next__"):
        for _, _ in zip(found, range(100), strict=False):
            pass


def call_functions(random_source: random.Random) -> None:
    """Call the functions of the modules."""
    for function in compiled_functions():
        for _ in range(400):
            arguments = [
                odd_values(random_source) for _ in range(random_source.choice((0, 1, 2, 2, 3, 4, 4, 5)))
            ]
            tell(function.__name__, [type(argument).__name__ for argument in arguments])
            with contextlib.suppress(Exception):
                use(function(*arguments))


def main() -> None:
    """Go through one class, by its number, or all functions, with a seed."""
    number, random_source = int(sys.argv[1]), random.Random(int(sys.argv[2]))
    if number == len(CLASSES):
        call_functions(random_source)
        return
    kind = CLASSES[number]
    for value in objects_of(kind, random_source):
        if not isinstance(value, Exception):  # errors are made to travel between processes
            take_apart(value)
        call_everything(value, random_source, 200)


CLASSES = list(compiled_classes())

if __name__ == "__main__":
    main()
