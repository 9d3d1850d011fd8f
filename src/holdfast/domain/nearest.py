"""What somebody who mistyped a name may have meant."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Iterable


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that is most like another one; None if none is."""
    from difflib import get_close_matches  # noqa: PLC0415  # only once something went wrong

    return next(iter(get_close_matches(name, list(known), 1)), None)
