from typing import Final

VERSION: Final[int]
FIELDS: Final[tuple[str, ...]]
