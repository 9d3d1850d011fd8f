from typing import Final, final

from typing_extensions import Buffer

from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.header import HeaderError

__all__ = ["CsvDecoder", "HeaderError"]

ROW_BYTES_DEFAULT: Final[int]
ROW_BYTES_MAX: Final[int]
EXCESS_DECIMALS: Final[tuple[str, ...]]
ID_BITS: Final[tuple[int, ...]]
DECIMALS_MAX: Final[int]

@final
class CsvDecoder:
    def __init__(
        self,
        *,
        decimals: int = 4,
        client_bits: int = 16,
        tx_bits: int = 32,
        row_bytes_max: int = ...,
        batch_rows: int = ...,
        excess_decimals: str = "refuse",
        keep_source: bool = False,
    ) -> None: ...
    @property
    def has_header(self) -> bool: ...
    @property
    def lines(self) -> int: ...
    @property
    def carried(self) -> int: ...
    def feed(self, data: Buffer) -> list[Batch]: ...
    def flush(self) -> Batch | None: ...
    def finish(self) -> Batch | None: ...
    def at(self, offset: int) -> CsvDecoder: ...
    def fresh(self) -> CsvDecoder: ...
