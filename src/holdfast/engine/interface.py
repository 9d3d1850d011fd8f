"""The interface that streams, servers and commands need of an engine. Shards have it too, and so can a durable ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.domain.outcome import Outcome
    from holdfast.domain.settings import Settings
    from holdfast.domain.transaction import Transaction
    from holdfast.engine.accounts import Accounts
    from holdfast.engine.streams import KnownStream
    from holdfast.engine.totals import Totals
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.csv.decoder import CsvDecoder
    from holdfast.kernel.inlet import Decide


class EngineFullError(Exception):
    """An engine takes no more rows for now: nothing was decided, and the same can be done later."""


class AnyEngine(Protocol):
    """Decides rows and keeps accounts."""

    @property
    def settings(self) -> Settings:
        """Rules, widths and limits."""

    @property
    def decide(self) -> Decide:
        """The one way in: decide rows of a batch, count them in a tally, and give the first row that was not decided."""

    @property
    def decide_present(self) -> Decide | None:
        """The same, but it ends before a row that needs what is not in memory; None if everything always is.

        Whoever must not wait for a disk calls this, has :meth:`load_pages` run in another thread, and goes on.
        """

    def wanted_pages(self, batch: Batch, start: int, stop: int) -> list[int]:
        """List what rows of a batch need and is not in memory, as much as there is room for at a time."""

    def load_pages(self, pages: Sequence[int]) -> None:
        """Bring it into memory; any thread may call this."""

    @property
    def decided(self) -> int:
        """How many rows are decided: the watermark of what is in memory."""

    @property
    def durable(self) -> int:
        """How many decided rows a crash would not lose: the watermark of what may be promised."""

    @property
    def failure(self) -> BaseException | None:
        """Why nothing is decided any more; None while all is well."""

    @property
    def is_congested(self) -> bool:
        """Whether so much is decided and not durable that whoever brings rows should wait until :meth:`on_durable` calls."""

    def find_stream(self, name: str) -> KnownStream | None:
        """Give the position of a named stream; None if no row of it is known."""

    def on_durable(self, callback: Callable[[], None], *, leads: bool = False) -> Callable[[], None]:
        """Call a function, from any thread, whenever the durable watermark has risen or there is a failure.

        Args:
            callback: The function.
            leads: Whether its owner calls :meth:`commit_now` when somebody waits for rows; others are committed now and then.

        Returns:
            A function that ends this.
        """

    def commit_now(self) -> None:
        """Have what is decided made durable now; it is not waited for."""

    def wait_durable(self) -> bool:
        """Block until all decided rows are durable."""

    def wait_for_room(self) -> None:
        """Block while the engine is congested."""

    def apply(self, transaction: Transaction) -> Outcome:
        """Apply one transaction; give its outcome once that is durable."""

    def accounts(self) -> Accounts:
        """Take an image of all accounts; give it once its rows are durable."""

    def decided_accounts(self) -> Accounts:
        """Take an image of all accounts, at once."""

    def totals(self) -> Totals:
        """Count accounts, transactions and rows."""

    def new_decoder(self, *, keep_source: bool) -> CsvDecoder:
        """Make a decoder with these settings."""

    @property
    def records_origins(self) -> bool:
        """Whether it keeps where rows come from: then an :class:`Origin` may be in the place of a stream's name."""

    @property
    def spreads_sources(self) -> bool:
        """Whether a source's name decides which engine gets its rows; see :meth:`engine_of`."""

    def engine_of(self, source_name: str) -> AnyEngine:
        """Give the engine for the rows of a source."""
