"""The pages say what the code does: their tables are compared with it, their examples are applied."""

from __future__ import annotations

import re
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import holdfast
import holdfast.streaming
from holdfast.domain.amount import format_units
from holdfast.domain.outcome import Outcome, Severity
from holdfast.domain.rules import CARDS, KNOBS, STANDARD, make_rules, read_rules
from holdfast.domain.settings import ROW_BYTES_DEFAULT, ROW_BYTES_MAX, make_settings
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.routing import SHARDS_MAX
from holdfast.streaming.processor import READERS_MAX, REPORTS_MAX, SOURCES_MAX

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
LINKING_PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    *(f"docs/{page}" for page in PAGES),
]
EXAMPLES = [(knob, value) for knob, values in KNOBS.items() for value in values]


def read(name: str) -> str:
    """Give the text of a page."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Give what stands under a heading, up to the next one that is no deeper."""
    level = heading.split(" ", maxsplit=1)[0]
    _, found, rest = f"\n{text}".partition(f"\n{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str) -> list[list[str]]:
    """Give the cells of a text's first table, without its heading and without backticks around a cell."""
    lines = dropwhile(lambda line: not line.startswith("|"), text.splitlines())
    rows = [line.strip("|").split("|") for line in takewhile(lambda line: line.startswith("|"), lines)]
    return [[re.sub(r"^`([^`]*)`$", r"\1", cell.strip()) for cell in row] for row in rows[2:]]


def test_outcomes_stand_in_order_of_precedence() -> None:
    """The table of outcomes has every one, in order, with its number, phase, severity and explanation."""
    rows = [[*row[:4], row[5]] for row in table(section(read("rules.md"), "## Outcomes"))]
    assert rows == [
        [outcome.phase.value, outcome.name, str(outcome.value), outcome.severity.value, outcome.explanation]
        for outcome in Outcome
    ]


def test_severities_are_listed() -> None:
    """So are the severities."""
    text = section(read("rules.md"), "## Outcomes").split("The severity", maxsplit=1)[1]
    assert [row[0] for row in table(text)] == [severity.value for severity in Severity]


def test_transaction_types_are_listed() -> None:
    """And the five transactions."""
    rows = table(section(read("rules.md"), "## The five transactions"))
    assert [row[0] for row in rows] == [type_.name.lower() for type_ in TransactionType]


def test_knobs_are_listed() -> None:
    """The table of knobs has every one with its profiles and its values, and a section about each."""
    text = read("rules.md")
    rows = [
        [re.sub(r"\[`(\w+)`\]\(#\1\)", r"\1", cell) for cell in row]
        for row in table(section(text, "## Profiles"))
    ]
    assert [row[:3] for row in rows] == [
        [knob, getattr(STANDARD, knob), getattr(CARDS, knob)] for knob in KNOBS
    ]
    assert [set(row[3].split(", ")) for row in rows] == [set(values) for values in KNOBS.values()]
    assert re.findall(r"^### `(\w+)`$", text, re.MULTILINE) == list(KNOBS)


@pytest.mark.parametrize(("knob", "value"), EXAMPLES)
def test_example_of_a_knob(knob: str, value: str) -> None:
    """What the page says becomes of the example's last row and of client 1 is what becomes of them."""
    text = section(read("rules.md"), f"### `{knob}`")
    shown = {row[0]: row[1:] for row in table(text)}
    rows = re.search(r"```csv\n(.*?)```", text, re.DOTALL)
    assert rows is not None
    assert list(shown) == list(KNOBS[knob])
    rules = make_rules({knob: value})
    decoder = CsvDecoder(make_settings(make_rules({"excess_decimals": rules.excess_decimals})))
    assert decoder.feed(rows[1].encode()) == []
    batch = decoder.finish()
    assert isinstance(batch, Batch)
    ledger = LedgerCore(make_settings(rules))
    ledger.decide(batch)
    assert shown[value] == [Outcome(batch.outcomes[-1]).name, *balances(ledger)]
    # All that comes before is there to lead up to it.
    assert {Outcome.APPLIED, Outcome.INSUFFICIENT_FUNDS} >= {
        Outcome(code) for code in list(batch.outcomes)[:-1]
    }


def balances(ledger: LedgerCore) -> list[str]:
    """Write client 1's account as the page does."""
    found = ledger.account(1)
    if found is None:
        return ["none", "none", "none"]
    available, held, locked = found
    return [format_units(available), format_units(held), str(locked).lower()]


def test_limits_are_the_codes() -> None:
    """The limit for rows is what the pages say."""
    assert f"{ROW_BYTES_DEFAULT:,} bytes" in read("rules.md")
    assert (
        f"{ROW_BYTES_DEFAULT:,} bytes without the line end, configurable from 1 to {ROW_BYTES_MAX:,}"
        in read("csv.md")
    )


def test_limits_of_streams_are_the_codes() -> None:
    """So are the limits of streams that can be set."""
    rows = [row[1:] for row in table(section(read("streaming.md"), "## What is bounded"))]
    shown = {set_by: limit for limit, set_by in rows if set_by}
    for option, limit in (
        ("readers_max", READERS_MAX),
        ("sources_max", SOURCES_MAX),
        ("reports_max", REPORTS_MAX),
    ):
        assert re.search(rf"\b{limit:,}\b", shown[option]), option
    assert f"N engines, 1 to {SHARDS_MAX}," in read("streaming.md")


@pytest.mark.parametrize("package", [holdfast, holdfast.streaming], ids=["holdfast", "holdfast.streaming"])
def test_every_public_name_is_there(package: ModuleType) -> None:
    """Names are imported when they are used; none is promised in vain."""
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)


