"""Exceptions that can be pickled, so that they cross from one process to another (``multiprocessing``, a cluster)."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Callable


class Picklable:
    """Makes an exception picklable whose constructor takes something else than its message.

    By default an exception is made again by calling its class with its message, which fails for such a class: a
    ``multiprocessing.Pool`` whose worker raises it then hangs. List it before the exception class among the bases.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...], *tuple[object, ...]]:
        made = super().__reduce__()
        assert isinstance(made, tuple)  # noqa: S101  # the text that object may give instead is for modules' globals
        _, arguments, *attributes = made
        return (_rebuild, (type(self), arguments), *attributes)


def _rebuild(cls: type[BaseException], arguments: tuple[object, ...]) -> BaseException:
    """Make an exception from what its built-in base class holds; its own attributes are set by pickle."""
    error = cls.__new__(cls, *arguments)
    builtin = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    builtin.__init__(error, *arguments)  # type: ignore[misc]  # that of an exception, not of object
    return error
