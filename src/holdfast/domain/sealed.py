"""Values that refuse every change with the same error.

``@dataclass(frozen=True, slots=True)`` creates the class a second time to give it slots, but its ``__setattr__`` refers to
the first one: setting what is no field, or any attribute of a subclass, ends in a TypeError about ``super()``.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


def sealed(cls: type[Value]) -> type[Value]:
    """Let a frozen dataclass and its subclasses refuse every change with ``FrozenInstanceError``; goes above ``@dataclass``."""
    refusals: dict[str, Callable[..., NoReturn]] = {
        "__setattr__": _refuse_to_set,
        "__delattr__": _refuse_to_delete,
    }
    for name, refusal in refusals.items():
        setattr(cls, name, refusal)
    return cls


def _refuse_to_set(self: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"{type(self).__name__} cannot be changed: {name!r} is not assigned to")


def _refuse_to_delete(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"{type(self).__name__} cannot be changed: {name!r} is not deleted")
