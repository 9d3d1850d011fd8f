"""The README's tables: one line for each figure that has a bar, and no two lines that read the same."""

from __future__ import annotations

from typing import Any

from benchmarks.readme import figures_section
from benchmarks.report import Figure, describe_machine

FIGURES = [
    Figure("50 M recorded, dense ids, median batch", 0.2, "ms"),
    Figure("50 M recorded, dense ids, slowest / median batch", 0.7, "ms", 3.24, "growth"),
    Figure("50 M recorded, sparse ids, slowest / median batch", 2.9, "ms", 6.77, "growth"),
    Figure("65,536 accounts: taking an image", 0.0025, "ms", bar="image-small"),
]


def document() -> dict[str, Any]:
    """Make what a file of results holds."""
    fields = ("what", "value", "unit", "ratio", "bar")
    return {
        "machine": describe_machine(),
        "repeats": 5,
        "figures": [{field: getattr(figure, field) for field in fields} for figure in FIGURES],
    }


def test_lines_tell_figures_apart_that_share_a_bar() -> None:
    """Figures of one bar are told apart by their differing words; a single figure needs only its bar."""
    lines = [line for line in figures_section(document(), "newest.md").splitlines() if line.startswith("|")]
    bar = "slowest batch while 50 M transactions are recorded, times the median batch"
    assert lines[2:] == [
        f"| {bar}, dense ids | 3.24 \u00d7 | ≤ 20 \u00d7 | ≤ 5 \u00d7 |",
        f"| {bar}, sparse ids | 6.77 \u00d7 | ≤ 20 \u00d7 | ≤ 5 \u00d7 |",
        "| taking an image of 65,536 accounts | 0.0025 ms | ≤ 1 ms |  |",
    ]


def test_figures_that_sum_others_up_stand_for_them() -> None:
    """Of hostile senders the README names the worst alone."""
    figures = [
        Figure("slow, asyncio: ack latency, slowest", 12.0, "ms", bar="hostile-ack"),
        Figure("churn, asyncio: ack latency, slowest", 106.0, "ms", bar="hostile-ack"),
        Figure("all kinds: ack latency, slowest", 106.0, "ms", bar="hostile-ack"),
    ]
    fields = ("what", "value", "unit", "ratio", "bar")
    entries = [{field: getattr(figure, field) for field in fields} for figure in figures]
    text = figures_section({**document(), "repeats": 1, "figures": entries}, "newest.md")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[2:] == [
        "| slowest ack of an honest sender beside hostile ones | 106 ms | ≤ 250 ms | ≤ 50 ms |"
    ]
    assert "One run on " in text
