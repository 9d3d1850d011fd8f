from typing import Self, final

from typing_extensions import Buffer

from holdfast.kernel.csv_decoder import CsvDecoder
from holdfast.kernel.ledger import Ledger
from holdfast.kernel.tally import Tally

@final
class Inlet:
    def __new__(cls, ledger: Ledger, decoder: CsvDecoder, like: Tally) -> Self: ...
    @property
    def tally(self) -> Tally: ...
    @property
    def input_bytes(self) -> int: ...
    def take(self, data: Buffer) -> int: ...
    def finish(self) -> None: ...
