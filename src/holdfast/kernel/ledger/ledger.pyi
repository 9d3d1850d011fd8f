from typing import Final, Protocol, Self, final, type_check_only

from holdfast.domain.settings import Settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.image import Image
from holdfast.kernel.tally import Tally

SETTINGS_DEFAULT: Final[Settings]
ACCOUNTS_MAX: Final[int]

@type_check_only
class Recorder(Protocol):
    def record(
        self, batch: Batch, start: int, stop: int, sequence: int, stream: str | None, position: int, /
    ) -> object: ...

@final
class LedgerCore:
    def __new__(cls, settings: Settings = ..., *, huge_pages: bool = False) -> Self: ...
    @property
    def accounts(self) -> int: ...
    @property
    def decided(self) -> int: ...
    @property
    def recorded(self) -> int: ...
    def counts(self) -> tuple[int, int, int, int, int, int]: ...
    @property
    def locked_accounts(self) -> int: ...
    @property
    def transactions(self) -> int: ...
    @property
    def open_disputes(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    recorder: Recorder | None
    def decide(
        self,
        batch: Batch,
        start: int = 0,
        stop: int = -1,
        tally: Tally | None = None,
        stream: str | None = None,
        position: int = 0,
    ) -> int: ...
    def image(self) -> Image: ...
    def account(self, client: int) -> tuple[int, int, bool] | None: ...
