"""Reading what perf says."""

from __future__ import annotations

import pytest
from benchmarks.profile import Sample, parse_report, readable


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("__pyx_f_8holdfast_6kernel_6ledger_6Ledger_transfer", "kernel.ledger.Ledger.transfer"),
        ("__pyx_f_8holdfast_6kernel_7csv_row_parse_units.constprop.0", "kernel.csv_row.parse_units"),
        ("__pyx_pw_8holdfast_6kernel_5batch_5Batch_1from_columns", "kernel.batch.Batch.from_columns"),
        ("__pyx_f_8holdfast_6kernel_6ledger__probe.isra.0", "kernel.ledger._probe"),
        ("__memmove_avx_unaligned_erms", "__memmove_avx_unaligned_erms"),
    ],
)
def test_compiled_functions_have_their_source_names(symbol: str, name: str) -> None:
    """Cython's prefix and lengths and the compiler's suffixes are gone."""
    assert readable(symbol) == name


def test_report_is_read_line_by_line() -> None:
    """Comments and blank lines are not samples."""
    text = """\
# Samples: 1K of event 'cpu-clock'
#
# Overhead|Shared Object       |Symbol

 27.68% |ledger.so           |[.] __pyx_f_8holdfast_6kernel_6ledger_6Ledger_apply
  0.50% |[kernel.kallsyms]   |[k] clear_page
"""
    assert list(parse_report(text)) == [
        Sample(27.68, "ledger.so", "kernel.ledger.Ledger.apply"),
        Sample(0.5, "[kernel.kallsyms]", "clear_page"),
    ]
