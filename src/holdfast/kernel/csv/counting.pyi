from typing import final

from typing_extensions import Buffer

__all__ = ["RowCounter"]

@final
class RowCounter:
    @property
    def rows(self) -> int: ...
    def feed(self, data: Buffer) -> None: ...
