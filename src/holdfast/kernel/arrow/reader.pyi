from collections.abc import Mapping
from typing import Final, Never, final

from holdfast.domain.settings import Settings
from holdfast.kernel.batch import Batch

EXCESS_DECIMALS: Final[tuple[str, ...]]
KNOWN: Final[tuple[str, ...]]

class TableError(ValueError): ...

@final
class TableReader:
    def __init__(self, _read_stream_makes_one: Never, /) -> None: ...
    @property
    def rows(self) -> int: ...
    def next_batch(self) -> Batch | None: ...
    def close(self) -> None: ...

def read_stream(
    capsule: object, settings: Settings, columns: Mapping[str, str] | None = None, *, in_units: bool = False
) -> TableReader: ...
def read_array(
    schema: object,
    array: object,
    settings: Settings,
    columns: Mapping[str, str] | None = None,
    *,
    in_units: bool = False,
) -> TableReader: ...
