"""``NamedTuple`` for what every command imports: that of ``typing`` costs as much to import as a small job to do.

Type checkers are told that it is the one of ``typing``, and it is written in the same way::

    if TYPE_CHECKING:
        from typing import NamedTuple
    else:
        from holdfast.domain.named_tuples import NamedTuple
"""

from __future__ import annotations

from collections import namedtuple


class _Meta(type):
    """Makes a class with annotated fields into a named tuple that has the class's methods and docstring."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> type:
        if not bases:
            return super().__new__(mcs, name, bases, namespace)
        # Only the names matter: the annotations are text in a module that imports them from __future__.
        fields: dict[str, str] = namespace.pop("__annotations__")  # type: ignore[assignment]
        defaults = [namespace.pop(field) for field in fields if field in namespace]
        made = namedtuple(name, fields, defaults=defaults, module=str(namespace["__module__"]))  # type: ignore[misc]  # noqa: PYI024  # the fields are known when it runs
        for key, value in namespace.items():
            if key not in {"__module__", "__qualname__", "__classcell__"}:
                setattr(made, key, value)
        made.__annotations__ = fields
        made.__qualname__ = str(namespace["__qualname__"])
        return made


class NamedTuple(metaclass=_Meta):
    """A base class that makes its subclass a named tuple; ``typing.NamedTuple`` to type checkers."""