def decoded(amount: str) -> str:
    """Decode one deposit of this amount, as text."""
    decoder = CsvDecoder()
    decoder.feed(b"type,client,tx,amount\n")
    decoder.feed(f"deposit,1,1,{amount}\n".encode())
    batch = decoder.finish()
    assert isinstance(batch, Batch)
    LedgerCore().decide(batch)
    code = Outcome(batch.outcomes[0])
    return format_units(batch.amounts[0]) if code is Outcome.APPLIED else code.name


def test_amounts_of_the_csv_page() -> None:
    """Every amount that the page names comes to what it says."""
    for amounts, result in table(section(read("csv.md"), "### Amounts")):
        if not amounts.startswith("nothing"):
            for amount in quoted(amounts):
                assert decoded(amount) == quoted(result)[0], amount


def quoted(cell: str) -> list[str]:
    """List what stands between backticks in a cell; a cell that was nothing else has lost them."""
    return re.findall(r"`([^`]*)`", cell) or [cell]


def test_the_example_profile_is_one() -> None:
    """The commented profile among the examples is read, and differs from the one it starts from."""
    assert read_rules(str(ROOT / "examples" / "rules.toml")) != STANDARD


def test_the_example_shows_every_kind_of_row() -> None:
    """The sample has all transaction types, applied ones, and refused ones of every severity."""
    decoder = CsvDecoder()
    decoder.feed((ROOT / "examples" / "transactions.csv").read_bytes())
    batch = decoder.finish()
    assert isinstance(batch, Batch)
    LedgerCore().decide(batch)
    outcomes = [Outcome(code) for code in batch.outcomes]
    applied = {type_ for type_, outcome in zip(batch.types, outcomes, strict=True) if outcome.is_applied}
    assert applied == set(TransactionType)
    assert {outcome.severity for outcome in outcomes} == set(Severity) - {Severity.FATAL}


@pytest.mark.parametrize("page", LINKING_PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    """Every relative link of a page leads to a file, and to a heading where it names one."""
    here = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", here.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = here.parent / path if path else here
        if "://" in target or is_left_out(linked):
            continue
        assert linked.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), f"{page} links to {target}"


def is_left_out(path: Path) -> bool:
    """Whether a path leads to the sources and they are not here: an installed package is under test."""
    source = ROOT / "src"
    return not source.exists() and source in path.parents


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_map_names_every_page() -> None:
    """No page of the documentation is missing from its map."""
    assert set(PAGES) - {"index.md"} <= set(re.findall(r"\]\(([\w-]+\.md)\)", read("index.md")))
