"""``holdfast serve``: its options, and what is prepared before the event loop runs."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from holdfast.app.accounts import write_accounts
from holdfast.app.ledgers import LedgerErrors, add_ledger_options, make_step_progress, open_ledger
from holdfast.app.options import add_log, make_engine, number_of_seconds, start_log, whole_number
from holdfast.app.paths import check_outputs, other_inputs, refuse_overwriting
from holdfast.app.runner import EXIT_DONE, STDOUT_PATH, Interrupted, JobError
from holdfast.io.outputs import Output, inherited_descriptor
from holdfast.storage.stores import is_url

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from holdfast.app.background_stream import BackgroundStream
    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner
    from holdfast.engine.interface import AnyEngine
    from holdfast.engine.policy import ErrorPolicy
    from holdfast.net.address import Address
    from holdfast.protocol.limits import ServerLimits
    from holdfast.server.config import ServerConfig
    from holdfast.server.service import Service
    from holdfast.server.status import Status

_LISTEN_DEFAULT = "127.0.0.1:7070"
_GRACE_SECONDS_DEFAULT = 10.0
_STATUS_SECONDS_DEFAULT = 60.0
_LOG_SECONDS_MAX = 2.0
_SWITCH_SECONDS = 0.0005
_STDERR = 2
_LIMITS = {
    "connections_max": "connections open at a time",
    "connection_bytes_max": "bytes kept for one connection: its partial line and the replies that it has not read",
    "line_bytes_max": "how long a line may grow while it has no end",
    "idle_seconds_max": "how long a connection may be silent; 0: for ever",
    "handshake_seconds_max": "how long directives and header may take",
    "line_seconds_max": "how long a line may take from its first byte to its end",
    "replies_seconds_max": "how long a sender is paused that does not read its replies",
    "linger_seconds_max": "how long a connection stays open after its end, for its last line to be read",
    "streams_max": "named streams whose positions are remembered",
    "memory_bytes_max": "memory of ledger, connections and stream names together; 0: three quarters of what the "
    "machine or its control group allows",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast serve``."""
    add = parser.add_argument
    add(
        "--listen",
        action="append",
        metavar="HOST:PORT",
        help="where to listen, as often as needed; [::1]:7070 for IPv6, port 0 for any that is free "
        f"({_LISTEN_DEFAULT})",
    )
    add("--port-file", metavar="FILE", help="write the ports here once the server listens, one on a line")
    add(
        "--on-error",
        default="skip",
        metavar="POLICY",
        help="what to do about rows that are not applied, for each connection by itself; written as for "
        "holdfast process (skip)",
    )
    add(
        "--grace",
        type=number_of_seconds,
        default=_GRACE_SECONDS_DEFAULT,
        metavar="SECONDS",
        help="how long connections may go on once the server is told to stop (%(default)g)",
    )
    add(
        "--loop",
        choices=("auto", "asyncio", "uvloop"),
        default="auto",
        help="the event loop; auto: uvloop if it is installed (%(default)s)",
    )
    add(
        "--huge-pages",
        action="store_true",
        help="take memory two megabytes at a time: less time in all, slower single batches",
    )
    _add_accounts(parser)
    _add_security(parser)
    add_ledger_options(parser, without="; without one, the accounts are in memory only")
    add(
        "--standby",
        action="store_true",
        help="if another process writes to the ledger, wait until it ends, and take over (PostgreSQL only)",
    )
    _add_limits(parser)
    said = add_log(parser)
    said.add_argument(
        "--status-every",
        type=number_of_seconds,
        default=_STATUS_SECONDS_DEFAULT,
        metavar="SECONDS",
        help="how often the status is logged; 0: never (%(default)g)",
    )


def _add_accounts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("accounts")
    group.add_argument("-o", "--output", metavar="FILE", help="write them here when the server ends")
    group.add_argument(
        "--snapshot",
        metavar="PATTERN",
        help="write them here on SIGHUP, at the end, and every so often: accounts.csv, accounts-{sequence}.csv",
    )
    group.add_argument("--snapshot-every", type=number_of_seconds, metavar="SECONDS", help="how often")
    group.add_argument(
        "--snapshot-keep",
        type=whole_number,
        metavar="N",
        help="how many files stay; the pattern needs {sequence}",
    )


