"""The front that blocks: a thin layer over what is awaited, which runs on a loop in a thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.client.blocking_sender import BlockingSender
from holdfast.client.inputs import find_pipe, list_files, take_first
from holdfast.client.options import Limits, make_options
from holdfast.client.rows import HEADER, TRANSACTION_TYPES, encode_any
from holdfast.client.sender import Hooks

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from holdfast.client.blocking_sender import GivenRows
    from holdfast.client.report import RefusedRow, SendReport
    from holdfast.domain.transaction import Transaction
    from holdfast.io.input_types import Input
    from holdfast.net.address import Address


def send(
    source: Input | Iterable[Transaction] | list[str],
    to: str | Address,
    *,
    stream: str | None = None,
    token: str | None = None,
    tls: bool | ssl.SSLContext = False,
    decimals: int = 4,
    on_refused: Callable[[RefusedRow], object] | None = None,
    limits: Limits = Limits(),  # noqa: B008  # a tuple
) -> SendReport:
    """Send an input and wait until the server has decided all of it.

    A stream with a name survives lost connections and restarts of this process: rows that the server has are compared
    with those of the input and not sent again. Call it again with the same input and name, and it goes on where it ended.

    Args:
        source: A path, bytes, a binary file, an iterable of bytes, compressed or not; or an iterable of transactions;
            or a list of paths, which are one stream, their rows numbered on.
        to: ``host:port``.
        stream: The name under which the server remembers how far the stream got. Use one name per input.
        token: What the server wants to see.
        tls: Whether to use TLS and verify the server, or a context that says how (:func:`make_tls_context`).
        decimals: How many decimals the server keeps, for transactions whose amount is given in units.
        on_refused: Is called for each row that is not applied, in order, in this thread.
        limits: Times and sizes.

    Raises:
        SendError: If not all was taken; its ``report`` says how far it got.
        OSError: If the input cannot be read.
    """
    options = make_options(to, stream=stream, token=token, tls=tls, limits=limits)
    files = list_files(source)
    pipe = None if files is not None else find_pipe(source)
    first, rest = (None, source) if files is not None or pipe is not None else take_first(source)
    with BlockingSender(options, Hooks(on_refused=on_refused)) as sender:
        if files is not None:
            return sender.send_files(files)
        if pipe is not None:
            return sender.send_pipe(pipe)
        if isinstance(first, TRANSACTION_TYPES):
            return sender.send_transactions(rest, decimals)  # type: ignore[arg-type]  # the first was one
        return sender.send_input(rest)  # type: ignore[arg-type]  # no transactions


class Client:
    """Sends rows as they come about, from one thread; a context manager.

    Rows go out when they are given; they are kept until the server has decided them, and sent again after a lost
    connection if the stream has a name. A thread of its own keeps the connection: it reads replies, reconnects and keeps
    an idle stream alive between calls. After a fork, the child process needs a client of its own.

    Args:
        to: ``host:port``.
        stream: The name under which the server remembers how far the stream got.
        first_row: The number of the first row that will be given: those that the server has are compared and left out.
            None: the rows that will be given come after those that it has (:attr:`resumed_at`).
        header: The columns of rows that are given as bytes.
        decimals: How many decimals the server keeps, for amounts given in units.
        token: What the server wants to see.
        tls: Whether to use TLS and verify the server, or a context that says how.
        on_refused: Is called for each row that is not applied, in order, in the caller's thread, during the calls.
        limits: Times and sizes.
    """

    def __init__(
        self,
        to: str | Address,
        *,
        stream: str | None = None,
        first_row: int | None = None,
        header: bytes = HEADER,
        decimals: int = 4,
        token: str | None = None,
        tls: bool | ssl.SSLContext = False,
        on_refused: Callable[[RefusedRow], object] | None = None,
        limits: Limits = Limits(),  # noqa: B008  # a tuple
    ) -> None:
        options = make_options(to, stream=stream, token=token, tls=tls, limits=limits)
        self._sender = BlockingSender(options, Hooks(on_refused=on_refused))
        self._rows: GivenRows | None = None
        self._report: SendReport | None = None
        self._first_row = first_row
        self._header = header
        self._decimals = decimals

    def __enter__(self) -> Self:
        try:
            self._begun().open()
        except BaseException:
            self._sender.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._sender.close()

    @property
    def resumed_at(self) -> int:
        """How many rows the stream had when it was opened."""
        return 0 if self._sender.state is None else self._sender.state.resumed_at

    @property
    def acked(self) -> int:
        """The number of the last row that is known to be decided."""
        return 0 if self._sender.state is None else self._sender.state.acked

    def send(self, rows: Transaction | Iterable[Transaction] | bytes) -> int:
        """Send rows; wait only while more is kept than may be.

        Args:
            rows: A transaction, several, or rows of CSV as bytes (without a header; the last line end may be missing).

        Returns:
            The number of the last row.

        Raises:
            SendError: If the stream has ended.
        """
        for encoded in encode_any(rows, self._header, self._decimals):
            self._begun().put(encoded)
        return self._begun().last_row

    def flush(self) -> int:
        """Wait until every row that was sent is decided; give the number of the last one.

        Raises:
            SendError: If the stream has ended.
        """
        return self._begun().flush()

    def close(self) -> SendReport:
        """Wait until every row is decided, end the connection and give the report.

        Raises:
            SendError: If that cannot be.
        """
        if self._report is None:
            try:
                self._report = self._begun().finish()
            finally:
                self._sender.close()
        return self._report

    def report(self) -> SendReport:
        """Say how far the stream got."""
        if self._report is not None:
            return self._report
        self._begun()
        report = self._sender.report()
        assert report is not None  # noqa: S101  # it has begun
        return report

    def _begun(self) -> GivenRows:
        if self._rows is None:
            self._rows = self._sender.begin("<rows>", header=self._header, first_row=self._first_row)
        return self._rows
