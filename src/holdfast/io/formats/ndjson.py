"""NDJSON, one object a line, also called JSON Lines."""

from __future__ import annotations

from holdfast.io.formats.format import Format

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from holdfast.domain.settings import Settings
    from holdfast.kernel.ndjson.decoder import NdjsonDecoder

_MARK = b"\xef\xbb\xbf"


def _begins(head: bytes) -> bool | None:
    """Look for an object with a key in the first line: no usable header of a CSV has a quote there."""
    if len(head) < len(_MARK) and _MARK.startswith(head):
        return None
    text = head.removeprefix(_MARK).lstrip(b" \t\r\n")
    if not text.startswith(b"{"):
        return False if text else None
    rest = text[1:].lstrip(b" \t\r")
    return rest.startswith(b'"') if rest else None


def _new_decoder(settings: Settings, keep_source: bool) -> NdjsonDecoder:
    from holdfast.kernel.ndjson.decoder import NdjsonDecoder  # noqa: PLC0415  # other formats do without

    return NdjsonDecoder(settings, keep_source=keep_source)


NDJSON = Format(
    "ndjson",
    (".ndjson", ".jsonl"),
    ("application/x-ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines"),
    _begins,
    _new_decoder,
)
