"""Puts the figures that have a bar into the README, from the newest result file: ``python -m benchmarks.readme``."""

from __future__ import annotations

import json
import os
from typing import Any

from benchmarks import ROOT
from benchmarks.bars import BARS
from benchmarks.report import Figure

START = (
    "<!-- figures: written by python -m benchmarks.readme from the newest file in benchmarks/results -->\n"
)
END = "<!-- /figures -->\n"


def newest_results(directory: str) -> str:
    """Give the path of the newest result file; their names begin with their dates.

    Raises:
        SystemExit: If there is none.
    """
    names = sorted(name for name in os.listdir(directory) if name.endswith(".json"))
    if not names:
        raise SystemExit(f"{directory}: no results yet; python -m benchmarks writes them")
    return os.path.join(directory, names[-1])


def figures_section(document: dict[str, Any], name: str) -> str:
    """Write the figures that are held against a bar as a Markdown table, with where they come from."""
    machine = document["machine"]
    lines = ["| what | measured | bar | aim |", "|---|---|---|---|"]
    for entry in document["figures"]:
        if entry["bar"] is None:
            continue
        figure = Figure(*(entry[field] for field in ("what", "value", "unit", "ratio", "bar")))
        _, value, ratio, bar, aim, _ = figure.cells()
        shown = ratio if BARS[entry["bar"]].unit == "x" else value
        row = f"| {BARS[entry['bar']].what} | {shown} | {bar} | {aim} |"
        lines.append(row.replace(" x |", " \u00d7 |"))
    source = (
        f"Medians of {document['repeats']} runs on {machine['date'][:10]} ({machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['python']}, commit `{machine['commit']}`); all figures: "
        f"[{name}](benchmarks/results/{name})."
    )
    return "\n".join([*lines, "", source]) + "\n"


def main() -> None:
    """Rewrite the README's section."""
    path = newest_results(os.path.join(ROOT, "benchmarks", "results"))
    with open(path, encoding="utf-8") as file:
        section = figures_section(json.load(file), os.path.basename(path).replace(".json", ".md"))
    readme = os.path.join(ROOT, "README.md")
    with open(readme, encoding="utf-8") as file:
        before, _, rest = file.read().partition(START)
    _, _, after = rest.partition(END)
    with open(readme, "w", encoding="utf-8") as file:
        file.write(f"{before}{START}{section}{END}{after}")


if __name__ == "__main__":
    main()
