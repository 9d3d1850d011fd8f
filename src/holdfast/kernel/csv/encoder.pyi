from collections.abc import Generator
from typing import Final

from holdfast.kernel.ledger.image import Image

HEADER: Final[bytes]
CHUNK_ROWS: Final[int]
DECIMALS_MAX: Final[int]

def encode_accounts(image: Image, decimals: int = 4) -> Generator[bytes]: ...
