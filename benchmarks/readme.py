"""Puts the figures that have a bar into the README, from the newest result files: ``python -m benchmarks.readme``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import ROOT
from benchmarks.__main__ import QUESTIONS, RESULTS, STREAM_QUESTIONS
from benchmarks.bars import ALL_KINDS, BARS
from benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence


class Section(NamedTuple):
    """A section of the README that is written here: its first line, and the questions of its figures."""

    start: str
    questions: Sequence[str]


SECTIONS = (
    Section(
        "<!-- figures: written by python -m benchmarks.readme from the newest file in benchmarks/results -->\n",
        QUESTIONS,
    ),
    Section(
        "<!-- stream figures: written by python -m benchmarks.readme from the newest file in benchmarks/results -->\n",
        STREAM_QUESTIONS,
    ),
)
END = "<!-- /figures -->\n"


def newest_results(directory: str, questions: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Give the path and the content of the newest result file that answers any of these questions.

    Their names begin with their dates.

    Raises:
        SystemExit: If there is none.
    """
    for name in sorted(os.listdir(directory), reverse=True):
        if name.endswith(".json"):
            path = os.path.join(directory, name)
            with open(path, encoding="utf-8") as file:
                document: dict[str, Any] = json.load(file)
            figures = [entry for entry in document["figures"] if entry["question"] in questions]
            if figures:
                return path, {**document, "figures": figures}
    raise SystemExit(
        f"{directory}: no results for {questions[0]} and so on yet; python -m benchmarks writes them"
    )


def figures_section(document: dict[str, Any], name: str) -> str:
    """Write the figures that have a bar as a Markdown table, with their origin."""
    machine = document["machine"]
    lines = ["| what | measured | bar | aim |", "|---|---|---|---|"]
    held = [entry for entry in document["figures"] if entry["bar"] is not None]
    summed = {entry["bar"] for entry in held if entry["what"].startswith(ALL_KINDS)}
    # The worst of all says what its kinds say one by one.
    held = [entry for entry in held if entry["bar"] not in summed or entry["what"].startswith(ALL_KINDS)]
    for entry in held:
        figure = Figure(*(entry[field] for field in ("what", "value", "unit", "ratio", "bar")))
        _, value, ratio, bar, aim, _ = figure.cells()
        shown = ratio if BARS[entry["bar"]].unit == "x" else value
        others = [other["what"] for other in held if other["bar"] == entry["bar"] and other is not entry]
        what = ", ".join([BARS[entry["bar"]].what, *own_words(entry["what"], others)])
        row = f"| {what} | {shown} | {bar} | {aim} |"
        lines.append(row.replace(" x |", " \u00d7 |"))
    source = (
        f"{_runs(document['repeats'])} on {machine['date'][:10]} ({machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['python']}, commit `{machine['commit']}`); all figures: "
        f"[{name}](benchmarks/results/{name})."
    )
    return "\n".join([*lines, "", source]) + "\n"


def _runs(repeats: int) -> str:
    return f"Medians of {repeats} runs" if repeats > 1 else "One run"


def own_words(what: str, others: Sequence[str]) -> list[str]:
    """Give the words that tell a figure from others of the same bar (``dense ids``); nothing if there are no others."""
    if not others:
        return []
    shared = set.intersection(*(set(other.split(", ")) for other in others))
    return [part for part in what.split(", ") if part not in shared]


def with_section(readme: str, section: Section, text: str) -> str:
    """Put a text between a section's first line and its end.

    Raises:
        SystemExit: If there is no such section.
    """
    before, start, rest = readme.partition(section.start)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(
            f"README.md: the figures' place is missing; write {section.start.strip()} and {END.strip()}"
        )
    return f"{before}{start}{text}{end}{after}"


def main() -> None:
    """Rewrite the README's sections."""
    path = os.path.join(ROOT, "README.md")
    with open(path, encoding="utf-8") as file:
        readme = file.read()
    for section in SECTIONS:
        results, document = newest_results(RESULTS, section.questions)
        text = figures_section(document, os.path.basename(results).replace(".json", ".md"))
        readme = with_section(readme, section, text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(readme)


if __name__ == "__main__":
    main()
