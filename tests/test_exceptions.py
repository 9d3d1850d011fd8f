"""Every exception of the package crosses from one process to another as it is."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil

import pytest

import holdfast
from holdfast.domain.outcome import Outcome
from holdfast.engine.report import Report
from holdfast.io.rejects import Rejection
from holdfast.net.address import Address
from holdfast.protocol.messages import ErrorCode

REJECTION = Rejection("a.csv", 2, 22, Outcome.INVALID_AMOUNT, b"deposit,1,1,1e5")
SAMPLES: dict[str, object] = {
    "ConnectionFault | None": importlib.import_module("holdfast.client").ConnectionFault.TLS_REQUIRED,
    "bool | None": True,
    "str": "what happened",
    "int": 7,
    "object": "1e5",
    "Outcome": Outcome.INVALID_AMOUNT,
    "Rejection | None": REJECTION,
    "Settings": holdfast.make_settings(client_bits=32),
    "Report": holdfast.Engine().process(b"type,client,tx,amount\ndeposit,1,1,1e5\n"),
    "ErrorCode": ErrorCode.BAD_HEADER,
    "Address": Address("127.0.0.1", 7070),
    "OSError": OSError(28, "No space left on device", "accounts.csv"),
}
"""A value for every type that a constructor takes; a new exception may need one more."""


def exception_classes() -> list[type[BaseException]]:
    """Find all exception classes that the package defines, in all of its modules."""
    found = set()
    for module in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
        if module.name == "holdfast.__main__":
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, BaseException)
                and value.__module__.startswith("holdfast")
            ):
                found.add(value)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


CLASSES = exception_classes()


def make(cls: type[BaseException]) -> BaseException:
    """Make an exception with a sample for each of its arguments."""
    if not any("__init__" in vars(base) for base in cls.__mro__ if base.__module__ != "builtins"):
        return cls(32, "what happened", "accounts.csv") if issubclass(cls, OSError) else cls("what happened")
    parameters = inspect.signature(cls).parameters.values()
    named = {each.name: SAMPLES[each.annotation] for each in parameters if each.kind is each.KEYWORD_ONLY}
    return cls(
        *(SAMPLES[each.annotation] for each in parameters if each.kind is not each.KEYWORD_ONLY), **named
    )


def facts(error: BaseException) -> dict[str, object]:
    """Give all that an exception says: its text, its attributes, and those that OSError keeps to itself."""
    known = ("errno", "strerror", "filename", "filename2")
    return {"text": str(error), "args": error.args, **vars(error)} | {
        name: getattr(error, name, None) for name in known
    }


def test_the_exceptions_are_found() -> None:
    """The walk finds what is known to exist in every layer: nothing below passes for want of classes."""
    names = {cls.__name__ for cls in CLASSES}
    assert {
        "AmountError",
        "InputError",
        "PolicyAbort",
        "ServerError",
        "WireError",
        "JobError",
        "TokenFileError",
    } <= names


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_exceptions_are_pickled(cls: type[BaseException], protocol: int) -> None:
    """Pickled and unpickled an exception says the same, in text and in attributes."""
    error = make(cls)
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # our own
    assert type(again) is cls
    assert facts(again) == facts(error)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_exceptions_are_copied(cls: type[BaseException], copied: object) -> None:
    """The same for copies."""
    error = make(cls)
    assert callable(copied)
    assert facts(copied(error)) == facts(error)


def test_an_attribute_set_later_is_kept() -> None:
    """The report that a sender's error carries, and notes, cross as well."""
    error = make(importlib.import_module("holdfast.client").ServerError)
    error.report = SAMPLES["Report"]  # type: ignore[attr-defined]  # it has one
    error.add_note("while sending Monday's file")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    assert isinstance(again.report, Report)
    assert again.__notes__ == error.__notes__


class OwnError(holdfast.InputError):
    """A program's own error, with arguments of its own."""

    def __init__(self, partner: str) -> None:
        super().__init__("a.csv", f"what {partner} sent is late")
        self.partner = partner


def test_a_subclass_needs_nothing() -> None:
    """A class that is derived from one of ours is pickled as well, whatever its constructor takes."""
    again = pickle.loads(pickle.dumps(OwnError("Ann")))  # noqa: S301  # our own
    assert facts(again) == facts(OwnError("Ann"))


def fold(data: bytes) -> int:
    """Fold an input in a process of its own."""
    return holdfast.Engine().process(data, policy=holdfast.parse_policy("abort")).rows


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"hello,world\n", holdfast.InputError), (b"type,client,tx,amount\nx,1,1,1\n", holdfast.PolicyAbort)],
)
def test_a_pool_hands_an_exception_back(data: bytes, error: type[Exception]) -> None:
    """A worker's exception arrives: a pool waits for ever for one that cannot be unpickled."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(error):
            pool.apply_async(fold, (data,)).get(timeout=60)
        pool.close()
        pool.join()
