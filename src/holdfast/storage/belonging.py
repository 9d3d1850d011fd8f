"""What belongs to the process that opened it, and has to be closed: it says so if either is forgotten."""

from __future__ import annotations

import os
import warnings
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast.storage.failures import ProcessForkedError
from holdfast.storage.ports import StoreError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import NoReturn, Self

    from holdfast.storage.ports import Reader, Store

_open: weakref.WeakSet[Belonging] = weakref.WeakSet()
# A ledger that is dropped is garbage together with all that only it has; its reader is not, and does not complain of itself.
_readers: set[Reader] = set()


class Foreign:
    """Stands for a part of a ledger in a child of the process that opened it: whatever is asked of it, it says whose it is.

    Threads of the parent may have held locks of the real part when the child was made; nobody would ever release them.

    Args:
        name: The ledger.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> NoReturn:
        raise ProcessForkedError(self._name)


class Belonging:
    """A ledger: it belongs to one process, which closes it."""

    _is_closed = True
    _is_foreign = False
    _parts: tuple[str, ...] = ()
    """The attributes that are foreign to a child of the process that opened it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back; closing again does nothing."""
        raise NotImplementedError

    def _opened(self, reader: Reader) -> None:
        """Take note that there is something to close now."""
        self._is_closed = False
        _open.add(self)
        _readers.add(reader)

    def _disown(self) -> None:
        """Take note that this is a child of the process that opened it."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Give everything back, without waiting and without any lock: a garbage collection may come at any moment."""
        raise NotImplementedError

    def __del__(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            try:
                warnings.warn(
                    f"{self.name} was never closed: close() it, or use it as a context manager",
                    ResourceWarning,
                    stacklevel=2,
                    source=self,
                )
            finally:
                self._abandon()


def give_back(reader: Reader, store: Store) -> None:
    """Close what a ledger has."""
    _readers.discard(reader)
    try:
        reader.close()
    finally:
        store.close()


def give_back_quietly(reader: Reader, store: Store) -> None:
    """Close what a ledger that is gone has left; there is nobody whom an error would help."""
    with suppress(StoreError):
        give_back(reader, store)


def _disown_all() -> None:
    for each in list(_open):
        each._is_closed = each._is_foreign = True  # noqa: SLF001  # its own room
        for part in each._parts:  # noqa: SLF001
            setattr(each, part, Foreign(each.name))
        each._disown()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
