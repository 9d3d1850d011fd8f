"""All accounts at one point in time: iterate, look up, write."""

from __future__ import annotations

import os
from operator import index

from holdfast.io.descriptors import write_whole
from holdfast.io.table import Table
from holdfast.kernel.csv.encoder import encode_accounts

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from holdfast.domain.account import Account
    from holdfast.kernel.arrow.accounts import OrderedAccounts
    from holdfast.kernel.ledger.image import Image

_ROWS_AT_ONCE = 4096
_ROWS_SHOWN = 5


class Accounts(Table):
    """An image of the accounts, which never changes, whatever the engine does next. ``Engine.accounts()`` makes one.

    It is a table for every library that reads Arrow: ``client`` (uint64), ``available``, ``held`` and ``total`` (decimal128) and
    ``locked`` (bool), sorted by client. It is no sequence, since ``accounts[7]`` is the account of client 7.

    Args:
        image: The kernel's image.
        decimals: How many decimals amounts have.
        sequence: How many rows the engine had decided when it was taken.
    """

    def __init__(self, image: Image, decimals: int, sequence: int) -> None:
        self._image = image
        self._decimals = decimals
        self.sequence = sequence

    @property
    def locked_accounts(self) -> int:
        """How many of the accounts are locked."""
        return self._image.locked_accounts

    def __repr__(self) -> str:
        """Show how many there are, and the first of them."""
        title = f"<Accounts: {len(self)} ({self.locked_accounts} locked), after {self.sequence} rows>"
        return "\n".join([title, *self._shown_rows()])

    def _shown_rows(self) -> list[str]:
        from itertools import islice  # noqa: PLC0415  # only a prompt shows accounts

        rows = [
            (str(each.client), str(each.available), str(each.held), str(each.total), str(each.locked).lower())
            for each in islice(self, _ROWS_SHOWN)
        ]
        if not rows:
            return []
        rows.insert(0, ("client", "available", "held", "total", "locked"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        return lines if len(self) <= _ROWS_SHOWN else [*lines, f"  {'…'.rjust(widths[0])}"]

    def __len__(self) -> int:
        return len(self._image)

    def __iter__(self) -> Iterator[Account]:
        """Go through the accounts in order of their clients."""
        from holdfast.domain.account import Account  # noqa: PLC0415  # dataclasses are slow to import; the command needs none

        for start in range(0, len(self._image), _ROWS_AT_ONCE):
            for client, available, held, locked in self._image.rows(start, start + _ROWS_AT_ONCE):
                yield Account(client, available, held, locked, self._decimals)

    def __contains__(self, client: object) -> bool:
        return hasattr(client, "__index__") and self._image.find(index(client)) is not None

    def __getitem__(self, client: int) -> Account:
        """Look a client's account up.

        Raises:
            KeyError: If the client has none.
        """
        account = self.get(client)
        if account is None:
            raise KeyError(client)
        return account

    def get(self, client: int) -> Account | None:
        """Look a client's account up, or give None.

        Raises:
            TypeError: If the client is no integer.
        """
        from holdfast.domain.account import Account  # noqa: PLC0415  # see above

        client = index(client)
        found = self._image.find(client)
        return None if found is None else Account(client, *found, self._decimals)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give an Arrow stream of the accounts, in a PyCapsule; each call gives a new one, from the first account on."""
        return self._ordered().export(self._decimals)

    def _ordered(self) -> OrderedAccounts:
        from holdfast.kernel.arrow.accounts import order_accounts  # noqa: PLC0415  # the command writes CSV

        return order_accounts((self._image,))

    def chunks(self) -> Iterator[bytes]:
        """Give the accounts as CSV, in pieces of whole rows, beginning with the header."""
        return encode_accounts(self._image, self._decimals)

    def to_csv(self) -> bytes:
        """Give the accounts as CSV: ``client,available,held,total,locked``, sorted by client."""
        return b"".join(self.chunks())

    def write_csv(self, target: str | os.PathLike[str] | BinaryIO) -> None:
        """Write the accounts as CSV.

        Args:
            target: A path, or a file open for bytes. The file at a path is replaced when all is written and safely on disk
                (:mod:`holdfast.io.outputs`); a pipe, a device or another special file is written through.

        Raises:
            OSError: If it cannot be written; an existing file is then unchanged.
        """
        if isinstance(target, str | os.PathLike):
            from holdfast.io.outputs import Output  # noqa: PLC0415  # the command opens its outputs itself

            with Output(os.fsdecode(target)) as file:
                self.write_csv(file)
            return
        for chunk in self.chunks():
            write_whole(target, chunk)
