"""Names of a package that are imported when they are first used, so that importing the package costs next to nothing."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package.

    Args:
        package: The package's name.
        homes: The module below ``holdfast`` that each name comes from.
    """

    def get_name(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415  # the package itself needs nothing

        value: object = getattr(import_module(f"holdfast.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def list_names() -> list[str]:
        # What is public, and what every module has; not what the package itself uses.
        return sorted({*(name for name in vars(sys.modules[package]) if name.startswith("__")), *homes})

    return get_name, list_names
