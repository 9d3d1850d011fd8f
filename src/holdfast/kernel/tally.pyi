from typing import Final, final

BUILD: Final[str]
CONTINUE: Final = 0
STOP: Final = 1
BUDGET: Final = 2
CODES: Final[dict[str, int]]
TYPE_CODES: Final[dict[str, int]]

@final
class Tally:
    def __init__(
        self,
        actions: bytes = ...,
        *,
        budget_rows: int = ...,
        budget_ppm: int = 0,
        budget_from_rows: int = 0,
    ) -> None: ...
    @property
    def rows(self) -> int: ...
    @property
    def budgeted(self) -> int: ...
    @property
    def is_stopped(self) -> bool: ...
    @property
    def applied(self) -> int: ...
    @property
    def refused(self) -> int: ...
    def refused_by_code(self) -> dict[int, int]: ...
    @property
    def exceeds_budget(self) -> bool: ...
    def may_stop(self) -> bool: ...
