"""The programs of docs/tables.md, where the libraries that they use are installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def programs() -> list[str]:
    """List the Python blocks of the page."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("program", programs(), ids=lambda program: re.sub(r"\W+", "-", program[-40:]))
def test_programs_run(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a program by itself."""
    for module in ("duckdb", "pandas", "polars", "pyarrow", "nanoarrow"):
        if f"import {module}" in program:
            pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, PAGE.name, "exec"), {"__name__": "__main__"})  # noqa: S102  # our own page
