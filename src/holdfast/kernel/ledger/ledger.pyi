from typing import final

from holdfast.domain.origin import Origin
from holdfast.domain.settings import Settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.paged_state import PagedState
from holdfast.kernel.tally import Tally

@final
class LedgerCore(PagedState):
    def decide(
        self,
        batch: Batch,
        start: int = 0,
        stop: int = -1,
        tally: Tally | None = None,
        stream: str | Origin | None = None,
        position: int = 0,
    ) -> int: ...
    def apply_journaled(self, batch: Batch, journaled: bytes, start: int = 0, stop: int = -1) -> int: ...
    def use_huge_pages(self, is_wanted: bool) -> None: ...
    def unlock(self, client: int, note: object) -> None: ...
    def change_settings(self, settings: Settings, note: object) -> None: ...
    def note(self, note: object) -> None: ...
