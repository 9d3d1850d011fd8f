"""CSV with a header: what an input is if it is nothing else."""

from __future__ import annotations

from holdfast.io.formats.format import Format
from holdfast.kernel.csv.decoder import CsvDecoder

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from holdfast.domain.settings import Settings


def _begins(_head: bytes) -> bool:
    """Be sure of nothing: the header has to show it."""
    return False


def _new_decoder(settings: Settings, keep_source: bool) -> CsvDecoder:
    return CsvDecoder(settings, keep_source=keep_source)


CSV = Format("csv", (".csv",), ("text/csv",), _begins, _new_decoder)