def _add_security(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("security")
    group.add_argument("--tls-cert", metavar="FILE", help="the certificate and its chain, PEM")
    group.add_argument("--tls-key", metavar="FILE", help="its private key, PEM, if not in the same file")
    group.add_argument(
        "--tls-client-ca", metavar="FILE", help="senders need a certificate signed by one of these, PEM"
    )
    group.add_argument(
        "--tokens", metavar="FILE", help="senders need one of these tokens; holdfast token makes them"
    )
    group.add_argument(
        "--insecure",
        action="store_true",
        help="listen on other addresses than loopback without TLS and tokens",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    from dataclasses import fields  # noqa: PLC0415  # slow to import

    from holdfast.protocol.limits import ServerLimits  # noqa: PLC0415  # the same

    group = parser.add_argument_group("limits")
    defaults = {field.name: field.default for field in fields(ServerLimits)}
    for name, text in _LIMITS.items():
        of_time = name.endswith("_seconds_max")
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=number_of_seconds if of_time else whole_number,
            default=defaults[name],
            metavar="SECONDS" if of_time else "N",
            help=f"{text} (%(default){'g' if of_time else 's'})",
        )


def serve(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Take streams of transactions over TCP until told to stop; then write the accounts."""
    options.verbose += 1
    _check_files(runner, options, refuse)
    config = _config(options, refuse)
    if options.standby and not is_url(options.data or ""):
        refuse(
            "--standby: only a ledger in PostgreSQL is taken over (--data postgresql://…); a file belongs to one machine"
        )
    if options.data is None:
        engine = make_engine(options, refuse, huge_pages=options.huge_pages)
        return _serve_engine(runner, options, refuse, config, engine)
    on_progress, clear = make_step_progress(runner, options, "replaying")
    ledger = open_ledger(options, refuse, on_progress, _make_standby(runner) if options.standby else None)
    clear()
    # The commit thread needs the interpreter now and then: a busy event loop gives it away this soon.
    sys.setswitchinterval(_SWITCH_SECONDS)
    with LedgerErrors(), ledger:
        return _serve_engine(runner, options, refuse, config, ledger)


def _make_standby(runner: Runner) -> Callable[[], bool]:
    """Give what is asked while another process writes to the ledger: it says so once, and hears signals."""
    has_said = False

    def may_wait() -> bool:
        nonlocal has_said
        if not has_said:
            runner.stderr.write("holdfast: another process writes to this ledger; waiting to take over\n")
            has_said = True
        runner.check()
        return True

    return may_wait


def _serve_engine(
    runner: Runner, options: argparse.Namespace, refuse: Refuse, config: ServerConfig, engine: AnyEngine
) -> int:
    stream = _log_stream(runner, options)
    start_log(runner, options, stream)
    try:
        _check_row_length(config, engine, refuse)
        service = _service(config, engine, refuse)
        _bind(service, refuse)
        if options.output is None and options.snapshot is None and options.data is None:
            _warn_of_forgetting()
        return _serve_and_write(runner, options, service, engine, stream)
    finally:
        if stream is not None:
            stream.close(_LOG_SECONDS_MAX)
            runner.stderr.has_lost |= stream.has_lost


def _serve_and_write(
    runner: Runner,
    options: argparse.Namespace,
    service: Service,
    engine: AnyEngine,
    stream: BackgroundStream | None,
) -> int:
    from holdfast.server.config import ConfigError  # noqa: PLC0415  # asyncio: --help does without
    from holdfast.server.running import StoppedAtOnceError, run  # noqa: PLC0415  # the same
    from holdfast.server.service import LastSnapshotError  # noqa: PLC0415  # the same

    try:
        run(
            service,
            on_signals_handled=runner.check,
            on_listening=lambda addresses: _write_ports(options.port_file, addresses),
            on_status=None if options.quiet else _status_line(stream),
        )
    except ConfigError as error:
        raise JobError(f"--loop {options.loop}: {error}") from error
    except StoppedAtOnceError as error:
        raise Interrupted(error.signal_number) from None
    except LastSnapshotError as error:
        # The accounts of -o are written all the same.
        runner.note_failure(error)
    if options.output is not None:
        write_accounts(runner, options.output, engine.accounts())
    return EXIT_DONE


def _log_stream(runner: Runner, options: argparse.Namespace) -> BackgroundStream | None:
    """Open standard error so that the log never makes the event loop wait; None if the command was started without one."""
    from holdfast.app.background_stream import BackgroundStream  # noqa: PLC0415  # --help does without
    from holdfast.app.logs import describe_dropped  # noqa: PLC0415  # the same

    if not runner.stderr.is_open:
        return None
    return BackgroundStream(_STDERR, lambda count: describe_dropped(options.log_format, count))


def _service(config: ServerConfig, engine: AnyEngine, refuse: Refuse) -> Service:
    """Make the server that the configuration describes.

    Raises:
        OSError: If a file of certificates or tokens cannot be used; the error names it.
    """
    from holdfast.server.service import Service  # noqa: PLC0415  # asyncio: --help does without

    try:
        return Service(config, engine)
    except ValueError as error:
        refuse(str(error))


def _bind(service: Service, refuse: Refuse) -> None:
    from holdfast.server.config import InsecureAddressError  # noqa: PLC0415  # --help does without

    try:
        service.bind()
    except InsecureAddressError as error:
        refuse(
            f"--listen {error.address}: others than this machine could send there; give --tls-cert and --tokens, "
            "or say --insecure if the network is trusted"
        )


def _warn_of_forgetting() -> None:
    import logging  # noqa: PLC0415  # --help does without

    logging.getLogger("holdfast.server").warning(
        "the accounts are in memory only and are lost when this server ends; -o FILE or --snapshot PATTERN writes them"
    )


def _status_line(stream: BackgroundStream | None) -> Callable[[Status | None], None] | None:
    """Give what draws the status on a terminal, if standard error is one."""
    if stream is None or not stream.isatty():
        return None
    from holdfast.app.status_line import StatusLine  # noqa: PLC0415  # only on a terminal

    line = StatusLine(stream)
    line.stay_below_log()
    return line.show


def _config(options: argparse.Namespace, refuse: Refuse) -> ServerConfig:
    """Make the configuration that the command line describes."""
    from holdfast.server.config import (  # noqa: PLC0415  # slow to import: --help does without
        SecurityConfig,
        ServerConfig,
        SnapshotConfig,
    )

    if options.tls_cert is None and (options.tls_key or options.tls_client_ca):
        refuse("--tls-key and --tls-client-ca go with --tls-cert")
    snapshots = None
    if options.snapshot is not None:
        snapshots = SnapshotConfig(
            target=options.snapshot,
            every_seconds=options.snapshot_every or None,
            keep=options.snapshot_keep,
        )
    return ServerConfig(
        listen=_addresses(options, refuse),
        policy=_policy(options, refuse),
        limits=_limits(options, refuse),
        security=SecurityConfig(
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
            tls_client_ca=options.tls_client_ca,
            tokens=options.tokens,
            allow_insecure=options.insecure,
        ),
        snapshots=snapshots,
        grace_seconds=options.grace,
        loop=options.loop,
        status_every_seconds=options.status_every,
    )


def _addresses(options: argparse.Namespace, refuse: Refuse) -> tuple[Address, ...]:
    from holdfast.net.address import parse_listen_address  # noqa: PLC0415  # --help does without

    try:
        return tuple(parse_listen_address(text) for text in options.listen or [_LISTEN_DEFAULT])
    except ValueError as error:
        refuse(f"--listen: {error}")


def _policy(options: argparse.Namespace, refuse: Refuse) -> ErrorPolicy:
    from holdfast.engine.policy import PolicyError, parse_policy  # noqa: PLC0415  # --help does without

    try:
        return parse_policy(options.on_error)
    except PolicyError as error:
        refuse(f"--on-error: {error}")


def _limits(options: argparse.Namespace, refuse: Refuse) -> ServerLimits:
    from holdfast.protocol.limits import ServerLimits  # noqa: PLC0415  # --help does without

    try:
        return ServerLimits(**{name: getattr(options, name) for name in _LIMITS})
    except ValueError as error:
        refuse(str(error))


def _check_row_length(config: ServerConfig, engine: AnyEngine, refuse: Refuse) -> None:
    try:
        config.limits.check(engine.settings.row_bytes_max)
    except ValueError as error:
        refuse(str(error))


def _check_files(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> None:
    """Find what cannot be written, or would be overwritten, before anybody has sent a row."""
    if options.snapshot is None and (options.snapshot_every or options.snapshot_keep):
        refuse("--snapshot-every and --snapshot-keep say how often and how many; --snapshot says where")
    outputs = {"-o": options.output, "--snapshot": options.snapshot, "--port-file": options.port_file}
    refuse_overwriting(other_inputs(options), outputs, refuse, stdout_use="the accounts")
    # A server cannot wait for the reader of a pipe: nothing else would go on meanwhile.
    for option in ("--snapshot", "--port-file"):
        path = outputs[option]
        if path is not None and (path == STDOUT_PATH or _is_fifo(path)):
            refuse(f"{option} {path}: a server waits for no reader of a pipe; name a file")
    check_outputs(runner, outputs.values())


def _is_fifo(path: str) -> bool:
    """Whether a path names a pipe that has yet to be opened."""
    try:
        return inherited_descriptor(path) is None and stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def _write_ports(path: str | None, addresses: list[Address]) -> None:
    """Write the port of each address on a line; a process that sees the file sees all of it.

    Raises:
        OSError: If it cannot be written.
    """
    if path is not None:
        with Output(path) as file:
            file.writelines(b"%d\n" % each.port for each in addresses)
