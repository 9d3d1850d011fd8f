from collections.abc import Sequence

from typing_extensions import Buffer

def export_columns(
    rows: int, columns: Sequence[tuple[str, str, Buffer | None, Buffer, Buffer | None]]
) -> object: ...
