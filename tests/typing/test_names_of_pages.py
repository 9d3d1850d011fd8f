"""What the pages name can be imported from the public packages."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import holdfast
import holdfast.client
import holdfast.server
import holdfast.streaming

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")) if path.stem != "design"),
]
"""The pages for users; the design page speaks of what is inside."""
PUBLIC = {*holdfast.__all__, *holdfast.streaming.__all__, *holdfast.client.__all__, *holdfast.server.__all__}


def classes() -> dict[str, str]:
    """Find every class of the package, and where it is."""
    found: dict[str, str] = {}
    for module in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
        if module.name == "holdfast.__main__":
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if (
                isinstance(value, type)
                and value.__module__.startswith("holdfast")
                and not name.startswith("_")
            ):
                found.setdefault(name, value.__module__)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_public(page: str) -> None:
    """A class in backticks is in the ``__all__`` of one of the public packages."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(
        re.findall(r"`(?:holdfast\.)?(?:streaming\.|client\.|server\.)?([A-Z][A-Za-z]+)(?=[(`.])", text)
    )
    inside = {name: home for name, home in classes().items() if name in named and name not in PUBLIC}
    assert not inside


def test_pages_name_classes() -> None:
    """The search finds what is known to be there: the test above does not pass for want of names."""
    assert "`Engine`" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert {"Engine", "StreamProcessor", "Batch"} <= set(classes())
