"""The questions about streams: each can be answered, and what they watch is the server and nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from benchmarks.__main__ import QUESTIONS, STREAM_QUESTIONS, parse_arguments
from benchmarks.bars import BARS
from benchmarks.load_rows import StreamWorkload, make_stream_columns, render_streams
from benchmarks.readme import END, Section, newest_results, with_section
from benchmarks.streams_inside import Plan
from benchmarks.streams_merge import run_plan
from benchmarks.streams_server import Server, put

from benchmarks import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_questions_are_asked_by_name() -> None:
    """Without a name, the engine's questions are asked; ``streams`` means all questions about streams."""
    assert parse_arguments([]).questions == list(QUESTIONS)
    assert parse_arguments(["apply", "streams"]).questions == ["apply", *STREAM_QUESTIONS]
    with pytest.raises(SystemExit):
        parse_arguments(["stream"])


def test_quick_run_answers_everything(tmp_path: Path) -> None:
    """A quick run succeeds, and compares a figure with each bar for which it is large enough."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--results", str(tmp_path), "streams"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    figures = json.loads(path.read_text())["figures"]
    assert {figure["question"] for figure in figures} == set(STREAM_QUESTIONS)
    bars = {"idle", "snapshot-rate", "snapshot-batch", "ack-slowest"}
    bars |= {"hostile-ack", "hostile-connection", "hostile-log", "served", "ack-sync", "ack-checkpoints"}
    assert bars <= {figure["bar"] for figure in figures}
    assert all(figure["value"] >= 0 for figure in figures)


def test_server_is_watched_from_outside() -> None:
    """The server's CPU time counts only its own work, and the senders' counts agree with its own."""
    rows = render_streams(make_stream_columns(StreamWorkload(10, 2000)), 10, 100)
    with Server() as server:
        before = time.process_time()
        cost = put(server, rows)
        assert server.decided() == 20_000
        here = time.process_time() - before
        busy = server.cpu_seconds()
    assert cost.report.rows_decided == 20_000
    assert 0 < cost.cpu_seconds < busy
    assert cost.memory_bytes > 10 * 2**20
    assert here > 0


def test_streams_inside_are_all_decided() -> None:
    """A plan is run to its end in a process of its own, with snapshots if it wants them."""
    assert run_plan(Plan(sources=20, rows_each=50, waits=True)).rows == 1000
    paid = run_plan(Plan(long_bytes=20_000_000, snapshot_seconds=0.01))
    assert paid.rows > 500_000
    assert paid.snapshots > 0
    assert paid.batch_seconds_p999 > 0


def test_bars_are_held_against_something() -> None:
    """Every bar's key is in a question's file."""
    names = [name for name in os.listdir(os.path.join(ROOT, "benchmarks")) if name.endswith(".py")]
    text = ""
    for name in names:
        if name != "bars.py":
            with open(os.path.join(ROOT, "benchmarks", name), encoding="utf-8") as file:
                text += file.read()
    assert not [key for key in BARS if f'"{key}"' not in text]


def test_newest_results_are_found_by_question(tmp_path: Path) -> None:
    """A later run of other questions does not hide an earlier one's figures."""
    for name, question in (("1.json", "a"), ("2.json", "a"), ("3.json", "b")):
        (tmp_path / name).write_text(json.dumps({"figures": [{"question": question}]}))
    path, document = newest_results(str(tmp_path), ["a"])
    assert os.path.basename(path) == "2.json"
    assert document["figures"] == [{"question": "a"}]
    with pytest.raises(SystemExit):
        newest_results(str(tmp_path), ["c"])


def test_section_is_replaced_in_its_place() -> None:
    """The text around a section does not change, and a page without the section is an error."""
    section = Section("<!-- x -->\n", ["a"])
    page = f"before\n<!-- x -->\nold\n{END}after\n"
    assert with_section(page, section, "new\n") == f"before\n<!-- x -->\nnew\n{END}after\n"
    with pytest.raises(SystemExit):
        with_section("nothing", section, "new\n")
