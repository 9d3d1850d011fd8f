"""The formats that there are, and how one is found: by name, suffix, media type or first bytes.

A new format is a module beside this one and an entry in :data:`FORMATS`.
"""

from __future__ import annotations

from holdfast.io.compression import without_suffix
from holdfast.io.formats.csv import CSV
from holdfast.io.formats.ndjson import NDJSON

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from holdfast.io.formats.format import Format

FORMATS = (CSV, NDJSON)


def find_format(name: str) -> Format:
    """Find a format by its name.

    Raises:
        ValueError: If there is none; the message names those that there are.
    """
    for each in FORMATS:
        if each.name == name:
            return each
    raise ValueError(f"there is no format {name!r}; there are {' and '.join(each.name for each in FORMATS)}")


def format_of_file(name: str) -> Format | None:
    """Find a format by the suffix of a file's name, also before that of a compression; None if it says nothing."""
    plain = without_suffix(name.lower())
    return next((each for each in FORMATS if plain.endswith(each.suffixes)), None)


def format_of_media_type(text: str) -> Format | None:
    """Find a format by a media type, whose parameters do not count; None if it is that of no format."""
    media_type = text.partition(";")[0].strip().lower()
    return next((each for each in FORMATS if media_type in each.media_types), None)


def format_of_bytes(head: bytes) -> Format | None:
    """Find a format by the first bytes of an input; None if more of them are needed to tell."""
    answers = [(each.begins(head), each) for each in FORMATS]
    for answer, each in answers:
        if answer:
            return each
    return None if any(answer is None for answer, _ in answers) else CSV
