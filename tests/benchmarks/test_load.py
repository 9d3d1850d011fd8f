"""The load generator: it counts right, keeps its schedule whatever the server does, and says what it saw."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benchmarks.load_generator import Load
from benchmarks.load_rows import StreamWorkload, make_stream_columns, render_streams, stream_file
from benchmarks.load_sink import Script, Sink
from benchmarks.load_statistics import LoadReport, Percentiles, percentile
from benchmarks.load_target import LoadError, Target
from benchmarks.workloads import header, render

from benchmarks import load, load_rows
from holdfast.engine.engine import Engine

if TYPE_CHECKING:
    from benchmarks.load_rows import StreamRows

SECONDS_MAX = 20.0


def make_rows(connections: int, rows_each: int, batch_rows: int = 100) -> StreamRows:
    """Make a small load."""
    workload = StreamWorkload(connections, rows_each)
    return render_streams(make_stream_columns(workload), connections, batch_rows)


def put(
    rows: StreamRows, script: Script | None = None, rate: float | None = None, *, acks: bool = True
) -> tuple[LoadReport, Sink]:
    """Put a load on a sink."""
    with Sink(script) as sink:
        target = Target("127.0.0.1", sink.port, wants_acks=acks)
        report = load.run_load(rows, target, rate, SECONDS_MAX if rate is None else 1.0)
    return report, sink


# ------------------------------------------------------------------------------------------ percentiles


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000), (0.0001, 1)]
)
def test_percentiles_are_samples(share: float, expected: int) -> None:
    """The nearest rank, without interpolation: of 1 to 1,000 the 99.9 % are at most 999."""
    assert percentile(range(1, 1001), share) == expected


def test_percentiles_agree_with_their_definition() -> None:
    """A percentile is the smallest sample that this share of all samples does not exceed."""
    rng = random.Random(7)
    for count in (1, 2, 3, 10, 99, 100, 101, 1234):
        samples = [float(rng.randrange(50)) for _ in range(count)]
        found = Percentiles.of(samples)
        for value, per_mille in ((found.p50, 500), (found.p99, 990), (found.p999, 999)):
            expected = min(
                each
                for each in samples
                if 1000 * sum(other <= each for other in samples) >= per_mille * count
            )
            assert value == expected
        assert found.max == max(samples)
        assert found.samples == count


def test_no_samples_have_percentiles_of_nothing() -> None:
    """A load without a schedule has no latencies, and reports none."""
    assert Percentiles.of([]) == (0, 0, 0, 0, 0)


# ------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("clients", load_rows.CLIENT_KINDS)
@pytest.mark.parametrize("connections", [1, 7, 200])
def test_senders_rows_are_the_files_rows(
    connections: int, clients: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file has one row of each sender in turn, and nearly all of them are applied: the rows hang together."""
    monkeypatch.setattr(load_rows, "CACHE", str(tmp_path))
    workload = StreamWorkload(connections, 2100 // connections, clients=clients)
    rows = render_streams(make_stream_columns(workload), connections, 100)
    senders = [rows.text[rows.begin(number) : rows.end(number)].splitlines() for number in range(connections)]
    head, *lines = Path(stream_file(workload)).read_bytes().splitlines()
    assert head + b"\n" == header()
    assert lines == [row for turn in zip(*senders, strict=True) for row in turn]
    report = Engine().process(str(tmp_path / "streams.csv"))
    assert report.rows == workload.rows
    assert report.applied > 0.9 * report.rows


def test_clients_are_disjoint_or_the_same() -> None:
    """Senders share no client, or all of them."""
    for clients, shared in (("disjoint", 0), ("hot", 16)):
        columns = make_stream_columns(StreamWorkload(5, 1000, clients=clients))
        first, second = (set(columns.clients[start : start + 1000].tolist()) for start in (0, 1000))
        assert len(first & second) == shared


def test_batches_end_at_line_ends() -> None:
    """Every batch has whole rows, and a sender's last batch has the rest."""
    rows = make_rows(3, 250)
    assert rows.batches_each == 3
    counts = [rows.text.count(b"\n", *ends) for ends in pairwise([0, *rows.batch_ends])]
    assert counts == [100, 100, 50] * 3
    assert rows.end(2) == len(rows.text)


def test_impossible_rows_are_refused() -> None:
    """More tx ids than fit, or fewer clients than senders, would be refused row by row by the server."""
    with pytest.raises(ValueError, match="32 bits"):
        make_stream_columns(StreamWorkload(1, 10, tx_first=2**32 - 9))
    with pytest.raises(ValueError, match="clients of their own"):
        make_stream_columns(StreamWorkload(20, 1, clients_max=10))


# ---------------------------------------------------------------------------------------------- sending


@pytest.mark.parametrize("acks", [True, False])
def test_counts_are_the_servers(*, acks: bool) -> None:
    """Everything arrives, in the order of each sender, and summaries and acks add up."""
    rows = make_rows(50, 1050)
    report, sink = put(rows, acks=acks)
    assert report.rows == report.rows_sent == report.rows_decided == report.applied == sink.rows == 50 * 1050
    assert report.rows_acked == (50 * 1050 if acks else 0)
    assert not +report.errors
    assert not report.latencies
    sent = {rows.text[rows.begin(number) : rows.end(number)] for number in range(50)}
    assert set(sink.texts) == sent
    assert sink.greetings.count(header()) == 50
    assert (b"#holdfast ack=rows\n" in sink.greetings) is acks


def test_schedule_keeps_its_pace() -> None:
    """On a schedule the load takes as long as it says, with one latency for each batch."""
    report, sink = put(make_rows(20, 1000), rate=40_000)
    assert sink.rows == 20_000
    assert report.seconds_sending > 0.49
    assert len(report.latencies) == len(report.lags) == 200
    assert min(report.latencies) > 0
    assert report.batches_unanswered == 0


def test_stall_is_latency_of_all_that_was_due() -> None:
    """A server that stalls for half a second makes every batch late that was due meanwhile, not only the one it stalled on."""
    report, sink = put(make_rows(20, 1000), Script(stall_after_rows=5_000, stall_seconds=0.5), rate=20_000)
    assert sink.rows == report.rows_acked == 20_000
    late = sorted(report.latencies)
    assert 0.45 < late[-1] < 2
    # 100 batches were due while it stalled: 60 of them at least 0.2 s before it went on.
    assert sum(latency > 0.2 for latency in late) >= 55
    # They were sent when they were due all the same.
    assert percentile(sorted(report.lags), 0.9) < 0.1


def test_batches_never_acked_count_as_late() -> None:
    """Batches without an answer are counted, or a dead server would look fast."""
    report, _ = put(make_rows(4, 500), Script(acks=False), rate=20_000)
    assert report.batches_unanswered == len(report.latencies) == 20
    assert min(report.latencies) > 0.9


@pytest.mark.parametrize(
    ("script", "code"),
    [(Script(fail_after_rows=300), "MEMORY_LIMIT"), (Script(cut_after_rows=300), "CUT_OFF")],
    ids=["error", "cut"],
)
@pytest.mark.parametrize("rate", [None, 40_000.0])
def test_ended_senders_are_counted(script: Script, code: str, rate: float | None) -> None:
    """A sender that the server ends counts as an error with its code, and the others go on."""
    report, _ = put(make_rows(10, 1000), script, rate=rate)
    assert report.errors == {code: 10} | {name: 0 for name in report.errors if name != code}
    assert report.rows_decided == 0
    if rate is not None:
        assert report.batches_unanswered > 0
        assert len(report.latencies) == 100


def test_no_server_is_an_error() -> None:
    """A port where nobody listens ends the load, and leaves no socket open."""
    with Sink() as sink:
        port = sink.port
    with (
        Load(make_rows(3, 10), Target("127.0.0.1", port)) as refused,
        pytest.raises(LoadError, match=str(port)),
    ):
        refused.open()


# ---------------------------------------------------------------------------------------------- command


def test_command_says_what_came_of_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Lines for people or JSON for programs; the token comes from a file, streams have the prefix's names."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    with Sink() as sink:
        to = ["--to", f"127.0.0.1:{sink.port}", "--connections", "4"]
        assert load.main([*to, "--rows", "1000"]) == 0
        assert "1,000 of 1,000 rows sent" in capsys.readouterr().out
        schedule = ["--rate", "10000", "--seconds", "0.2", "--batch-rows", "100"]
        assert load.main([*to, *schedule, "--json", "--stream", "x", "--token-file", str(token)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert b"#holdfast stream=x/3 ack=rows token=secret\n" in sink.greetings
    assert document["rows"] == document["rows_acked"] == 2000
    assert document["latency_ms"]["samples"] == 20
    assert document["errors"] == {}


def test_command_fails_with_its_senders(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code shows that the load failed."""
    with Sink(Script(cut_after_rows=1)) as sink:
        assert load.main(["--to", f"127.0.0.1:{sink.port}", "--rows", "1000"]) == 1
    assert "1 connections ended by CUT_OFF" in capsys.readouterr().out
    assert load.main(["--to", f"127.0.0.1:{sink.port}"]) == 1
    assert str(sink.port) in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--to", "nowhere"], ["--to", "h:1", "--rate", "5", "--rows", "5"], ["--to", "h:1", "--rows", "0"]],
)
def test_command_refuses_what_makes_no_sense(arguments: list[str]) -> None:
    """Bad options are a usage error."""
    with pytest.raises(SystemExit) as ended:
        load.parse_arguments(arguments)
    assert ended.value.code == 2


def test_rendered_rows_are_those_of_the_columns() -> None:
    """The text is what the columns say."""
    columns = make_stream_columns(StreamWorkload(3, 40))
    assert render_streams(columns, 3, 7).text == render(columns)
