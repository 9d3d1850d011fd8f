"""Put a load on a Holdfast server: ``python -m benchmarks.load --to HOST:PORT [--connections N] [--rate ROWS] ...``.

Without ``--rate`` all senders send as fast as the server takes it. With it, each batch is sent when it is due, and its latency
is the time from then to its ack, so that a stall counts for everything that was due while it lasted.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
from typing import TYPE_CHECKING

from benchmarks.load_generator import Load
from benchmarks.load_rows import CLIENT_KINDS, StreamWorkload, make_stream_columns, render_streams
from benchmarks.load_statistics import LoadReport, Percentiles
from benchmarks.load_target import LoadError, Target
from benchmarks.workloads import MIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.load_rows import StreamRows

_ENDING_SECONDS_MAX = 30.0
_ACKS_SECONDS_MAX = 10.0
# Above this share of a core, the generator may be the bottleneck.
_OWN_CPU_SHARE_MAX = 0.9


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description="Put a load on a Holdfast server, and report the result.",
        epilog="The exit code is 1 if any sender was ended by an error, or any row was never acked.",
    )
    add = parser.add_argument
    add("--to", required=True, type=_address, metavar="HOST:PORT", help="the server")
    add("--connections", type=int, default=1, metavar="N", help="how many senders (default: 1)")
    add(
        "--rows",
        type=int,
        metavar="R",
        help="rows of all senders together (default: 1,000,000; not with --rate)",
    )
    add("--workload", choices=MIXES, default="mixed", help="which transactions (default: mixed)")
    add("--clients", choices=CLIENT_KINDS, default="disjoint", help="each sender's own, or the same few")
    add("--rate", type=float, metavar="ROWS", help="rows a second, on a schedule; implies --ack")
    add("--batch-rows", type=int, default=500, metavar="N", help="rows that are due together (default: 500)")
    add(
        "--seconds",
        type=float,
        metavar="S",
        help="how long: of the schedule (default: 10), or at most (default: 60)",
    )
    add("--ack", action="store_true", help="ask for acks")
    add("--stream", metavar="PREFIX", help="name the streams PREFIX/0, PREFIX/1 ...; anonymous if not given")
    add("--token-file", metavar="FILE", help="a file that holds the token, on one line")
    add("--tls-ca", metavar="FILE", help="encrypt, and trust the certificates in this file")
    add(
        "--tx-first",
        type=int,
        default=1,
        metavar="ID",
        help="the lowest tx id; a server that took a load wants others",
    )
    add("--seed", type=int, default=1, metavar="N", help="another seed gives other rows of the same kind")
    add("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.rate is not None and options.rows is not None:
        parser.error(
            "--rows and --rate exclude each other: with a rate, --seconds says how many rows there are"
        )
    for name in ("connections", "rows", "rate", "batch_rows", "seconds"):
        if (value := getattr(options, name)) is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')} {value} has to be above 0")
    return options


def run_load(rows: StreamRows, target: Target, rate: float | None, seconds_max: float) -> LoadReport:
    """Open all senders, send everything in one of the two ways, and end the senders.

    Args:
        rows: What to send.
        target: Where to.
        rate: Rows a second, on a schedule; None for as fast as they are taken.
        seconds_max: How long to send at most, or, on a schedule, to wait for the last acks.

    Raises:
        LoadError: If the server cannot be reached, or this process may not open that many connections.
    """
    with Load(rows, target) as load:
        load.open()
        if rate is None:
            load.send_all(seconds_max)
        else:
            load.send_on_schedule(rate, seconds_max)
        load.end(_ENDING_SECONDS_MAX)
    return load.report


def make_rows(options: argparse.Namespace) -> StreamRows:
    """Make the rows that the options ask for.

    Raises:
        ValueError: If there cannot be such rows.
    """
    if options.rate is None:
        rows_each = max(1, round((options.rows or 1_000_000) / options.connections))
    else:
        batches_each = round(
            options.rate * (options.seconds or 10.0) / options.batch_rows / options.connections
        )
        rows_each = max(1, batches_each) * options.batch_rows
    workload = StreamWorkload(
        options.connections,
        rows_each,
        options.workload,
        options.clients,
        tx_first=options.tx_first,
        seed=options.seed,
    )
    return render_streams(make_stream_columns(workload), options.connections, options.batch_rows)


def describe(report: LoadReport) -> str:
    """Write the result of a load in lines for people."""
    refused = "".join(f", {count:,} {code}" for code, count in sorted(report.refused_by_code.items()))
    lines = [
        f"{report.connections:,} connections, opened in {report.seconds_opening:.2f} s",
        f"{report.rows_sent:,} of {report.rows:,} rows sent in {report.seconds_sending:.2f} s",
        f"{report.rows_per_second:,.0f} rows/s; the generator took {report.cpu_share:.0%} of a core",
        f"{report.rows_decided:,} rows decided, {report.applied:,} applied{refused}",
    ]
    for what, samples in (
        ("ack latency, from when due", report.latencies),
        ("of it the generator's", report.lags),
    ):
        if samples:
            found = Percentiles.of(samples)
            shown = " ".join(
                f"{name} {value * 1e3:,.2f}" for name, value in zip(_NAMES, found[:4], strict=True)
            )
            lines.append(f"{what}: {shown} ms ({found.samples:,} batches)")
    if report.batches_unanswered:
        lines.append(f"{report.batches_unanswered:,} batches never acked, counted with the time they waited")
    lines += [f"{count:,} connections ended by {code}" for code, count in sorted((+report.errors).items())]
    if report.cpu_share > _OWN_CPU_SHARE_MAX:
        lines.append("the generator was busy all the time: it may be the limit, not the server")
    return "\n".join(lines)


_NAMES = ("p50", "p99", "p99.9", "max")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one load and print its result."""
    options = parse_arguments(arguments)
    try:
        host, port = options.to
        token = None
        if options.token_file is not None:
            with open(options.token_file, encoding="ascii") as file:
                token = file.readline().strip()
        tls = ssl.create_default_context(cafile=options.tls_ca) if options.tls_ca is not None else None
        wants_acks = options.ack or options.rate is not None
        target = Target(host, port, tls, wants_acks, options.stream, token)
        limit = (options.seconds or 60.0) if options.rate is None else _ACKS_SECONDS_MAX
        report = run_load(make_rows(options), target, options.rate, limit)
    except (LoadError, ValueError, OSError) as error:
        print(f"benchmarks.load: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report.to_json(), indent=1) if options.json else describe(report))
    return 1 if +report.errors or report.rows_sent < report.rows or report.batches_unanswered else 0


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:7070 or [::1]:7070")
    return host.removeprefix("[").removesuffix("]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
