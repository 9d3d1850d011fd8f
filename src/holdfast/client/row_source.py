"""What a sender sends: rows with numbers, which can be found again after a connection was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from holdfast.client.errors import StreamMismatchError

if TYPE_CHECKING:
    from collections.abc import Generator

    from holdfast.domain.outcome import Outcome
    from holdfast.domain.settings import Settings
    from holdfast.io.rejects import Rejection

HEADER_BYTES_MAX = 64 * 1024
DIGEST_MODULUS = 1 << 64
"""Digests of rows are added modulo this."""


class RowSource(Protocol):
    """Rows of a stream, numbered from 1, in one or several parts that each need a connection and a header."""

    does_block: bool
    """Whether :meth:`seek` and :meth:`read` wait for a disk."""

    @property
    def is_ready(self) -> bool:
        """Whether there is something to begin a connection with."""

    @property
    def sent_row(self) -> int:
        """The last row that was read to be sent."""

    def use(self, settings: Settings) -> None:
        """Decode rows as the server does from here on."""

    def seek(self, row: int, digest: int | None) -> Generator[None, None, int | None]:
        """Let the next :meth:`read` begin with a header and the row after this one.

        The work is done in steps, so that it can be given up between them.

        Args:
            row: How many rows are decided.
            digest: Their digest, as the server says; None for a stream without a name, whose rows are not compared.

        Returns:
            The digest of those rows as they are here, None if that is not known.

        Raises:
            StreamMismatchError: If those rows are not the ones here.
            LostRowsError: If the row after them cannot be read again.
        """

    def read(self) -> bytes | memoryview | None:
        """Give the next bytes, valid until the next call; none at the end of the part, None if there are none yet."""

    def take_ack(self, row: int) -> None:
        """Learn that rows up to this one are decided."""

    def end_part(self) -> bool:
        """Learn that all rows of the part are decided; tell whether another part follows."""

    def find_rejection(self, row: int, outcome: Outcome) -> Rejection:
        """Look up a row that was refused, before it is acknowledged."""

    def close(self) -> None:
        """Close what is open."""


def check_digest(row: int, digest: int, expected: int | None) -> None:
    """Compare the digest of rows that the server has with that of the same rows here.

    Raises:
        StreamMismatchError: If they differ.
    """
    if expected is not None and digest != expected:
        raise StreamMismatchError(
            f"other content was sent under this name: the server has {row:,} rows of the stream, and they are not "
            f"the first {row:,} rows of this input; use one name per input",
            row,
        )


def too_few_rows(server_rows: int, input_rows: int) -> StreamMismatchError:
    """Make the error of an input that is shorter than what the server has of the stream."""
    return StreamMismatchError(
        f"other content was sent under this name: the server has {server_rows:,} rows of the stream, and this input "
        f"has {input_rows:,} rows; use one name per input",
        server_rows,
    )
